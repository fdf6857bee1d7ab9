# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="a clone's table lines, messages, events, limits; two clones and one metadata device; takeover"
EACH=1
SELDOM=debug

# refused PATTERN ARGUMENT...
refused()
{
	local pattern=$1

	shift
	log_mark
	if dmsetup create refused --table "0 $len $clone_target $*" 2> /dev/null; then
		fail "accepted: $*"
	fi
	assert_match "$(log_since)" "$pattern"
}

# The name that dm-clone has stays its; those of dm-snapshot and our own are there, and the parameter tells.
beside_stock()
{
	local names=/sys/module/dm_scaled/parameters/takeover

	if modprobe -q dm-snapshot; then
		load_module takeover=clone,snapshot
		assert_eq "$(< $names)" "" "takeover beside dm-clone and dm-snapshot"
		unload_module
		modprobe -r dm-snapshot
	fi
	log_mark
	load_module takeover=snapshot,clone
	assert_match "$(log_since)" "Cannot take over target clone: error -1[67]: .*while dm_clone is not loaded"
	assert_eq "$(< $names)" snapshot "takeover beside dm-clone"
	have_target snapshot-origin || fail "no target snapshot-origin"
	have_target clone-scaled || fail "no target clone-scaled"
	rmmod dm_clone
	! have_target clone || fail "clone is there without dm-clone"
	unload_module
}

# shown ARGUMENTS STATUS: of a clone with these arguments behind its devices
shown()
{
	meta_clear
	dm_create clone "0 $len $clone_target $meta $dest $source $1"
	assert_eq "$(dmsetup table clone)" "0 $len $clone_target $numbers $1" "table"
	assert_match "$(dmsetup status clone)" "^0 $len $clone_target 8 [0-9]+/[0-9]+ $2$"
	dm_remove clone
}

is_read_only()
{
	[[ $(blockdev --getro "$1") == 1 ]]
}

