#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# VERSION is the version of all: of the module, the tools and the packages' changelogs. A release has no git, is the
# same whoever packs it, and packs itself. The manual pages and the completion know the options of the tool for users.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
version=$(< VERSION)
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "VERSION is $version"

make KVER="$kver" O="$out" module > "$dir/log" 2>&1 || fail "no module: $(tail "$dir/log")"
[[ $(modinfo -F version "$out/$kver/module/dm-scaled.ko") == "$version" ]] || fail "modinfo has another version"
make -C tools O="$out" all > "$dir/log" 2>&1 || fail "no tools: $(tail "$dir/log")"
for tool in "$out"/tools/dmsc-*; do
	[[ ! -f $tool ]] || [[ $("$tool" --version) == "${tool##*/} (dm-scaled) $version" ]] ||
		fail "${tool##*/} has another version"
done
[[ $(scripts/changelog deb 'A <a@b>') == "dm-scaled ($version-1) unstable; urgency=medium"* ]] ||
	fail "CHANGELOG.md does not begin with $version"
scripts/changelog rpm 'A <a@b>' > "$dir/list"
has "$dir/list" "^\* [A-Z][a-z]{2} [A-Z][a-z]{2} [0-9]{2} [0-9]{4} A <a@b> - $version-1\$"

# A release: the same from another umask, and from an unpacked release inside a repository that is not ours.
make O="$dir/out" dist > "$dir/log"
archive=$dir/out/dm-scaled-$version.tar.xz
(
	umask 077
	git init -q "$dir/other"
	tar -C "$dir/other" -xf "$archive"
	cd "$dir/other/dm-scaled-$version"
	touch dm-scaled.o new.ko
	mkdir -p build/x probes/.tmp_versions
	touch build/x/y probes/z.log compat-probes.h
	make O=build dist > "$dir/log" 2>&1 || fail "a release does not pack itself: $(< "$dir/log")"
)
cmp "$archive" "$dir/other/dm-scaled-$version/build/dm-scaled-$version.tar.xz" || fail "releases are not reproducible"
diff <(tar -tf "$archive" | sed "s,^dm-scaled-$version/,,") <(scripts/sources) ||
	fail "not all sources are in the release"
[[ ! $(tar --numeric-owner -tvf "$archive" | awk '$2 != "0/0"') ]] || fail "the release has other owners than root"
cd "$dir/other/dm-scaled-$version"
# So that whoever looks for git's help fails.
mkdir "$dir/bin"
printf '#!/bin/sh\necho "git was called" >&2\nexit 1\n' > "$dir/bin/git"
chmod +x "$dir/bin/git"
(
	export PATH=$dir/bin:$PATH
	make KVER="$kver" help
	# The targets that scripts are behind of; the module and the packages are built from releases by 100 and 162.
	for target in module tools pacer test-modules check demo bench bench-vm shell install-tools; do
		make KVER="$kver" -n "$target"
	done
	[[ $(bash -c '. tests/host/lib.sh; sources "*.c"') == *dm-scaled-main.c* ]]
) > "$dir/log" 2>&1 || fail "not without git: $(tail "$dir/log")"
! grep 'git was called' "$dir/log" || fail "something calls git"

# What is installed, and removed again.
cd "$top"
for what in tools takeover dkms; do
	make O="$out" DESTDIR="$dir/root" UDEV_NUMBER=12 "install-$what" > "$dir/log" 2>&1 ||
		fail "install-$what: $(tail "$dir/log")"
done
find "$dir/root" -type f > "$dir/list"
for tool in dmsc-clone dmsc-tab; do
	has "$dir/list" "/usr/sbin/$tool\$" "/man8/$tool.8\$" "/completions/$tool\$"
done
has "$dir/list" '/man5/dm-scaledtab.5$' '/man7/dm-scaled.7$' '/system-generators/dm-scaled-generator$' \
	'/rules.d/12-dm-scaled.rules$' '/modprobe.d/dm-scaled.conf$' \
	'/initramfs-tools/hooks/dm-scaled$' '/90dm-scaled/module-setup.sh$' "/src/dm-scaled-$version/dkms.conf\$" \
	"/src/dm-scaled-$version/post-install\$"
has "$dir/root/usr/src/dm-scaled-$version/dkms.conf" "^PACKAGE_VERSION=\"$version\"\$"
for what in tools takeover dkms; do
	make O="$out" DESTDIR="$dir/root" UDEV_NUMBER=57 "uninstall-$what" > "$dir/log"
done
[[ ! $(find "$dir/root" -type f) ]] || fail "not uninstalled: $(find "$dir/root" -type f)"

# options COMMAND...: of $tool, the long options and commands that --help lists
options()
{
	"$out/tools/$tool" "$@" --help | sed -nE 's/^  (-h,)?(--[a-z]+).*/\2/p; s/^  ([a-z]+)  .*/\1/p' |
		grep -vx -e device -e name | sort -u
}

completed()
{
	COMP_WORDS=("$tool" "$@") COMP_CWORD=$#
	"_${tool//-/_}"
	printf '%s\n' "${COMPREPLY[@]}" | sort
}

compopt() { :; }
# shellcheck source=packaging/bash-completion/dmsc-clone
. packaging/bash-completion/dmsc-clone
# shellcheck source=packaging/bash-completion/dmsc-tab
. packaging/bash-completion/dmsc-tab
for tool in dmsc-clone dmsc-tab; do
	page=$(sed 's/\\-/-/g' "packaging/man/$tool.8")
	diff <(options) <(completed '') || fail "completion of $tool's commands"
	mapfile -t commands < <(options | grep -v ^-)
	for command in '' "${commands[@]}"; do
		[[ ! $command ]] || diff <(options "$command") <(completed "$command" -) ||
			fail "completion of $tool $command"
		for option in $(options ${command:+"$command"}); do
			[[ $page == *"$option"* ]] || fail "$tool's manual page has no $option"
		done
	done
	grep -oE -- '--[a-z]+' <<< "$page" | sort -u | while read -r option; do
		for command in '' "${commands[@]}"; do
			options ${command:+"$command"}
		done | grep -xe "$option" > /dev/null || fail "the manual page has $option, which $tool has not"
	done
done
for file in packaging/man/*; do
	[[ ! $(man --warnings -l "$file" 2>&1 > /dev/null) ]] || fail "$file: $(man --warnings -l "$file" 2>&1 > /dev/null)"
done
modinfo -F alias "$out/$kver/module/dm-scaled.ko" | while read -r target; do
	grep -q "fB${target#dm-}" packaging/man/dm-scaled.7 || fail "dm-scaled.7 has no $target"
done
