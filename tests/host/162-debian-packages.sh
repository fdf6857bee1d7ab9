#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The Debian packages: lintian has nothing to say, only one of them has stock's names, and in a copy of this system (an
# overlay, which is thrown away) they are installed with the README's commands, upgraded, downgraded and purged. DKMS
# builds and signs the module; the initramfs has it with package takeover, is made without it where it is missing, and
# nothing is left behind in the end.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
version=$(< VERSION)
newer=$version.1
kernel_root "$kver" > /dev/null || "$top/tests/vm/fetch-kernel" --image "$kver" > /dev/null
from=$(kernel_root "$kver")

make O="$out" deb > "$out/deb.log" 2>&1 || fail "make deb: $(tail -n 20 "$out/deb.log")"
debs=$out/deb
lintian --allow-root --fail-on error,warning "$debs"/*.changes
for package in dm-scaled dm-scaled-dkms dm-scaled-tools dm-scaled-takeover; do
	dpkg-deb -c "$debs/${package}_$version"-1_*.deb > "$dir/$package"
	dpkg-deb -f "$debs/${package}_$version"-1_*.deb Depends > "$dir/$package.depends"
	[[ $package == *takeover ]] || ! grep -E 'modprobe.d|hooks/|dracut' "$dir/$package" || fail "stock's names in $package"
	[[ $package == *takeover ]] || ! grep takeover "$dir/$package.depends" || fail "$package depends on takeover"
done
has "$dir/dm-scaled-tools" /usr/sbin/dmsc-{clone,tab}$ man8/dmsc-{clone,tab}.8.gz man7/dm-scaled.7.gz \
	man5/dm-scaledtab.5.gz /57-dm-scaled.rules$ completions/dmsc-{clone,tab}$ /system-generators/dm-scaled-generator$
has "$dir/dm-scaled-tools.depends" '(^|, )dmsetup($|,)'
has "$dir/dm-scaled-takeover" /usr/lib/modprobe.d/dm-scaled.conf$ /usr/share/initramfs-tools/hooks/dm-scaled$ \
	/usr/lib/dracut/modules.d/90dm-scaled/module-setup.sh$
for file in "$debs"/*.deb; do
	dpkg-deb -I "$file" triggers 2> /dev/null | grep -H --label="$file" update-initramfs || true
done > "$dir/triggers"
[[ $(< "$dir/triggers") == "$debs/dm-scaled-takeover_"*activate-noawait*update-initramfs ]] ||
	fail "not only takeover makes a new initramfs: $(< "$dir/triggers")"
has "$dir/dm-scaled-dkms" "/usr/src/dm-scaled-$version/dkms.conf$" "/probes/header.sh$" "^-rwx.*/post-install$"
has "$dir/dm-scaled-dkms.depends" 'dkms \(' openssl

