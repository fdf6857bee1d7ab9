# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Helpers of the snapshot tests, on top of lib.sh.
#
# Each test can run on the stock targets (TARGET_SUFFIX=), as the reference; LONG=1 makes some of them
# take minutes instead of seconds.

: "${LONG:=}"

is_ours()
{
	[[ $TARGET_SUFFIX ]]
}

# long_or LONG SHORT: one of two numbers.
long_or()
{
	if [[ $LONG ]]; then echo "$1"; else echo "$2"; fi
}

# snap_param NAME VALUE: sets a module parameter, of stock's module where that is under test.
snap_param()
{
	if is_ours; then
		module_param "$1" "$2"
	else
		modprobe dm-snapshot
		echo "$2" > "/sys/module/dm_snapshot/parameters/$1"
	fi
}

# cows NAME: chunks of the given size that the snapshot has allocated; 8 sectors by default.
cows()
{
	local used

	used=$(snap_usage "$1")
	[[ $used == */* ]] || fail "$1 has no usage: $used"
	echo $((${used%%/*} / ${2:-8}))
}

# assert_cows NAME NUMBER [CHUNK]
assert_cows()
{
	assert_eq "$(cows "$1" "${3:-8}")" "$2" "chunks allocated by $1"
}

# pattern CHARACTER: a file of 16 MiB of it.
pattern()
{
	local file=/run/dm-scaled/pattern.$1 part=/run/dm-scaled/part.$BASHPID

	if [[ ! -e $file ]]; then
		mkdir -p "${file%/*}"
		# Others that want it at the same time find all of it, or nothing.
		head -c 16M /dev/zero | tr '\0' "$1" > "$part"
		mv "$part" "$file"
	fi
	echo "$file"
}

# cow_clear DEVICE: a persistent snapshot on it will be a new one.
cow_clear()
{
	dd if=/dev/zero of="$1" bs=4k count=1 oflag=direct status=none
}

# merge_start TABLE: as LVM does it: "snap" goes, and "origin" becomes the target that merges it.
merge_start()
{
	dmsetup reload origin --table "$1"
	dmsetup suspend snap
	dmsetup suspend origin
	dmsetup resume origin
	dm_remove snap
}

# is_merged NAME [CHUNK]: no exception is left; there are a header and an area of metadata.
is_merged()
{
	local chunk=${2:-8}

	[[ $(snap_usage "$1") == "$((2 * chunk))/"*" $((2 * chunk))" ]]
}

# put DEVICE SECTOR COUNT [CHARACTER]: writes sectors that are full of one character, in one request.
put()
{
	put_blocks "$1" "$2" 1 "$3" "${4:-x}"
}

# put_blocks DEVICE FIRST COUNT SECTORS [CHARACTER]: COUNT requests of SECTORS sectors in a row.
put_blocks()
{
	dd if="$(pattern "${5:-x}")" of="$1" bs="$(($4 * 512))" count="$3" oflag=direct,seek_bytes \
		seek="$(($2 * 512))" conv=notrunc status=none
}

# get DEVICE SECTOR COUNT: the sectors' contents as a checksum, read past the page cache.
get()
{
	dd if="$1" bs="$(($3 * 512))" count=1 iflag=direct,skip_bytes skip="$(($2 * 512))" \
		status=none | sha256sum | cut -d' ' -f1
}

# assert_holds DEVICE SECTOR COUNT CHARACTER: 0 stands for zeroes.
assert_holds()
{
	local file=/dev/zero

	[[ $4 == 0 ]] || file=$(pattern "$4")
	dd if="$1" bs="$(($3 * 512))" count=1 iflag=direct,skip_bytes skip="$(($2 * 512))" \
		status=none | cmp -n "$(($3 * 512))" - "$file" ||
		fail "$1 does not hold $4 in sectors $2 + $3 (line ${BASH_LINENO[0]})"
}

# --- I/O that is held up

# delay_table DEVICE MILLISECONDS: of a device on all of another one, whose reads it delays.
delay_table()
{
	echo "0 $(sectors "$1") delay $1 0 $2 $1 0 0"
}

# hold_reads NAME DEVICE: from now on reads of NAME, a dm-delay device on DEVICE, wait until they are let go.
hold_reads()
{
	dm_reload "$1" "$(delay_table "$2" 1000000)"
}

# let_go_reads NAME DEVICE: those that wait, and those to come; dm-delay delays nothing that is there when it is
# suspended for another table.
let_go_reads()
{
	dm_reload "$1" "$(delay_table "$2" 0)"
}

# is_holding NAME READS: that dm-delay device has so many to delay, which have gone through what stands on it.
is_holding()
{
	(($(dmsetup status "$1" | cut -d' ' -f4) >= $2))
}

# is_in_flight NAME [COUNT]: so many I/Os of the mapped device, at least; its target has seen them.
is_in_flight()
{
	local numbers reads writes

	numbers=$(dmsetup info -c --noheadings --separator : -o major,minor "$1")
	read -r reads writes < "/sys/dev/block/$numbers/inflight"
	((reads + writes >= ${2:-1}))
}

has_ended()
{
	! kill -0 "$1" 2> /dev/null
}

# soon COMMAND...: it ends although something is held up; for a busy machine a minute is soon.
soon()
{
	local pid

	"$@" & pid=$!
	wait_for 60 has_ended "$pid"
	wait "$pid"
}

# have_come NAME COUNT PID...: so many I/Os of the device are in flight, or one of the tasks has ended.
have_come()
{
	local pid

	! is_in_flight "$1" "$2" || return 0
	for pid in "${@:3}"; do
		! has_ended "$pid" || return 0
	done
	return 1
}

# assert_wait WHAT NAME COUNT PID...: each of the tasks waits for what is held up, with COUNT I/Os of the device.
assert_wait()
{
	local pid

	wait_for 60 have_come "${@:2}"
	sleep 0.3
	for pid in "${@:4}"; do
		! has_ended "$pid" || fail "$1"
	done
}

# Number of events of a device.
events()
{
	dmsetup info -c --noheadings -o events "$1"
}

# --- the data checker

model=/tmp/integrity.model

integrity()
{
	dmsc-integrity --seed "${SEED:-$RANDOM$RANDOM}" "$@"
}

# checker_start OPTION...: the checker in the background, at work when this returns, until checker_stop.
checker_start()
{
	rm -f /tmp/checker-ready
	dmsc-integrity --seed "${SEED:-$RANDOM$RANDOM}" --seconds 100000 --ready /tmp/checker-ready "$@" &
	checker=$!
	wait_for 60 checker_has_begun
}

checker_has_begun()
{
	[[ -e /tmp/checker-ready ]] || ! kill -0 "$checker" 2> /dev/null
}

# Who waits, and the requests that the block layer knows of.
report_hang()
{
	local file

	echo w > /proc/sysrq-trigger
	dmsetup table
	dmsetup status
	for file in /sys/kernel/debug/block/*/{requeue_list,hctx*/{busy,dispatch,state},cpu*/*rq_list}; do
		[[ ! -e $file ]] || awk -v file="$file" '{ print file ": " $0 }' "$file"
	done
}

# checker_stop: it must have found nothing. What hangs is looked at while it does: a thread that waits for I/O keeps
# the process that has given it up.
checker_stop()
{
	local status=0 end=$((SECONDS + 60))

	kill -TERM "$checker" || fail "the checker has ended"
	while kill -0 "$checker" 2> /dev/null && ((SECONDS < end)); do
		sleep 0.1
	done
	! kill -0 "$checker" 2> /dev/null || report_hang
	wait "$checker" || status=$?
	assert_eq "$status" 0 "exit code of the checker"
}

# is_invalid NAME
is_invalid()
{
	[[ $(snap_usage "$1") == Invalid ]]
}

# disk_create MB: a device for the data checker; tests replace it.
disk_create()
{
	nullb_create size="$1" discard=1
}

# integrity_start ORIGIN_MB COW_MB...: an origin "origin" with known contents, and a snapshot snap0, snap1, …
# for each COW size. Chunk sizes take turns. Devices are those of disk_create(). $store is N, the default, P or PO.
integrity_start()
{
	local mb=$1 index=0 cow

	shift
	sizes=(8 16 32 128 8 64 256 2048)
	dev=$(disk_create "$mb")
	origin_create origin "$dev"
	integrity --origin /dev/mapper/origin --fill --save $model
	snaps=()
	cows=()
	for cow in "$@"; do
		cow=$(disk_create "$cow")
		cows+=("$cow")
		snap_create "snap$index" origin "$dev" "$cow" "${store:-N}" "${sizes[index]}" \
			${features[@]+"${features[@]}"}
		snaps+=(--snapshot "/dev/mapper/snap$index")
		index=$((index + 1))
	done
}

# integrity_under_load COUNT CHUNK...: takes COUNT snapshots of "origin" under load, one for each chunk size at
# a time, each with a COW device as large as the origin's; the checker knows from its own writes what each
# must show. For devices made by integrity_start ORIGIN_MB. The command in $between, if any, is run
# after each snapshot, and the checker gets the options in $load_options. $store is N, the default, P or PO.
integrity_under_load()
{
	local count=$1 i slot name pid status=0 sizes=() cows=() live=()
	local mb=$(($(sectors "$dev") / 2048))

	shift
	sizes=("$@")
	for i in "$@"; do
		cows+=("$(disk_create $((mb + 1)))")
	done
	coproc CHECKER {
		exec dmsc-integrity --seed "${SEED:-$RANDOM$RANDOM}" --load $model --save $model \
			--seconds 100000 --control --json /tmp/integrity.json \
			${dropped[@]+"${dropped[@]}"} ${load_options[@]+"${load_options[@]}"}
	}
	pid=$CHECKER_PID
	for ((i = 0; i < count; i++)); do
		slot=$((i % ${#sizes[@]}))
		name=snap$slot.$i
		if [[ ${live[slot]:-} ]]; then
			tell drop "/dev/mapper/${live[slot]}"
			dm_remove "${live[slot]}"
		fi
		tell cut
		[[ ${store:-N} == N ]] || cow_clear "${cows[slot]}"
		snap_create "$name" origin "$dev" "${cows[slot]}" "${store:-N}" "${sizes[slot]}" \
			${features[@]+"${features[@]}"}
		tell add "/dev/mapper/$name"
		live[slot]=$name
		${between:-true}
		sleep 0.3
	done
	tell stop
	wait "$pid" || status=$?
	assert_eq "$status" 0 "exit code of the checker"
	grep -A 1 -E '"(read|write|zero|discard)"' /tmp/integrity.json | tr -d '\t\n'
	echo
	dropped=()
	for name in "${live[@]}"; do
		dropped+=(--drop-snapshot "/dev/mapper/$name")
		dm_remove "$name"
	done
}

# tell COMMAND...: to the checker in the background; waits for its answer.
tell()
{
	local reply=''

	[[ ${CHECKER[1]:-} ]] || fail "the checker has ended"
	echo "$@" >&"${CHECKER[1]}"
	read -r -t 100 reply <&"${CHECKER[0]}" || fail "no answer to: $*"
	assert_eq "$reply" ok "answer to: $*"
}
