#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# system.sh STEP [ARG...]: what tests/host/system.sh has done in a running system, whose root file system is on
# /dev/vg/root, and what is looked at there. MODULE is the one that has LVM's snapshots to serve.
set -euo pipefail

fail()
{
	set +e
	trap - ERR
	echo "FAILED: $*"
	echo "-- modules"
	lsmod
	echo "-- tables"
	dmsetup table
	dmsetup status
	lvs -a -o +devices
	echo "-- the log"
	dmesg | tail -n 50
	exit 1
}

trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
set -E

# A number for the contents that must come back: kernels, programs, the packages' lists, and what "change" changes.
contents()
{
	(cd "$1" && find state kept boot usr/sbin var/lib/dpkg/info -type f -print0 | sort -z | xargs -0 md5sum) | md5sum
}

# What is made anew, written to and removed after the snapshot was taken.
change()
{
	local file number=0

	echo "$1" > /state
	for file in /kept/*; do
		number=$((number + 1))
		case $((number % 3)) in
		0) rm "$file" ;;
		1) dd if=/usr/bin/bash of="$file" bs=4096 count=$((number % 50 + 1)) conv=notrunc status=none ;;
		2) cp /usr/bin/perl /kept/tmp; mv /kept/tmp "$file" ;;
		esac
	done
	dd if=/dev/urandom of="/kept/new-$1" bs=1M count=8 status=none
	sync
}

loaded()
{
	cut -d' ' -f1 /proc/modules | grep -E '^dm_(scaled|snapshot)$' | sort | xargs
}

# served_by MODULE: the snapshot of root
served_by()
{
	[[ $(loaded) == "$1" ]] || fail "the snapshot is served by '$(loaded)', must be by $1"
	[[ $(dmsetup table vg-root) == *" snapshot-origin "* ]] || fail "root has no snapshot: $(dmsetup table vg-root)"
	[[ $(dmsetup table vg-before) =~ \ snapshot\ .*\ PO?\ [0-9]+ ]] || fail "no table of a snapshot"
	[[ $(dmsetup status vg-before) =~ \ [0-9]+/[0-9]+\ [0-9]+$ ]] || fail "status: $(dmsetup status vg-before)"
}

# is_before: the snapshot has what root had
is_before()
{
	mount -o ro /dev/vg/before /mnt
	[[ $(< /mnt/state) == before && ! -e /mnt/kept/new-after ]] || fail "not the state of before"
	[[ $(contents /mnt) == "$(< /var/lib/contents)" ]] || fail "other contents than before"
	umount /mnt
}

# Applies what the archive has, as a package's installation would.
apply()
{
	(cd / && xargs -r -d '\n' rm -rf -- < /run/step/gone)
	tar -C / -xf /dev/disk/by-id/virtio-delta
	sync
}

log_has()
{
	dmesg | grep -F "$1" || fail "the log has not: $1"
}

log_has_not()
{
	! dmesg | grep -F "$1" || fail "the log has: $1"
}

fallback="dm-scaled: not loaded with takeover=snapshot: loading dm-snapshot"

# take MODULE: a snapshot of root
take()
{
	[[ $(findmnt -n -o SOURCE /) == /dev/mapper/vg-root ]] || fail "root is on $(findmnt -n -o SOURCE /)"
	[[ ! $(loaded) ]] || fail "loaded without a snapshot: $(loaded)"
	echo before > /state
	mkdir /kept
	cp /usr/bin/[a-e]* /kept/
	contents / > /var/lib/contents
	sync
	lvcreate -qq -s -n before -L 1g vg/root
	udevadm settle
	served_by "$1"
	change after
	is_before
	lvs
}

# go_on MODULE WORD: the snapshot is there after a boot, root is written to, and the snapshot stays as it was
go_on()
{
	served_by "$1"
	[[ $(< /state) != before ]] || fail "root has the state of before"
	is_before
	change "$2"
	is_before
	lvs
}

# merge: begins at the next boot, as root is in use
merge()
{
	lvconvert -qq -y --merge vg/before
	[[ $(< /state) != before ]] || fail "merged at once"
	lvs -a
}

# merged MODULE
merged()
{
	local i

	[[ $(loaded) == "$1" ]] || fail "loaded: $(loaded)"
	dmsetup status
	[[ $(< /state) == before ]] || fail "root has not the state of before"
	[[ $(contents /) == "$(< /var/lib/contents)" ]] || fail "other contents than before"
	change again
	for ((i = 0; i < 120; i++)); do
		[[ ! $(dmsetup status vg-root) =~ \ snapshot-merge\ ([0-9]+)/[0-9]+\ ([0-9]+)$ ||
			${BASH_REMATCH[1]} != "${BASH_REMATCH[2]}" ]] || break
		sleep 1
	done
	echo "merged after $i s"
	# Nobody has asked LVM to watch the merge of a volume that the initramfs has activated.
	! lvs vg/before > /dev/null 2>&1 || lvchange --poll y vg/root
	for ((i = 0; i < 60; i++)); do
		lvs vg/before > /dev/null 2>&1 || break
		sleep 1
	done
	udevadm settle
	[[ $(dmsetup table vg-root) == *" linear "* ]] || fail "the merge does not end: $(dmsetup status)"
	[[ $(loaded) == "$1" && $(< /state) == again && -e /kept/new-again ]] || fail "what was written meanwhile is lost"
	lvs
}

# tab: an origin and its snapshot, on logical volumes of their own, that are activated by the next boot
tab()
{
	lvcreate -qq -y -n data -L 64m vg
	lvcreate -qq -y -n data-cow -L 80m vg
	dd if=/dev/zero of=/dev/vg/data-cow bs=128k count=1 oflag=direct status=none
	mke2fs -q -t ext4 /dev/vg/data
	mkdir /data
	cat > /etc/dm-scaledtab <<-TAB
		data      -  origin-scaled /dev/vg/data
		data-old  -  snapshot-scaled /dev/vg/data /dev/vg/data-cow P 8
	TAB
	echo "/dev/mapper/data /data ext4 defaults 0 2" >> /etc/fstab
	dmsc-tab check
	# Still writes when LVM's blkdeactivate has removed what it could.
	cat > /etc/systemd/system/late.service <<-UNIT
		[Unit]
		RequiresMountsFor=/data
		Before=blk-availability.service

		[Service]
		ExecStart=bash -c 'exec 3> /data/late; for ((i = 0; i < 300; i++)); do \
		head -c 64k /dev/urandom >&3; sync /data/late; done; sleep inf'
		ExecStop=sleep 1
	UNIT
}

# tab_active: what the boot has made of that, and what the snapshot has
tab_active()
{
	[[ $(findmnt -n -o SOURCE /data) == /dev/mapper/data ]] || fail "not mounted: $(systemctl status data.mount)"
	[[ $(dmsetup table data) == *" origin-scaled "* && $(dmsetup table data-old) == *" snapshot-scaled "* ]] ||
		fail "other tables"
	[[ $(systemctl show -P ExecStop blk-availability.service) == *"dmsc-tab hold -- "* ]] || fail "not held"
	dmsetup status data-old
}

# tab_written: the origin is written to from now on, until the machine is shut down
tab_written()
{
	cksum < /dev/mapper/data-old > /var/lib/cksum
	systemctl start late.service
}

# tab_kept: the snapshot has seen all of it
tab_kept()
{
	[[ -s /data/late ]] || fail "nothing was written"
	[[ $(cksum < /dev/mapper/data-old) == "$(< /var/lib/cksum)" ]] || fail "the snapshot has missed what was written"
}

# A kernel that wants signatures, and does not know the key.
refused()
{
	served_by dm_snapshot
	log_has "module with unavailable key is rejected"
	log_has "$fallback"
	! modprobe dm-scaled 2> /run/said || fail "dm-scaled was loaded"
	grep -F "Key was rejected by service" /run/said || fail "modprobe says: $(< /run/said)"
	is_before
	keyring
}

# The keys of the firmware.
keyring()
{
	grep -E 'asymmetri.*DKMS' /proc/keys || true
}

# Nothing of the packages is left.
is_purged()
{
	local left

	! modinfo dm-scaled 2> /dev/null || fail "there is still a module"
	left=$(find /etc /usr /boot /var/lib/dkms -xdev '(' -name '*dm-scaled*' -o -name 'dmsc-*' ')')
	[[ ! $left ]] || fail "files are left: $left"
	log_has_not "$fallback"
}

le32()
{
	local hex

	hex=$(printf '%08x' "$1")
	printf '%b' "\\x${hex:6:2}\\x${hex:4:2}\\x${hex:2:2}\\x${hex:0:2}"
}

# Gives the kernel DKMS' key by way of the firmware: a certificate in its variable "db" is for the kernel what one of
# "mokutil --import" is. A firmware that has no platform key yet does not look at the signature, which is of nothing.
enrol()
{
	local key=/var/lib/dkms/mok.pub size var=/sys/firmware/efi/efivars

	mountpoint -q "$var" || mount -t efivarfs efivarfs "$var"
	var+=/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f
	size=$(stat -c %s "$key")
	{
		# The attributes: kept, for the boot services and the running system, written with a time.
		le32 $((0x27))
		# 2026-01-01; a certificate of 24 bytes, of version 2.0 and type GUID; which says PKCS #7.
		printf '%b' '\xea\x07\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0'
		le32 24
		printf '%b' '\0\x02\xf1\x0e'
		printf '%b' '\x9d\xd2\xaf\x4a\xdf\x68\xee\x49\x8a\xa9\x34\x7d\x37\x56\x65\xa7'
		# A list of X.509 certificates: its size, none of a header, the size of each; and nobody as the owner.
		printf '%b' '\xa1\x59\xc0\xa5\xe4\x94\xa7\x4a\x87\xb5\xab\x15\x5c\x2b\xf0\x72'
		le32 $((28 + 16 + size))
		le32 0
		le32 $((16 + size))
		head -c 16 /dev/zero
		cat "$key"
	} > /run/db
	# At once.
	dd if=/run/db of="$var" bs=64k status=none
}

while (($#)); do
	words=()
	while (($#)) && [[ $1 != + ]]; do
		words+=("$1")
		shift
	done
	shift $(($# > 0))
	echo "-- ${words[*]}"
	"${words[@]}"
done
