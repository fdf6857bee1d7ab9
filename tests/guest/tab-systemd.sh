#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# systemd, in a PID namespace of its own, starts a system with a /etc/dm-scaledtab and shuts it down, again and again;
# the devices below are those of the VM. For tests/host/168-tab.sh, which brings systemd and udev.
set -euo pipefail
# shellcheck source=tests/guest/lib.sh
. "$(dirname "$0")/lib.sh"

root=/sysroot

# What a unit of the system does when all else has been started; its output is in $root/check.log.
check()
{
	local step=$1

	echo "--- $step"
	systemctl --no-pager --plain list-units --all 'dm-scaled*' '*mapper*' data.mount
	dmsetup table
	"check_$step"
	echo "right"
}

is()
{
	local state

	state=$(systemctl is-active "$1" || true)
	[[ $state == "$2" ]] || { echo "$1 is $state, not $2"; return 1; }
}

check_first()
{
	is dm-scaled@data.service active
	is "dm-scaled@$(printf 'data\\x2dold').service" active
	is dm-scaled@top.service active
	is data.mount active
	is dm-scaled@wrong.service failed
	# Waits for a device, and nobody waits for it.
	is dm-scaled@gone.service inactive
	[[ $(systemctl list-jobs) == *dm-scaled@gone.service*waiting* ]] || fail "gone does not wait"
	is dm-scaled@later.service inactive
	systemctl start dm-scaled@later.service
	[[ -b /dev/mapper/later ]] || fail "no device"
	# What was removed by hand can be started again.
	dmsetup remove later
	wait_for 10 is dm-scaled@later.service inactive
	systemctl start dm-scaled@later.service
	[[ -b /dev/mapper/later ]] || fail "no device again"
	# An origin waits for the COW device of its snapshot.
	is dm-scaled@slow.service inactive
	is "dm-scaled@$(printf 'slow\\x2dold').service" inactive
	dmsetup create late --table "$(< /late)"
	wait_for 30 is dm-scaled@slow.service active
	is "dm-scaled@$(printf 'slow\\x2dold').service" active
	is dm-scaled@kept.service active
	# The snapshot is in use by what stands on it, the origin by the mount.
	if systemctl stop "$(printf 'dm-scaled@data\\x2dold.service')" 2> /dev/null; then
		is "$(printf 'dm-scaled@data\\x2dold.service')" failed
	fi
	[[ -b /dev/mapper/data-old && -b /dev/mapper/data ]] || fail "removed while it was in use"
	systemctl start "$(printf 'dm-scaled@data\\x2dold.service')" dm-scaled@top.service data.mount
	systemctl daemon-reload
	[[ -b /dev/mapper/data-old ]] || fail "not there after a reload"
	cksum < /dev/mapper/data-old > /cksum
	echo new > /data/state
	dmsetup create plain --table "0 8 zero"
	systemctl start late.service
}

check_second()
{
	is data.mount active
	[[ $(< /data/state) == new && -s /data/late ]] || fail "what was written is not there"
	[[ $(cksum < /dev/mapper/data-old) == "$(< /cksum)" ]] || fail "the snapshot has missed what was written"
	mount -o ro,noload /dev/mapper/top /mnt
	[[ $(< /mnt/state) == old ]] || fail "the snapshot is not what it was"
	umount /mnt
	dmsetup status data-old | grep -qE ' [1-9][0-9]*/[0-9]+ ' || fail "the snapshot is new"
}

check_missing()
{
	is multi-user.target active
	# The start of the system has not waited for it.
	wait_for 60 is dm-scaled@data.service failed
	is data.mount inactive
}

# The kernel's log has what systemd and the units say.
# start STEP: starts the system, waits for its end and looks at what it has said
start()
{
	local code=0

	log_mark
	echo "$1" > $root/step
	rm -f $root/check.log
	timeout 240 unshare --pid --mount --fork --kill-child chroot $root /usr/lib/systemd/systemd || code=$?
	cat $root/check.log
	log_since > "/results/$1.log"
	grep -q '^right$' $root/check.log || { tail -n 100 "/results/$1.log"; fail "step $1 (exit code $code)"; }
}

# logged STEP REGEX...: in that order
logged()
{
	local step=$1 log

	shift
	log=$(< "/results/$step.log")
	for regex in "$@"; do
		grep -qE "$regex" <<< "$log" || { cat "/results/$step.log"; fail "not said, or not after the one before: $regex"; }
		log=$(sed -E "1,\\|$regex|d" <<< "$log")
	done
}

if [[ ${1:-} == check ]]; then
	exec > /check.log 2>&1
	check "$(< /step)"
	exit
fi