# The same packages with another version: the contents are no other release's.
mkdir "$dir/newer"
for package in dkms takeover; do
	dpkg-deb -R "$debs/dm-scaled-${package}_$version"-1_all.deb "$dir/tree"
	sed -i "s/${version//./\\.}/$newer/" "$dir/tree"/DEBIAN/*
	if [[ $package == dkms ]]; then
		mv "$dir/tree/usr/src/dm-scaled-$version" "$dir/tree/usr/src/dm-scaled-$newer"
		sed -i "s/${version//./\\.}/$newer/" "$dir/tree/usr/src/dm-scaled-$newer"/{dkms.conf,VERSION}
		sed -i "s,src/dm-scaled-$version/,src/dm-scaled-$newer/," "$dir/tree/DEBIAN/md5sums"
	fi
	dpkg-deb --root-owner-group -b "$dir/tree" "$dir/newer/dm-scaled-$package.deb" > /dev/null
	rm -r "$dir/tree"
done

# The kernel's modules, as if its image were installed.
mkdir "$dir/kernel"
copy_modules "$kver" "$dir/kernel" dm-mod dm-bufio dm-snapshot ext4

# inside: what is done in the copy of the system
inside()
{
	local root=/tmp/inside module=/lib/modules/$kver/updates/dkms/dm-scaled.ko block

	cd "$root"
	mkdir -p "/boot" /sys/module/dm_scaled/parameters
	cp "$root/config" "/boot/config-$kver"
	cp -r "$root/kernel/lib/modules/$kver/." "/lib/modules/$kver/"
	depmod "$kver"
	# An older module is in use.
	echo 0.0.1 > /sys/module/dm_scaled/version
	echo > /sys/module/dm_scaled/parameters/takeover
	# An initramfs there is, and whoever makes it anew is seen.
	touch "/boot/initrd.img-$kver"
	cp "$root/update-initramfs" /usr/local/sbin/
	echo 'APT::Get::Assume-Yes "true";' > /etc/apt/apt.conf.d/yes
	files > "$root/before"

	mkdir build
	ln -s "$root/debs" build/deb
	make() { [[ $* == deb ]]; }
	block=$(awk '$0 == "<!-- test: packages -->" { found = 1; next } found && /^    / { print substr($0, 5); next }
		found { exit }' "$root/README.md")
	[[ $block ]] || fail "the README has no block packages"
	eval "$block" 2>&1 | tee "$root/log"
	unset -f make
	installed "$version"
	grep -q '^dm-scaled: version 0.0.1 stays loaded; the next boot takes' "$root/log" || fail "not said when it is taken"
	[[ $(modinfo -F signer "$module") == *DKMS* ]] || fail "not signed by DKMS"
	is_stock
	remade
	[[ $(dmsc-clone --version) == *" $version" ]] || fail "another dmsc-clone"
	! dpkg -s dm-scaled-takeover > "$root/log" 2>&1 || fail "takeover came with the plain install"

	echo "--- takeover"
	echo 'alias dm-snapshot dm-scaled' > /etc/modprobe.d/dm-scaled.conf
	dpkg -i debs/dm-scaled-takeover_*.deb 2>&1 | tee "$root/log"
	grep -q "served by dm-scaled from the next boot on" "$root/log" || fail "not said when it is taken over"
	grep -q "/etc/modprobe.d/dm-scaled.conf of an older installation" "$root/log" || fail "not said what masks the names"
	rm /etc/modprobe.d/dm-scaled.conf
	remade "-u -k all"
	is_taken_over
	initramfs
	[[ $(< initrd.list) == *updates/dkms/dm-scaled.ko* && $(< initrd.list) == *modprobe.d/dm-scaled.conf* &&
		$(< initrd.list) == *md/dm-snapshot.ko* ]] || fail "the initramfs has not both modules and the names"

	echo "--- upgrade"
	echo "$newer" > /sys/module/dm_scaled/version
	dpkg -i newer/*.deb 2>&1 | tee "$root/log"
	! grep "stays loaded" "$root/log" || fail "speaks of another version, though it is the same"
	! grep "of an older installation" "$root/log" || fail "complains of the file of the package"
	remade "-u -k $kver"
	installed "$newer"
	is_taken_over

	echo "--- downgrade"
	dpkg -i debs/dm-scaled-{dkms,takeover}_*.deb 2>&1 | tee "$root/log"
	grep -q "version $newer stays loaded" "$root/log" || fail "not said that the newer one goes on"
	installed "$version"
	remade "-u -k $kver"

	echo "--- a kernel without the module"
	mv "$module" "$root/aside.ko"
	depmod "$kver"
	initramfs
	grep -q "^W: dm-scaled: there is no module for $kver" "$root/log" || fail "no warning of an initramfs without it"
	[[ $(< initrd.list) == *md/dm-snapshot.ko* && $(< initrd.list) != *dm-scaled.ko* ]] || fail "no stock's module"
	mv "$root/aside.ko" "$module"

	echo "--- kernels that are not built for"
	excluded 5.10.0-1-amd64 "$(< "/lib/modules/$kver/build/.config")"
	excluded 7.4.0-1-amd64 "$(< "/lib/modules/$kver/build/.config")"
	excluded 6.99.0-1-amd64 "$(sed '/CONFIG_DM_BUFIO=/d' "/lib/modules/$kver/build/.config")"

	echo "--- removal"
	touch "$root/no-room"
	dpkg --remove dm-scaled-takeover 2>&1 | tee "$root/log"
	rm "$root/no-room"
	is_stock
	grep -q "not every initramfs could be made" "$root/log" || fail "not said that an initramfs could not be made"
	remade "-u -k all"
	! dpkg -L dm-scaled-dkms dm-scaled-tools dm-scaled | grep -E 'modprobe.d|initramfs' || fail "still in the initramfs"
	dpkg --purge dm-scaled dm-scaled-dkms dm-scaled-tools 2>&1 | tee "$root/log"
	grep -q "the module stays loaded until the next boot" "$root/log" || fail "not said that the module stays"
	depmod "$kver"
	files | diff "$root/before" - || fail "not as it was before"
	is_stock
	remade
}

# remade ARGUMENTS...: how update-initramfs was called since the last time
remade()
{
	[[ $(cat remade 2> /dev/null || true) == "$(printf '%s\n' "$@")" ]] ||
		fail "expected of update-initramfs: $*; called as: $(cat remade)"
	rm -f remade
}

files()
{
	# DKMS' key stays, as do the caches of others.
	find /boot /etc /opt /usr /var/lib/dkms ! -name 'mok.*' | sort
}

# installed VERSION
installed()
{
	[[ $(modinfo -F version "/lib/modules/$kver/updates/dkms/dm-scaled.ko") == "$1" ]] || fail "not version $1"
	[[ $(modinfo -k "$kver" -F vermagic dm-scaled) == "$kver "* ]] || fail "depmod has not found it"
	[[ $(dkms status) == "dm-scaled/$1, $kver, x86_64: installed" ]] || fail "DKMS has: $(dkms status)"
	[[ $(echo /usr/src/dm-scaled-*) == "/usr/src/dm-scaled-$1" ]] || fail "other sources than of $1"
}

is_stock()
{
	[[ $(modprobe -S "$kver" --show-depends dm-snapshot) == *insmod*/dm-snapshot.ko* ]] ||
		fail "dm-snapshot is not stock's"
}

