# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="data under random load with slow devices below the COW device and below the origin"
KERNELS=stock
TIMEOUT=300
SOAK=1

# delayed NAME MB READ_MS WRITE_MS: prints the device
delayed()
{
	local below

	below=$(nullb_create size="$2")
	dm_create "$1" "0 $(sectors "$below") delay $below 0 $3 $below 0 $4"
	echo "/dev/mapper/$1"
}

# one ORIGIN_READ_MS ORIGIN_WRITE_MS COW_READ_MS COW_WRITE_MS
one()
{
	local slot=0 chunk

	dev=$(delayed slow_origin 16 "$1" "$2")
	origin_create origin "$dev"
	integrity --origin /dev/mapper/origin --fill --save $model --threads 32
	snaps=()
	for chunk in 8 64 2048; do
		snap_create snap$slot origin "$dev" "$(delayed slow_cow$slot 17 "$3" "$4")" N $chunk
		snaps+=(--snapshot "/dev/mapper/snap$slot")
		slot=$((slot + 1))
	done
	integrity --load $model "${snaps[@]}" --threads 32 --max-io 65536 --seconds "$(long_or 60 "$(slow_or 3 6)")"
	dm_remove snap0 snap1 snap2 slow_cow0 slow_cow1 slow_cow2 origin slow_origin
}

run_test()
{
	modprobe dm-delay
	one 0 0 0 30
	one 0 0 30 0
	one 30 0 0 0
	one 20 40 10 5
}
