# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="dmsc-tab: no origin without its snapshots; what is there stays; stacks, merges; what is wrong is said"
EACH=1
SELDOM=debug

requires()
{
	is_ours || skip "has ours in its table"
}

file=/tmp/dm-scaledtab

# tab COMMAND...
tab()
{
	dmsc-tab "$@" --file $file
}

# refused PATTERN COMMAND...: of tab()
refused()
{
	assert_fails tab "${@:2}"
	assert_match "$REPLY" "$1"
}

lines()
{
	printf '%s\n' "$@" > $file
	tab check
}

# names: of all mapped devices
names()
{
	dm_names | sort | xargs
}

is_suspended()
{
	[[ $(dmsetup info -c --noheadings -o suspended "$1") == Suspended ]]
}

run_test()
{
	local origin cow cow2 cow3 slow size pid writer old data snap at n

	origin=$(nullb_create size=64)
	cow=$(nullb_create size=32)
	cow2=$(nullb_create size=32)
	size=$(sectors "$origin")
	data="data - origin-scaled $origin"
	snap="snap - snapshot-scaled $origin $cow P 8"
	mke2fs -q -t ext4 "$origin"

	# The order of one origin and its snapshot.
	lines "$data" "$snap"
	refused "^$file:1: 'data': its snapshot 'snap' \(line 2\) is not active" start data
	assert_eq "$(names)" ''
	old=$(checksum "$origin")
	tab start snap
	tab start data
	assert_match "$(dmsetup table data)" "^0 $size origin-scaled "
	mount /dev/mapper/data /mnt
	head -c 1M /dev/urandom > /mnt/file
	sync
	assert_eq "$(checksum /dev/mapper/snap)" "$old" "the snapshot"
	[[ $(checksum "$origin") != "$old" ]] || fail "nothing was written"
	# Again: nothing happens. Removal: neither of them, as long as the origin is in use.
	tab start --all
	refused "'data' is active: what is written to it would be missing" stop snap
	refused "'data': cannot be removed: it is mounted on /mnt" stop data
	refused "missing from the snapshot" stop --all
	assert_eq "$(names)" 'data snap'
	umount /mnt
	tab stop --all
	assert_eq "$(names)" ''
	tab stop data

	# The machine starts again.
	unload_module
	load_module
	tab start --all
	assert_eq "$(names)" 'data snap'
	assert_eq "$(checksum /dev/mapper/snap)" "$old" "the snapshot after a restart"
	assert_match "$(dmsetup status snap)" " [1-9][0-9]*/"

	# Without the snapshot the origin goes on; then it is not the same snapshot any more.
	dmsetup remove snap
	refused "'snap': 'data' is active without it: .* dd if=/dev/zero of=$cow bs=128k" start snap
	dd if=/dev/zero of="$cow" bs=4k count=1 oflag=direct status=none
	refused "'snap': $cow: would be overwritten as a new one, .*dd if=/dev/zero of=$cow bs=128k" start snap
	dd if=/dev/zero of="$cow" bs=128k count=1 oflag=direct status=none
	fio --name=w --filename=/dev/mapper/data --rw=randwrite --bs=4k --size=16m --time_based --runtime=3 \
		--direct=1 --output=/dev/null &
	pid=$!
	tab start snap
	old=$(checksum /dev/mapper/snap)
	wait $pid
	assert_eq "$(checksum /dev/mapper/snap)" "$old" "a snapshot that was taken while somebody wrote"
	[[ $(dmsetup info -c --noheadings -o suspended data) == Active ]] || fail "data stays suspended"
	# A transient one may come at any time, and go.
	lines "$data" "$snap" "moment noauto snapshot-scaled $origin $cow2 N 8"
	tab start moment
	assert_match "$(dmsetup table moment)" " N 8$"
	tab stop moment
	# If the kernel refuses it nothing stays, and the origin goes on.
	ln -s "$cow" /dev/cow-again
	lines "$data" "$snap" "moment - snapshot-scaled $origin /dev/cow-again N 8"
	refused "'moment': the kernel refuses the table, 0 $size snapshot-scaled .* N 8: .*Cannot take the snapshot over" \
		start moment
	rm /dev/cow-again
	assert_eq "$(names)" 'data snap'
	[[ $(dmsetup info -c --noheadings -o suspended data) == Active ]] || fail "data stays suspended"
	tab stop data
	tab stop snap

	# Only a blank device becomes a new one: here one of a file system, and one whose first 64 KiB are free.
	cow3=$(nullb_create size=32)
	for at in 1 64; do
		dd if=/dev/zero of="$cow3" bs=1M count=1 oflag=direct status=none
		if ((at == 1)); then
			mke2fs -q -t ext4 "$cow3"
		else
			echo x | dd of="$cow3" bs=1k seek=$at conv=notrunc status=none
		fi
		sync "$cow3"
		old=$(checksum "$cow3")
		printf '%s\n' "new - snapshot-scaled $cow2 $cow3 P 8" "merge - merge-scaled $cow2 $cow3 PO 8" \
			"copy - clone-scaled $cow3 $cow2 $origin 8" | while read -r line; do
			((at > 1)) || [[ $line != copy* ]] || continue
			lines "$line"
			refused "$cow3: would be overwritten as a new one" start "${line%% *}"
		done
		assert_eq "$(checksum "$cow3")" "$old" "what is on the device"
	done
	dd if=/dev/zero of="$cow3" bs=1M count=1 oflag=direct status=none

	# What is wrong, or is called otherwise, may be a snapshot.
	printf '%s\n' "$data" "snap - snapshot-scaled $origin $cow P" > $file
	refused "^$file:1: 'data': line 2, which has $origin, is wrong" start data
	ln -s "$origin" /dev/another-name
	printf '%s\n' "$data" "snap - snapshot-scaled /dev/another-name $cow P 8" > $file
	refused "$file:2: 'snap': /dev/another-name: is the same device as $origin" check
	refused "line 2, which has /dev/another-name, is wrong" start --all
	assert_eq "$(names)" ''
	lines "$data" "$snap"
	tab start --all
	lines "other - merge-scaled /dev/another-name $cow2 P 8"
	refused "'data' is active on the same device" start other
	lines "$data" "$snap" "more - snapshot-scaled /dev/not-yet $cow2 N 8"
	tab stop data
	refused "'more' \(line 3\) is a snapshot of /dev/not-yet, which is not there" start data
	assert_eq "$(names)" snap
	tab stop snap
	rm /dev/another-name

	# A snapshot of what is above the origin sees nothing, whatever it is called.
	lines "$data"
	tab start data
	ln -s "$(readlink -f /dev/mapper/data)" /dev/data-again
	lines "$data" "more - snapshot-scaled /dev/data-again $cow2 N 8"
	refused "'more': /dev/data-again: must be the device below 'data'" start more
	rm /dev/data-again
	tab stop data

	# Nor does one of a device that others write to.
	dm_create other "0 8 linear $origin 0"
	lines "$data"
	refused "$origin: must not be an origin: 'other', which is active, has it as part" start data
	lines "$data" "$snap"
	refused "'snap': $origin: must not be an origin: 'other'" start snap
	dm_remove other

	# It is there, but not as it should be.
	lines "data read-only origin-scaled $origin"
	tab start data
	lines "$data"
	refused "'data': is active, but read-only: must not be" start data
	tab stop data

	# Several at once; and killed while the first of two origins is suspended: neither stays so.
	lines "$data" "$snap"
	for n in 1 2 3; do
		tab start --all &
		pid=$!
		tab start --all
		wait $pid
		assert_eq "$(names)" 'data snap'
		tab stop --all
	done
	modprobe dm-delay
	size=$(sectors "$cow3")
	dm_create slow "0 $(sectors "$origin") delay $origin 0 0 $origin 0 8000"
	slow=/dev/mapper/slow
	lines "a - origin-scaled $cow3" "b - origin-scaled $slow"
	tab start --all
	lines "a - origin-scaled $cow3" "b - origin-scaled $slow" \
		"both - 0 $size snapshot-scaled $cow3 $cow2 N 8, $size $size snapshot-scaled $slow $cow N 8"
	dd if=/dev/zero of=/dev/mapper/b bs=4k count=1 oflag=direct status=none &
	writer=$!
	sleep 0.5
	dmsc-tab start both --file $file &
	pid=$!
	wait_for 7 is_suspended a
	kill -TERM $pid
	wait $pid && fail "not killed"
	wait $writer
	assert_eq "$(names)" 'a b both slow'
	for n in a b both; do
		! is_suspended $n || fail "$n stays suspended"
	done
	tab stop a
	tab stop b
	tab stop both
	dm_remove slow
	size=$(sectors "$origin")
	dd if=/dev/zero of="$cow" bs=128k count=1 oflag=direct status=none
	dd if=/dev/zero of="$cow2" bs=128k count=1 oflag=direct status=none

	# What is not there, or is something else.
	lines "data - origin-scaled /dev/nothing" "x - origin-scaled /dev/null" "$snap"
	refused "^$file:1: 'data': /dev/nothing: there is no such device$" start data
	refused "'x': /dev/null: is no block device" start x
	refused "has no line for 'y'" start y
	dm_create snap "0 $size linear $origin 0"
	refused "there is a device of that name already: its table is 0 $size linear .*, must be 0 $size snapshot" start snap
	dm_remove snap
	dmsetup create snap --notable
	refused "its table is empty" start snap
	dm_remove snap
	lines "x - 0 8 nonsense 1"
	refused "the kernel has no target nonsense: its module is not there for [1-9].*try modprobe dm-nonsense$" start x
	unload_module
	lines "$data"
	refused "no target origin-scaled: module dm-scaled .* is not there for .*modprobe dm-origin-scaled" start data
	load_module
	assert_eq "$(names)" ''

	# Somebody has mounted what is below.
	mke2fs -q -t ext4 "$origin"
	mount "$origin" /mnt
	lines "$snap"
	refused "the kernel refuses the table, .*; $origin: it is mounted on /mnt" start snap
	umount /mnt

	# A device on another one, and several rows; they go in the opposite order.
	lines "top - origin-scaled /dev/mapper/both" "topsnap - snapshot-scaled /dev/mapper/both $cow2 P 8" \
		"both - 0 8192 linear $origin 0, 8192 8192 linear $origin 65536"
	tab start --all
	assert_eq "$(names)" 'both top topsnap'
	assert_eq "$(sectors /dev/mapper/topsnap)" 16384
	refused "'both': cannot be removed: .*'top' stands on it" stop both
	tab stop --all
	assert_eq "$(names)" ''

	# A merge goes on.
	dd if=/dev/zero of="$cow" bs=128k count=1 oflag=direct status=none
	lines "$data" "$snap"
	tab start --all
	old=$(checksum "$origin")
	fio --name=fill --filename=/dev/mapper/data --rw=write --bs=64k --size=8m --direct=1 --output=/dev/null
	tab stop --all
	lines "data - merge-scaled $origin $cow P 8"
	tab start --all
	tab stop data
	tab start data
	wait_for 60 eval "dmsetup status data | awk '{ split(\$4, n, \"/\"); exit n[1] != \$5 }'"
	tab stop data
	assert_eq "$(checksum "$origin")" "$old" "the merged origin"
}