mkdir $root
mount -t tmpfs -o size=1g tmpfs $root
cp -a /usr /bin /sbin /lib /lib64 /etc /opt $root/
tar -C $root -xf "$opt/systemd.tar"
mkdir $root/{dev,proc,sys,run,tmp,mnt,data,var,root}
cp "$opt/tools/dmsc-tab" $root/usr/bin/
unset DM_DISABLE_UDEV
load_module
install_module
unload_module
origin=$(nullb_create size=64)
cow=$(nullb_create size=32)
cow2=$(nullb_create size=32)
slow=$(nullb_create size=32)
cow3=$(nullb_create size=32)
echo "0 $(sectors "$cow3") linear $cow3 0" > $root/late
mke2fs -q -t ext4 "$origin"
mount "$origin" /mnt
echo old > /mnt/state
umount /mnt

cat > $root/etc/dm-scaledtab << END
data - origin-scaled $origin
data-old - snapshot-scaled $origin $cow P 8
top - 0 $(sectors "$origin") linear /dev/mapper/data-old 0
later noauto 0 8 linear $cow2 0
wrong nofail snapshot-scaled $cow2 $cow2 P
gone nofail origin-scaled /dev/nothing
kept x-initrd.attach 0 8 linear $cow2 8
slow nofail origin-scaled $slow
slow-old nofail snapshot-scaled $slow /dev/mapper/late P 8
END
echo "/dev/mapper/data /data ext4 defaults 0 0" > $root/etc/fstab
printf '%s\n' '[Manager]' LogTarget=kmsg LogLevel=info ShowStatus=no > $root/etc/systemd/system.conf
printf '%s\n' '[Journal]' Storage=none ReadKMsg=no ForwardToKMsg=yes MaxLevelKMsg=debug \
	> $root/etc/systemd/journald.conf
cat > $root/usr/lib/systemd/system/check.service << END
[Unit]
DefaultDependencies=no
After=multi-user.target

[Service]
Type=oneshot
Environment=PATH=/usr/bin:/opt/busybox
ExecStart=-/usr/bin/bash /opt/dm-scaled/tests/guest/tab-systemd.sh check
ExecStart=systemctl --no-block poweroff
END
# Still writes when blkdeactivate has done what it does.
cat > $root/usr/lib/systemd/system/late.service << END
[Unit]
DefaultDependencies=no
RequiresMountsFor=/data
Conflicts=shutdown.target
Before=shutdown.target blk-availability.service

[Service]
ExecStart=bash -c 'exec 3> /data/late; for ((i = 0; i < 300; i++)); do \
head -c 64k /dev/urandom >&3; sync /data/late; done; sleep inf'
ExecStop=sleep 1
END
mkdir -p $root/etc/systemd/system/{multi-user,sysinit}.target.wants
ln -s /usr/lib/systemd/system/blk-availability.service $root/etc/systemd/system/sysinit.target.wants/
ln -s /usr/lib/systemd/system/check.service $root/etc/systemd/system/multi-user.target.wants/
ln -s /usr/lib/systemd/system/systemd-{udevd,udev-trigger,journald}.service \
	$root/etc/systemd/system/sysinit.target.wants/
ln -s /usr/lib/systemd/system/multi-user.target $root/etc/systemd/system/default.target
echo 0123456789abcdef0123456789abcdef > $root/etc/machine-id

start first
logged first "dm-scaledtab:5: .*snapshot-scaled has 3 arguments" \
	"'data' is active: what is written to it would be missing"
logged first 'Finished.*Device data-old' 'Finished.*Device data of' 'Mounted.*data' 'Reached target.*Multi-User'
logged first 'Unmounted.*data' 'Stopped.*Device data of' 'Stopped.*Device data-old'
assert_eq "$(dm_names)" '' "devices after the shutdown"
if grep -E 'Stopped.*Device kept' /results/first.log; then
	fail "not left alone at shutdown"
fi
# blkdeactivate does not get at the snapshot of an origin that is in use, and does what it is for.
logged first 'unmounting data .*skipping' 'deactivating dm device data-old .*skipping' 'Unmounted.*data'
logged first 'deactivating dm device plain .*done' 'Unmounted.*data'
logged first 'Finished.*Device slow-old' 'Finished.*Device slow of' 'Stopped.*Device slow of' 'Stopped.*Device slow-old'

start second
logged second 'Unmounted.*data' 'Stopped.*Device data of' 'Stopped.*Device data-old'
if grep -E 'Failed to stop|dm-scaled@data.*(Failed|failed)' /results/second.log; then
	fail "not removed by its unit"
fi
assert_eq "$(dm_names)" ''

unload_module
uninstall_module
sed -i 's/defaults/nofail/' $root/etc/fstab
sed -i 's/ - / nofail /' $root/etc/dm-scaledtab
start missing
logged missing "no target snapshot-scaled: module dm-scaled .* is not there for [1-9]"
logged missing "its snapshot 'data-old' .line 2. is not active"
echo "all devices came and went as they should"
