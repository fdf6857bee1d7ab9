#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# activate.sh DMSC_TAB: what "dmsc-tab start" refuses, and what it does first, with a dmsetup that only tells of tables,
# and nodes without devices, in a /dev of its own.
set -euo pipefail
[[ ${OWN_DEV:-} ]] || OWN_DEV=y exec unshare -m bash "$0" "$@"
tab=$(realpath "$1")
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev
mknod /dev/null c 1 3
mkdir -p /dev/{vg,mapper,shm,disk/by-partuuid,disk/by-partlabel,disk/by-id} /run/bin
export PATH=/run/bin:$PATH
file=/run/tab

fail()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

cat > /run/bin/dmsetup << 'END_OF_DMSETUP'
#!/bin/bash
echo "$*" >> /run/calls
case $1 in
table)
	[[ ! -s /run/failures ]] || { sed -i 1d /run/failures; echo "a device is gone" >&2; exit 1; }
	cat /run/tables ;;
create) cat > /dev/null ;;
*) exit 1 ;;
esac
END_OF_DMSETUP
chmod +x /run/bin/dmsetup

minor=0
for name in vg/data vg/cow vg/cow2 vg/more disk/by-partuuid/1 disk/by-partlabel/a disk/by-id/usb; do
	mknod "/dev/$name" b 240 $minor
	minor=$((minor + 1))
done
ln -s vg/data /dev/again

# tables [LINE...]: what is active
tables()
{
	printf '%s\n' "$@" > /run/tables
}

# lines LINE...: the file
lines()
{
	printf '%s\n' "$@" > $file
}

# start NAME|--all: sets "output", and "made" to the names that dmsetup was told to create
start()
{
	local code=0

	: > /run/calls
	output=$("$tab" start "$1" --file $file 2>&1) || code=$?
	made=$(sed -n 's/^create \([^ ]*\).*/\1/p' /run/calls | xargs)
	return $code
}

# started NAMES [ARGUMENT]: those are created, and nothing is wrong
started()
{
	start "${2:-$1}" || fail "line ${BASH_LINENO[0]}: refused: $output"
	[[ $made == "$1" ]] || fail "line ${BASH_LINENO[0]}: not $1, but '$made' was made: $output"
}

# refused PATTERN NAME: nothing is created
refused()
{
	! start "$2" || fail "line ${BASH_LINENO[0]}: not refused: $2"
	[[ ! $made && $output =~ $1 ]] || fail "line ${BASH_LINENO[0]}: no $1, made '$made': $output"
}

data='data - 0 8 origin-scaled /dev/vg/data'
snap='snap - 0 8 snapshot-scaled /dev/vg/data /dev/vg/cow P 8'
active_data='data: 0 8 origin-scaled 240:0'
active_snap='snap: 0 8 snapshot-scaled 240:0 240:1 P 8'

# --- an origin comes after its snapshots

tables
lines "$data" "$snap"
refused "its snapshot 'snap' \(line 2\) is not active" data
tables "$active_snap"
started data
tables 'snap: 0 8 snapshot-scaled 240:0 240:2 P 8'
refused "its snapshot 'snap'" data
tables 'snap: 0 8 snapshot-scaled 240:0 240:1 N 8'
refused "its snapshot 'snap'" data
tables "$active_snap" "$active_data"
started '' data