run_test()
{
	local source dest meta len numbers device other module_name

	clone_devices 16
	len=$(sectors "$source")
	numbers=$(for device in "$meta" "$dest" "$source"; do lsblk -dno MAJ:MIN "$device" | tr -d ' '; done | xargs)

	shown "8 1 no_hydration 4 hydration_threshold 3 hydration_batch_size 2" \
		"8 0/4096 0 1 no_hydration 4 hydration_threshold 3 hydration_batch_size 2 rw"
	shown "2048 2 No_Discard_Passdown NO_HYDRATION 2 hydration_threshold 1" \
		"2048 0/16 0 2 no_hydration no_discard_passdown 4 hydration_threshold 1 hydration_batch_size 1 rw"
	shown "2097152 1 no_hydration 0" \
		"2097152 0/1 0 1 no_hydration 4 hydration_threshold 1 hydration_batch_size 1 rw"

	refused "Too few arguments" "$meta $dest $source"
	refused "Cannot open the metadata device" "/dev/none $dest $source 8"
	refused "Cannot open the destination device" "$meta /dev/none $source 8"
	refused "Cannot open the source device" "$meta $dest /dev/none 8"
	refused "must be three devices" "$meta $dest $dest 8"
	for size in 0 4 7 9 12 4194304 x -8 4294967304; do
		refused "Invalid region size" "$meta $dest $source $size"
	done
	refused "Wrong number of features" "$meta $dest $source 8 3 no_hydration no_hydration no_hydration"
	refused "Wrong number of features" "$meta $dest $source 8 1"
	refused "Wrong number of features" "$meta $dest $source 8 x"
	refused "Unknown feature" "$meta $dest $source 8 1 hydration"
	refused "Wrong number of core arguments" "$meta $dest $source 8 0 1 hydration_threshold"
	refused "Wrong number of core arguments" "$meta $dest $source 8 0 4 hydration_threshold 1"
	refused "must be a number of regions" "$meta $dest $source 8 0 2 hydration_threshold x"
	refused "must be a number of regions" "$meta $dest $source 8 0 2 hydration_threshold 4294967296"
	refused "Unknown argument" "$meta $dest $source 8 0 2 threshold 1"
	refused "Arguments left over" "$meta $dest $source 8 0 2 hydration_threshold 1 x"
	other=$(nullb_create size=15)
	refused "Destination device is smaller" "$meta $other $source 8"
	refused "Source device is smaller" "$meta $dest $other 8"

	# One metadata device, one clone; a new table for it may wait.
	meta_clear
	log_mark
	assert_fails dmsetup create refused <<- EOF
		0 8 $clone_target $meta $dest $source 8
		8 8 $clone_target $meta $dest $source 8
	EOF
	assert_match "$(log_since)" "Metadata device is in use already"
	meta_clear
	clone_create clone 8 1 no_hydration
	refused "Metadata device is in use already" "$meta $dest $source 8"
	dmsetup reload clone --table "$(clone_table 8)"
	dmsetup reload clone --table "$(clone_table 8 1 no_hydration)"
	put /dev/mapper/clone 80 8
	assert_fails dmsetup message clone 0 hydration_threshold x
	assert_fails dmsetup message clone 0 nonsense
	assert_fails dmsetup message clone 0 enable_hydration 1
	assert_eq "$(dmsetup message clone 0 stats)" "-" "no disk copies"
	assert_fails dmsetup message clone 0 offload auto
	dmsetup resume clone
	assert_eq "$(hydrated clone)" 1 "regions that the new table knows of"
	assert_holds /dev/mapper/clone 80 8 x

	# The end is an event, one.
	assert_eq "$(events clone)" 0 events
	dmsetup message clone 0 hydration_threshold 0
	dmsetup message clone 0 enable_hydration
	sleep 0.5
	assert_eq "$(hydrated clone)" 1 "with a threshold of 0"
	dmsetup message clone 0 hydration_batch_size 16
	dmsetup message clone 0 hydration_threshold 64
	dmsetup wait clone 0
	assert_eq "$(hydrated clone)" 4096
	put /dev/mapper/clone 0 8
	sync /dev/mapper/clone
	assert_eq "$(events clone)" 1 events
	dm_remove clone

	# A source that cannot be written to, a clone smaller than its devices, and a last region that is short.
	blockdev --setro "$source"
	is_read_only "$source" || fail "the source can be written to"
	meta_clear
	dm_create clone "0 1001 $clone_target $meta $dest $source 64"
	put /dev/mapper/clone 1000 1 y
	wait_for 60 is_hydrated clone
	assert_holds /dev/mapper/clone 960 40 s
	assert_holds /dev/mapper/clone 1000 1 y
	assert_eq "$(clone_status clone 4)" 16/16
	dm_remove clone
	assert_holds "$dest" 1000 1 y
	assert_holds "$dest" 0 960 s

	# Discards: only whole regions, and not a hint that anything depends on.
	meta_clear
	blkdiscard -z "$dest"
	clone_create clone 64 1 no_hydration
	blkdiscard -o $((512 * 60)) -l $((512 * 140)) /dev/mapper/clone
	assert_eq "$(clone_status clone 4)" 2/512 "hydrated by a discard"
	assert_holds /dev/mapper/clone 0 64 s
	assert_holds /dev/mapper/clone 64 128 0
	assert_holds /dev/mapper/clone 192 64 s
	dm_remove clone

	if is_ours; then
		unload_module
		assert_fails load_module takeover=clone,everything
		# Earlier tests may have loaded stock's.
		for module_name in dm_snapshot dm_clone; do
			[[ ! -d /sys/module/$module_name ]] || rmmod "$module_name"
		done
		! load_stock_clone || beside_stock
		load_module takeover=snapshot,clone
		have_target clone || fail "no target clone"
		have_target snapshot-origin || fail "no target snapshot-origin"
		meta_clear
		dm_create clone "0 $len clone $meta $dest $source 8"
		wait_for 60 is_hydrated clone
		dm_remove clone
		unload_module
		load_module
	fi
}
