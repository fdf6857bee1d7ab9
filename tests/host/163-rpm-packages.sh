#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The RPM packages are built, unpack into an empty root, and only one of them has stock's names. Their scripts are run
# for an installation, an upgrade and a removal, with a dkms that writes down how it is called: this is no RPM system.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
version=$(< VERSION)
make O="$out" rpm > "$out/rpm.log" 2>&1 || fail "make rpm: $(tail -n 20 "$out/rpm.log")"
root=$dir/root
mkdir "$root"
rpm --root "$root" --initdb
rpms=()
for package in dm-scaled dm-scaled-dkms dm-scaled-tools dm-scaled-takeover; do
	rpms+=("$out/rpm/$package-$version-1".*[4h].rpm)
	rpm -qpl "${rpms[-1]}" > "$dir/$package"
	[[ $package == *takeover ]] || ! grep -E 'modprobe.d|dracut|initramfs' "$dir/$package" ||
		fail "stock's names in $package"
	rpm -qpR "${rpms[-1]}" > "$dir/$package.requires"
	[[ $package == *takeover ]] || ! grep takeover "$dir/$package.requires" || fail "$package requires takeover"
done
rpm --root "$root" -i --nodeps --noscripts "${rpms[@]}" > "$dir/log" 2>&1 || fail "not installed: $(< "$dir/log")"
[[ $(rpm --root "$root" -qa | wc -l) == 4 ]] || fail "not four packages"
rpm --root "$root" -Va --nodeps --noscripts || fail "not what is in the packages"
for file in usr/sbin/dmsc-{clone,tab} usr/share/man/man8/dmsc-{clone,tab}.8 usr/share/man/man7/dm-scaled.7 \
		usr/share/man/man5/dm-scaledtab.5 usr/lib/systemd/system-generators/dm-scaled-generator \
		usr/share/bash-completion/completions/dmsc-{clone,tab} usr/lib/udev/rules.d/12-dm-scaled.rules \
		"usr/src/dm-scaled-$version"/{Kbuild,VERSION,dkms.conf,post-install,probes/header.sh} \
		usr/lib/modprobe.d/dm-scaled.conf \
		usr/lib/dracut/modules.d/90dm-scaled/module-setup.sh; do
	[[ -s $root/$file ]] || fail "no $file"
done
[[ -x $root/usr/src/dm-scaled-$version/post-install ]] || fail "DKMS cannot run post-install"
[[ $("$root/usr/sbin/dmsc-clone" --version) == *" $version" ]] || fail "another dmsc-clone"
grep -q '^dkms >= ' "$dir/dm-scaled-dkms.requires" || fail "dm-scaled-dkms does not require dkms"
grep -q '^openssl' "$dir/dm-scaled-dkms.requires" || fail "DKMS makes no key without openssl"

# script PACKAGE SECTION ARGUMENT: what rpm would run
script()
{
	rpm -qp --qf "%{$2}" "$out/rpm/dm-scaled-$1-$version-1.noarch.rpm" |
		sed "s,/var/lib/dkms,$dir/var,g; s,/lib/modules,$dir/modules,g; s,/sys/module,$dir/sys,g" > "$dir/script"
	PATH=$dir/bin:$PATH bash -e "$dir/script" "$3"
}

# calls SECTION ARGUMENT CALL...: those calls of dkms are made
calls()
{
	: > "$dir/calls"
	script dkms "$1" "$2" > "$dir/log"
	diff "$dir/calls" <(printf '%s\n' "${@:3}") || fail "$1 $2 calls dkms otherwise"
}

mkdir -p "$dir/bin" "$dir/var/dm-scaled" "$dir"/modules/{6.12-a,6.12-b,gone}/build "$dir/sys/dm_scaled"
touch "$dir"/modules/6.12-{a,b}/build/Makefile
printf '#!/bin/sh\necho "$*" >> "%s/calls"\n' "$dir" > "$dir/bin/dkms"
chmod +x "$dir/bin/dkms"
installed=("add -m dm-scaled -v $version" "install -m dm-scaled -v $version -k 6.12-a"
	"install -m dm-scaled -v $version -k 6.12-b")
echo "$version" > "$dir/sys/dm_scaled/version"
calls POSTIN 1 "${installed[@]}"
[[ ! -s $dir/log ]] || fail "says $(< "$dir/log")"
# rpm runs the new package's script before the old one's.
mkdir "$dir/var/dm-scaled/0.0.1"
echo 0.0.1 > "$dir/sys/dm_scaled/version"
calls POSTIN 2 "remove -m dm-scaled -v 0.0.1 --all" "${installed[@]}"
has "$dir/log" "version 0.0.1 stays loaded; the next boot takes version $version"
: > "$dir/calls"
script dkms PREUN 1
[[ ! -s $dir/calls ]] || fail "an upgrade removes what it has installed: $(< "$dir/calls")"
calls PREUN 0 "remove -m dm-scaled -v $version --all"
for package in dkms tools takeover; do
	! rpm -qp --scripts "$out/rpm/dm-scaled-$package-$version-1".*[4h].rpm | grep -E '(modprobe|rmmod|insmod)( |$)' ||
		fail "$package loads or unloads modules"
done
