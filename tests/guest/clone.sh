# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Helpers of the clone tests, on top of lib.sh and snap.sh.
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"

# The target under test; TARGET_SUFFIX= makes it stock's, which the test kernels have.
clone_target=clone$TARGET_SUFFIX

# clone_devices MB [ATTRIBUTE=VALUE...]: sets "source", "dest" and "meta"; the source is full of "s".
clone_devices()
{
	local mb=$1

	shift
	source=$(nullb_create size="$mb" "$@")
	dest=$(nullb_create size="$mb" discard=1 "$@")
	meta=$(nullb_create size=4)
	head -c "${mb}M" /dev/zero | tr '\0' s | dd of="$source" bs=1M oflag=direct iflag=fullblock status=none
}

# meta_clear [DEVICE]: a clone on it, on $meta by default, will be a new one.
meta_clear()
{
	dd if=/dev/zero of="${1:-$meta}" bs=4k count=2 oflag=direct status=none
}

# has_metadata DEVICE: it has been the metadata device of one of our clones
has_metadata()
{
	[[ $(dd if="$1" bs=1 skip=8 count=15 status=none | tr -d '\0') == dm-clone-scaled ]]
}

# Our kernels have stock's dm-clone, for others the harness adds it.
load_stock_clone()
{
	# An earlier test may have loaded it.
	[[ ! -d /sys/module/dm_clone ]] || return 0
	modprobe -q dm-persistent-data || true
	modprobe -q dm-clone || insmod "$opt/dm-clone.ko" 2> /dev/null
}

requires_stock_clone()
{
	is_ours || skip "compares ours with stock"
	load_stock_clone || skip "no dm-clone here"
}

# clone_create NAME REGION [ARGUMENT...]: of the devices that clone_devices() has made
clone_create()
{
	local name=$1

	shift
	dm_create "$name" "$(clone_table "$@")"
}

# clone_table REGION [ARGUMENT...]
clone_table()
{
	echo "0 $(sectors "$source") $clone_target $meta $dest $source $*"
}

# clone_status NAME FIELD: 1 is the metadata's block size, 4 is hydrated/total, 5 hydrating, and so on
clone_status()
{
	dmsetup status "$1" | cut -d' ' -f"$(($2 + 3))"
}

# is_copying NAME OPERATOR NUMBER: compares the number of regions being copied, e.g. with -gt 1
is_copying()
{
	test "$(clone_status "$1" 5)" "$2" "$3"
}

# clone_mode NAME: rw, ro or Fail
clone_mode()
{
	dmsetup status "$1" | awk '{ print $NF }'
}

# hydrated NAME: number of regions that are
hydrated()
{
	local regions

	regions=$(clone_status "$1" 4)
	echo "${regions%/*}"
}

is_hydrated()
{
	local regions

	regions=$(clone_status "$1" 4)
	[[ ${regions%/*} == "${regions#*/}" ]]
}

# all_io NAME: reads and writes of a mapped device, and their sectors; it neither merges nor cuts them
all_io()
{
	awk '{ print $1, $5, $3, $7 }' "/sys/dev/block/$(dmsetup info -c --noheadings --separator : -o major,minor "$1")/stat"
}

# asks READS SECTORS WRITES SECTORS COMMAND...: that is what the command asks of the source and of the destination, two
# mapped devices
asks()
{
	local from to from_now to_now expected="$1 reads of $2, $3 writes of $4"

	shift 4
	read -ra from < <(all_io "${source##*/}")
	read -ra to < <(all_io "${dest##*/}")
	"$@"
	read -ra from_now < <(all_io "${source##*/}")
	read -ra to_now < <(all_io "${dest##*/}")
	assert_eq "$((from_now[0] - from[0])) reads of $((from_now[2] - from[2])), $((to_now[1] - to[1])) writes of $(
		)$((to_now[3] - to[3]))" "$expected" "$*"
}

# clone_load_and REGION FEATURES COMMAND: the data checker writes to a clone of known data, with COMMAND again and again
# beside it; in the end everything is hydrated and the destination is right by itself. I/O has up to MAX_IO bytes.
clone_load_and()
{
	local region=$1 features=$2 command=$3 pid

	dm_create origin "0 $(sectors "$source") linear $source 0"
	integrity --origin /dev/mapper/origin --fill --save $model
	dm_remove origin
	# shellcheck disable=SC2086
	clone_create origin "$region" $features
	dmsc-integrity --seed "${SEED:-$RANDOM$RANDOM}" --load $model --save $model --max-io "${MAX_IO:-262144}" \
		--seconds "$(long_or 30 "$(slow_or 5 6)")" &
	pid=$!
	while kill -0 "$pid" 2> /dev/null; do
		$command
	done
	wait "$pid"
	integrity --load $model --verify-only
	dmsetup message origin 0 enable_hydration
	wait_for 120 is_hydrated origin
	assert_eq "$(clone_status origin 5)" 0 "hydrating"
	dm_remove origin
	dm_create origin "0 $(sectors "$source") linear $dest 0"
	integrity --load $model --verify-only
	dm_remove origin
}