# A wrong line may be a snapshot of each device that it has, by whatever name and for whatever fault.
tables
for device in PARTUUID=1 PARTLABEL=a ID=usb /dev/disk/by-id/usb; do
	path=${device/PARTUUID=//dev/disk/by-partuuid/}
	path=${path/PARTLABEL=//dev/disk/by-partlabel/}
	path=${path/#ID=//dev/disk/by-id/}
	for wrong in "x - 0 8 snapshot-scaled $device /dev/vg/cow P" "x nofial 0 8 snapshot-scaled $device /dev/vg/cow P 8" \
		"x snapshot-scaled $device /dev/vg/cow P 8" "- - 0 8 snapshot-scaled $device /dev/vg/cow P 8" \
		"y - 0 8 snapshot-scaled $device /dev/vg/cow2 P 8" "x - 0 8 snapshot-scaled $device /dev/vg/more P 8" \
		"x x-initrd.attach 0 8 snapshot-scaled $device /dev/mapper/y P 8"; do
		lines "data - 0 8 origin-scaled $device" 'y noauto 0 8 thin-pool /dev/vg/more 0' "$wrong"
		refused "line 3, which has $path, is wrong" data
	done
done

# What is not there may be another name of it: PARTUUID of a disk that udev has not seen yet.
lines "$data" 'x - 0 8 snapshot-scaled /dev/disk/by-id/late /dev/vg/cow P 8'
refused "'x' \(line 2\) is a snapshot of /dev/disk/by-id/late, which is not there" data
lines "$data" 'x - 0 8 snapshot-scaled /dev/disk/by-id/late /dev/vg/cow'
refused "line 2, which has /dev/disk/by-id/late, .* is wrong" data
lines "$data" 'x - 0 8 snapshot-scaled WWN=5 /dev/vg/cow P 8'
refused "line 2, which has WWN=5, .* is wrong" data
lines "$data" 'x - snapshot-scaled'
refused "line 2 is wrong, and may be a snapshot" data
# Not if it is the origin of another line, or above one.
lines "$data" 'x - 0 8 snapshot-scaled /dev/disk/by-id/late /dev/vg/cow P 8' \
	'z - 0 8 origin-scaled /dev/disk/by-id/late'
started data
lines "$data" 'x - 0 8 snapshot-scaled /dev/mapper/above /dev/vg/cow P 8' 'above - 0 8 linear /dev/mapper/data 0'
started data
# A wrong line that has other devices only is none.
lines "$data" 'x - 0 8 snapshot-scaled /dev/vg/more /dev/vg/cow P'
started data

# --- one path for each origin

lines "$data" 'snap - 0 8 snapshot-scaled /dev/again /dev/vg/cow P 8'
refused "line 2, which has /dev/again, is wrong" data
refused "/dev/again: is the same device as /dev/vg/data: must be the path that 'data' in line 1 has" snap
output=$("$tab" check --file $file 2>&1) && fail "right: two paths of an origin"
[[ $output == "$file:2: 'snap': /dev/again: is the same device as"* ]] || fail "check: $output"

# --- others that write to the device below

lines "$data"
for table in '0 8 crypt aes-xts-plain64 0 0 240:0 0' '0 8 linear 240:0 0' '0 8 linear 8:0 0
other: 8 8 linear 240:0 8' '0 8 clone-scaled 240:3 240:0 8:0 8 1 2 0 0' '0 8 clone-scaled 240:0 240:3 8:0 8 1 2 0 0' \
	'0 8 snapshot-scaled 8:0 240:0 P 8' '0 8 thin-pool 8:0 240:0 128 0'; do
	tables "other: $table"
	refused "/dev/vg/data: must not be an origin: 'other', which is active, has it as" data
done
lines 'copy - 0 8 linear /dev/vg/data 0'
tables "$active_data"
refused "/dev/vg/data: must not be part of another device: 'data', which is active, has it as an origin" copy
lines "$data"
tables 'other: 0 8 clone-scaled 240:3 240:2 240:0 8 1 2 0 0' 'more: 0 8 linear 240:3 0'
started data
lines 'copy - 0 8 snapshot-scaled /dev/vg/more /dev/vg/cow N 8'
tables 'other: 0 8 linear 240:1 0'
refused "/dev/vg/cow: must be a device of its own: 'other', which is active, has it as part" copy

# --- what is there already

lines "$data" "$snap"
tables 'data: 0 16 origin-scaled 240:0'
refused 'is active, but has another size, 16 sectors: must have 8: stop it' data
tables 'data: 0 8 linear 240:0 0'
refused 'there is a device of that name already: its table is 0 8 linear' data
tables 'snap: 0 8 snapshot-scaled 240:0 240:1 PO 8'
refused 'its table is .* PO 8, must be .* P 8' snap
tables 'snap: 0 8 snapshot-scaled 240:0 240:1 P 64 1 discard_zeroes_cow'
started '' snap
lines 'pool - 0 8 thin-pool /dev/vg/cow /dev/vg/data 128 0 1 skip_block_zeroing'
tables 'pool: 0 8 thin-pool 240:1 240:0 128 0 2 skip_block_zeroing error_if_no_space'
started '' pool
tables 'pool: 0 8 thin-pool 240:0 240:1 128 0 0'
refused 'its table is' pool
# A device went while dmsetup looked at them.
tables
lines 'x - 0 8 error'
printf '%s\n' 1 2 3 > /run/failures
started x
[[ $(grep -c '^table$' /run/calls) == 4 ]] || fail "tables: $(< /run/calls)"

# --- all of them: with what has to be active before, and nothing else

lines 'low noauto 0 8 error' 'x noauto 0 8 error' 'top - 0 8 linear /dev/mapper/low 0' 'lowest noauto 0 8 error'
start --all && fail "top has no device below"
[[ $made == low && $output == *"'top': /dev/mapper/low: there is no such device" ]] || fail "made $made: $output"
lines 'a - 0 8 error' 'b noauto 0 8 error' 'c nofail,x-initrd.attach 0 8 error'
started 'a c' --all
started c --initrd

# --- active snapshots are held open, whatever the file says

for name in data old new top; do
	: > /dev/mapper/$name
done
lines 'old - 0 8 linear /dev/vg/data 0' 'gone - 0 8 snapshot-scaled /dev/vg/data /dev/vg/cow P 8'
tables "$active_data" 'old: 0 8 snapshot-scaled 240:0 240:1 P 8' 'new: 0 4 linear 240:3 0
new: 4 4 snapshot 240:0 240:2 N 8' 'top: 0 8 linear 240:4 0'
open_nodes='readlink /proc/$$/fd/* | grep ^/dev/mapper/'
output=$("$tab" hold -- bash -c "echo \"\$@\"; $open_nodes" 0 -a --all x 2>&1)
[[ $output == '-a --all x
/dev/mapper/new
/dev/mapper/old' ]] || fail "held: $output"
code=0
"$tab" hold -- bash -c 'exit 3' || code=$?
((code == 3)) || fail "exit code $code of the command"
output=$("$tab" hold -- /nothing 2>&1) && fail "nothing was run"
[[ $output == 'dmsc-tab: /nothing: No such file or directory' ]] || fail "said: $output"
# What cannot be held may be removed, so nothing is run; unless it has gone meanwhile.
for name in old none; do
	ln -sf $name /dev/mapper/$name
	tables "$name: 0 8 snapshot-scaled 240:0 240:1 P 8"
	output=$("$tab" hold -- echo run 2>&1) && fail "run without the snapshot"
	[[ $output == "dmsc-tab: /dev/mapper/$name: "* ]] || fail "said: $output"
	rm /dev/mapper/$name
done
output=$("$tab" hold -- echo run 2>&1) && fail "run without the snapshot"
[[ $output == "dmsc-tab: /dev/mapper/none: No such file"* ]] || fail "said: $output"
sed -i 's/^table)/&\n\tcp \/run\/tables \/run\/last; : > \/run\/tables; cat \/run\/last; exit ;;\nignored)/' \
	/run/bin/dmsetup
[[ $("$tab" hold -- echo run) == run ]] || fail "not run although the snapshot has gone"
sed -i '/^table)/,/^ignored)/c table)' /run/bin/dmsetup
tables
[[ $("$tab" hold -- echo run) == run ]] || fail "not run without snapshots"
# Without a place for the lock they are held nevertheless.
mv /run/dmsc-tab /run/kept
: > /run/dmsc-tab
: > /dev/mapper/old
tables 'old: 0 8 snapshot-scaled 240:0 240:1 P 8'
output=$("$tab" hold -- bash -c "$open_nodes" 2> /run/said)
[[ $output == /dev/mapper/old && $(< /run/said) == '/run/dmsc-tab/hold: Not a directory' ]] ||
	fail "held $output: $(< /run/said)"
rm /run/dmsc-tab
mv /run/kept /run/dmsc-tab
"$tab" hold 2> /dev/null && fail "no command"
# A snapshot is removed when nobody holds it any more, also none whom the command has started.
tables "$active_snap" 'other: 0 8 linear 240:3 0'
: > /dev/mapper/snap
mkfifo /run/end
"$tab" hold -- bash -c 'read < /run/end & echo > /run/held'
[[ -e /run/held ]] || fail "not run"
: > /run/calls
"$tab" stop other --file $file 2> /dev/null && fail "removed by a dmsetup that cannot"
grep -q '^remove .*other' /run/calls || fail "waits with what is no snapshot"
"$tab" stop snap --file $file 2> /run/said &
stop=$!
sleep 0.5
! grep '^remove .*snap' /run/calls || fail "is removed while it is held"
echo > /run/end
wait $stop && fail "removed by a dmsetup that cannot"
grep -q '^remove .*snap' /run/calls || fail "not removed: $(< /run/calls)"
grep -q "waits for the end of 'dmsc-tab hold'" /run/said || fail "waits without a word: $(< /run/said)"

# --- the file cannot be read

file=/run
start x && fail "a folder was read"
[[ $output == 'dmsc-tab: /run: cannot be read to its end' ]] || fail "said of a folder: $output"
file=/run/loop
ln -s loop $file
start x && fail "there is no file"
[[ $output == "dmsc-tab: $file: Too many levels"* ]] || fail "said of a loop: $output"
file=/run/none
start x && fail "there is no file"
[[ $output == "dmsc-tab: $file: there is no such file" ]] || fail "said of no file: $output"
