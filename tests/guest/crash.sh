# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Power cuts: what is written to $disk is recorded in $log_disk, and replayed on $replayed up to some of its flushes.
#
# A test that sources this defines below DISK, which makes its devices on DISK, below_remove, and look, which is called
# wherever the power might fail, with what is left on $replayed.

requires()
{
	modprobe -q dm-log-writes || skip "no dm-log-writes here"
}

# record COMMAND...: what it writes to the devices of below
record()
{
	dd if=/dev/zero of="$log_disk" bs=1M count=1 oflag=direct status=none
	dm_create logged "0 $(sectors "$disk") log-writes $disk $log_disk"
	below /dev/mapper/logged
	"$@"
	below_remove
	dm_remove logged
}

# replay TEST POINTS [ARGUMENT...]: $replayed is as the disk was when the recording began. At so many points look of the
# test's file is called, with the arguments, in a shell of its own, which has what is exported.
replay()
{
	local name=$1 points=$2

	shift 2
	export replayed variant TARGET_SUFFIX
	"$opt/tools/dmsc-replay" --log "$log_disk" --to "$replayed" --points "$points" --seed "${SEED:-$RANDOM}" --torn -- \
		bash -c 'set -euo pipefail; . "$lib/lib.sh"; . "$lib/$0.sh"; look "$@"' "$name" "$@"
}
