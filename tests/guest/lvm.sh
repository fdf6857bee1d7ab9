# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Helpers of the tests with LVM, on top of snap.sh.

# lv COMMAND...: one of LVM's
lv()
{
	"$@" -qq < /dev/null || fail "failed: $*"
}

# field LV NAME
field()
{
	lvs --noheadings -o "$2" "vg/$1" | tr -d ' '
}

sum()
{
	checksum "/dev/vg/$1"
}

# load LV KIB: random writes
load()
{
	fio --name=load --filename="/dev/vg/$1" --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=8 \
		--randrepeat=0 --io_size="$2k" --output=/dev/null
}

# volume_group: "vg" on two disks, pv1 and pv2
volume_group()
{
	pv1=$(nullb_create size=200)
	pv2=$(nullb_create size=200)
	mkdir -p /run/lvm /run/lock/lvm /etc/lvm/{backup,archive}
	lv pvcreate "$pv1" "$pv2"
	lv vgcreate -s 4m vg "$pv1" "$pv2"
}

# A command that has begun a merge leaves a process that looks whether it has ended, and opens all devices for that.
no_poller()
{
	! pgrep -f '^\(lvm2\) ' > /dev/null
}

# by_takeover COMMAND...: with the module serving stock's names, and "vg" there
by_takeover()
{
	local pv1 pv2

	unload_module
	[[ ! -d /sys/module/dm_snapshot ]] || modprobe -r dm-snapshot
	load_module takeover=snapshot
	volume_group
	"$@"
	wait_for 30 no_poller
	lv vgremove vg
	unload_module
	load_module
}

# LVM's poll daemon is not there to finish a merge.
merge_is_over()
{
	! dmsetup table "vg-$1" | grep -q snapshot-merge || {
		local usage

		usage=$(snap_usage "vg-$1")
		[[ ${usage%%/*} == "${usage##* }" ]]
	}
}
