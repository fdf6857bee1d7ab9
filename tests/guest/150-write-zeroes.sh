# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="write zeroes: as a command where the disks have one, by writing where they refuse it"
EACH=1
SELDOM=debug
TIMEOUT=200

requires()
{
	is_ours || skip "stock writes pages of zeroes"
	modprobe -qn scsi_debug || skip "no scsi_debug here"
}

# Without -f it looks for file systems.
zero()
{
	blkdiscard -f -z -o "$(($2 * 512))" -l "$(($3 * 512))" "$1"
}

tracing=/sys/kernel/tracing
watch_bios()
{
	echo > $tracing/trace
	echo 1 > $tracing/events/block/block_bio_queue/enable
}

# seen DISK: how many bios it has got since watch_bios, by kind; Z are zeroes, which most kernels show as neither
# read nor write
seen()
{
	local number

	echo 0 > $tracing/events/block/block_bio_queue/enable
	number=$(tr : , < "/sys/block/${1#/dev/}/dev")
	awk -v disk="$number" '{
			for (i = 1; i < NF; i++)
				if ($i == "block_bio_queue:" && $(i + 1) == disk)
					print $(i + 2) ~ /^(N|WZ)/ ? "Z" : substr($(i + 2), 1, 1)
		}' $tracing/trace | sort | uniq -c | awk '{ printf "%s%s:%d", (NR > 1 ? " " : ""), $2, $1 }'
}

run_test()
{
	local disks o c store

	[[ -e $tracing/trace ]] || mount -t tracefs tracefs $tracing
	mapfile -t disks < <(scsi_create 2 add_host=2 per_host_store=1 dev_size_mb=18 lbpu=1 lbpws=1 lbprz=1 ndelay=1)
	o=${disks[0]} c=${disks[1]}

	for store in N P; do
		cow_clear "$c"
		put_blocks "$o" 0 16 2048 a
		origin_create origin "$o"
		snap_create snap origin "$o" "$c" $store 16
		assert_le 1048576 "$(dm_limit origin write_zeroes_max_bytes)"
		assert_le 1048576 "$(dm_limit snap write_zeroes_max_bytes)"

		# Through the origin: copies first, then one command for what needs no more; nothing is written.
		watch_bios
		zero /dev/mapper/origin 16 4096
		assert_match "$(seen "$o")" '^R:[0-9]+ Z:[0-9]+$' "$store: bios of the origin"
		assert_holds /dev/mapper/origin 16 4096 0
		assert_holds /dev/mapper/origin 0 16 a
		assert_holds /dev/mapper/origin 4112 64 a
		assert_holds /dev/mapper/snap 0 8192 a
		watch_bios
		zero /dev/mapper/origin 16 4096
		assert_eq "$(seen "$o") $(seen "$c")" 'Z:1 ' "$store: bios for copied chunks"

		# Whole chunks of the snapshot are zeroed in the COW device, parts of chunks after the copy.
		watch_bios
		zero /dev/mapper/snap 8192 8192
		assert_eq "$(seen "$o")" '' "$store: reads of the origin"
		if [[ $store == N ]]; then
			assert_match "$(seen "$c")" '^Z:[0-9]+$' "bios of the COW device"
		fi
		zero /dev/mapper/snap 20003 1000
		zero /dev/mapper/snap 32 64
		assert_holds /dev/mapper/snap 8192 8192 0
		assert_holds /dev/mapper/snap 20003 1000 0
		assert_holds /dev/mapper/snap 20000 3 a
		assert_holds /dev/mapper/snap 21003 100 a
		assert_holds /dev/mapper/snap 32 64 0
		assert_holds /dev/mapper/snap 96 4000 a
		assert_holds /dev/mapper/origin 8192 16384 a
		[[ $store == P ]] ||
			assert_cows snap $((4096 / 16 + 8192 / 16 + (21003 + 15) / 16 - 20003 / 16)) 16
		if [[ $store == P ]]; then
			dm_remove snap
			snap_create snap origin "$o" "$c" P 16
			assert_holds /dev/mapper/snap 8192 8192 0
			assert_holds /dev/mapper/snap 20003 1000 0
			assert_holds /dev/mapper/snap 96 4000 a
		fi
		dm_remove snap origin
	done

	# A merging target.
	cow_clear "$c"
	put_blocks "$o" 0 16 2048 a
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" P 16
	put_blocks /dev/mapper/origin 0 12 2048 b
	merge_start "0 $(sectors "$o") merge-scaled $o $c P 16"
	zero /dev/mapper/origin 1000 9000
	wait_for 60 is_merged origin 16
	assert_holds /dev/mapper/origin 0 1000 a
	assert_holds /dev/mapper/origin 1000 9000 0
	assert_holds /dev/mapper/origin 10000 20000 a
	dm_remove origin
	modprobe -r scsi_debug

	# Files of tmpfs offer it, and refuse it for devices whose blocks are to stay allocated.
	o=$(loop_create 16) c=$(loop_create 18)
	put_blocks "$o" 0 16 2048 a
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" N 16
	zero /dev/mapper/origin 16 4096
	zero /dev/mapper/snap 8192 4096
	zero /dev/mapper/snap 40 16
	zero /dev/mapper/snap 8200 16
	assert_holds /dev/mapper/origin 16 4096 0
	assert_holds /dev/mapper/snap 0 40 a
	assert_holds /dev/mapper/snap 40 16 0
	assert_holds /dev/mapper/snap 56 4000 a
	assert_holds /dev/mapper/snap 8192 4096 0
	assert_match "$(snap_usage snap)" /
}