is_taken_over()
{
	[[ $(modprobe -S "$kver" --show-depends dm-snapshot | tail -n 1) == "install "*"modprobe -q dm-scaled"* ]] ||
		fail "dm-snapshot is not taken over"
	[[ $(modprobe -S "$kver" --show-depends dm-snapshot-scaled) == *"dm-scaled.ko takeover=snapshot"* ]] ||
		fail "takeover= is not set"
}

initramfs()
{
	mkinitramfs -c gzip -o initrd "$kver" > log 2>&1 || fail "no initramfs: $(tail log)"
	lsinitramfs initrd > initrd.list
}

# excluded KVER CONFIG
excluded()
{
	local code=0

	mkdir -p "/lib/modules/$1/build/include"
	echo "$2" > "/lib/modules/$1/build/.config"
	dkms build -m dm-scaled -v "$version" -k "$1" > log 2>&1 || code=$?
	[[ $code == 77 ]] || fail "dkms build for $1: exit code $code, $(< log)"
	# What the installation of a kernel does. docs/install.md has the way out for Debian 12.
	code=0
	/etc/kernel/postinst.d/dkms "$1" > log 2>&1 || code=$?
	[[ $code == 0 || $code == 11 && $(dkms --version) == dkms-3.0.10 ]] || fail "postinst.d/dkms: $code, $(< log)"
	touch /etc/dkms/no-autoinstall
	/etc/kernel/postinst.d/dkms "$1" > log 2>&1 || fail "postinst.d/dkms with no-autoinstall: $?, $(< log)"
	rm -r /etc/dkms/no-autoinstall "/lib/modules/$1"
}

# In a mount namespace of its own; /sys says what is loaded, and is made up.
enter()
{
	copy_system "$dir"
	mount -t tmpfs tmpfs "$dir/merged/tmp"
	mount -t tmpfs tmpfs "$dir/merged/sys"
	[[ ! -d ${CCACHE_DIR:-} ]] || mount --bind "$CCACHE_DIR" "$dir/merged$CCACHE_DIR"
	mkdir "$dir/merged/tmp/inside"
	cat > "$dir/merged/tmp/inside/update-initramfs" <<-'END'
		#!/bin/sh
		# What is asked for, and whether it would find the module.
		cd /tmp/inside || exit
		echo "$@" >> remade
		[ "$3" = all ] || modprobe -S "$3" -q --show-depends dm-scaled > /dev/null || echo "without the module" >> remade
		[ ! -e no-room ]
	END
	chmod +x "$dir/merged/tmp/inside/update-initramfs"
	cp -r "$debs" "$dir"/{newer,kernel} README.md "${from%/}/boot/config-$kver" "$dir/merged/tmp/inside/"
	mv "$dir/merged/tmp/inside/config-$kver" "$dir/merged/tmp/inside/config"
	[[ $(basename "$debs") == debs ]] || mv "$dir/merged/tmp/inside/$(basename "$debs")" "$dir/merged/tmp/inside/debs"
	export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
	chroot "$dir/merged" bash -c "set -euo pipefail; $(declare -f); kver=$kver version=$version newer=$newer; inside"
}

export -f enter copy_system inside remade files installed is_stock is_taken_over initramfs excluded fail
export dir debs kver version newer from
unshare -m bash -euo pipefail -c enter
