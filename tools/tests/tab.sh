#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# tab.sh DMSC_TAB GENERATOR: what is wrong in lines of dm-scaledtab is said, with the argument and what would be right,
# and the units that the generator makes are as they should be.
set -euo pipefail
tab=$1 generator=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
file=$dir/tab

fail()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# wrong PATTERN LINE...: the last line is refused, and no other
wrong()
{
	local code=0 output

	printf '%s\n' "${@:2}" > "$file"
	output=$("$tab" check --file "$file" 2>&1) || code=$?
	[[ $code == 1 && $output == "$file:$(($# - 1)): "* && $(wc -l <<< "$output") == 1 && $output =~ $1 ]] ||
		fail "no $1 but exit code $code: $output"
}

# right LINE...
right()
{
	printf '%s\n' "$@" > "$file"
	"$tab" check --file "$file" || fail "refused: $*"
}

data='data - origin-scaled /dev/vg/data'
snap='snap nofail snapshot-scaled /dev/vg/data /dev/vg/cow P 8'

# --- lines

right '# a comment' '' '   # and another' "$data" "$snap"
right "$(printf '\tdata\t-\torigin-scaled   /dev/vg/data  ')"
right 'a#+-.:=@_9 noauto,nofail,_netdev,read-only,x-initrd.attach origin-scaled /dev/disk/by-id/wwn-0x5'
right 'data readonly origin-scaled PARTUUID=0f-1' 'x - origin-scaled ID=usb-1' 'y - origin-scaled PARTLABEL=a\x20b'
right "$data" 'snap - snapshot-scaled /dev/vg/data /dev/vg/cow PO 0 2 discard_zeroes_cow discard_passdown_origin'
right 'merge - merge-scaled /dev/vg/data /dev/vg/cow P 8 0' 'old - snapshot-scaled /dev/vg/data /dev/vg/cow2 N 2097152'
right 'copy - clone-scaled /dev/a /dev/b /dev/c 8 1 NO_HYDRATION 4 hydration_threshold 3 hydration_batch_size 2'
right 'copy - 0 1000 clone-scaled /dev/a /dev/b /dev/c 8, 1000 24 linear /dev/b 1000,1024 1 error'
right 'a - snapshot-origin /dev/x' 'b - snapshot /dev/x /dev/y N 8' 'c - clone /dev/z /dev/k /dev/l 8'
right 'top - origin-scaled /dev/mapper/data' "$data" 'topsnap - snapshot-scaled /dev/mapper/data /dev/y P 8' \
	'topmost - 0 8 linear /dev/mapper/top 0'

for name in control . .. -a a/b a,b 'ä' "$(printf 'a%.0s' {1..128})"; do
	wrong "field 1, '$name': must be the name of a device" "$name - origin-scaled /dev/x"
done
# Units have longer names, as systemd writes some characters with four: 50 are not too many, and 51 are.
right "$(printf 'a%.0s' {1..28})$(printf -- '-%.0s' {1..50}) - origin-scaled /dev/x"
wrong "field 1, 'a+-+': is too long for the name of a unit" \
	"$(printf 'a%.0s' {1..28})$(printf -- '-%.0s' {1..51}) - 0 8 error"
right "x - origin-scaled /dev/$(printf 'a%.0s' {1..235})"
wrong "argument 1 of origin-scaled, '/dev/a+': is too long for the name of a unit" \
	"x - origin-scaled /dev/$(printf 'a%.0s' {1..236})"
wrong "field 1, 'data': must be another name: line 1 has it already" "$data" 'data - origin-scaled /dev/y'
wrong "field 2, 'origin-scaled': must be options" 'data origin-scaled /dev/vg/data'
wrong "field 2, '0': must be options" 'data 0 8 linear /dev/x 0'
wrong "field 2, '': must be options" 'data'
wrong "option 'nofial': must be noauto, nofail" 'data noauto,nofial origin-scaled /dev/vg/data'
wrong 'a table is missing' 'data -'
wrong "target 'origin': must be origin-scaled, .* before others" 'data - origin /dev/vg/data'
wrong "target '/dev/vg/data': must be" 'data - /dev/vg/data'
wrong "'0' begins a row: the number of sectors and a target must follow" 'data - 0 linear /dev/x 0'
wrong "'0' begins a row" 'data - 0 0 linear /dev/x 0'
wrong "'99999999999999999999' begins a row" 'data - 99999999999999999999 8 linear /dev/x 0'
wrong 'a row has no target' 'data - 0 8'
wrong 'a table is missing' 'data - 0 8 error,'
wrong 'begins at sector 9: must be 8' 'data - 0 8 error, 9 8 error'
wrong 'begins at sector 1: must be 0' 'data - 1 8 error'
wrong 'one of several rows: must be START SECTORS origin-scaled' 'data - 0 8 error, origin-scaled /dev/x'
wrong "argument 2 of origin-scaled, '#x': a comment must have a line of its own" 'data - origin-scaled /dev/x #x'

# --- arguments

for device in 254:3 /dev/dm-3; do
	wrong "argument 1 of origin-scaled, '$device': must be a path that is the same after each start" \
		"data - origin-scaled $device"
	wrong "argument 1 of linear, '$device': must be a path that is" "data - 0 8 linear $device 0"
done
for device in UUID=1-2 LABEL=data /dev/disk/by-uuid/1-2 /dev/disk/by-label/data; do
	wrong "argument 1 of origin-scaled, '$device': names a file system" "data - origin-scaled $device"
done
for device in /dev/vg//data /dev/vg/data/ /dev/../data /dev/./data /dev/vg/..; do
	wrong "'$device': must be a path without" "data - origin-scaled $device"
done
wrong "argument 1 of origin-scaled, 'vg/data': must be a path in /dev" 'data - origin-scaled vg/data'
wrong 'origin-scaled has 0 arguments: must be origin-scaled DEVICE' 'data - origin-scaled'
wrong "argument 2 of origin-scaled, '8': must not be there" 'data - origin-scaled /dev/vg/data 8'
wrong 'snapshot-scaled has 3 arguments: must be snapshot-scaled ORIGIN COW-DEVICE' 's - snapshot-scaled /dev/x /dev/y P'
wrong "argument 3 of snapshot-scaled, '8': must be P, PO or N" 's - snapshot-scaled /dev/x /dev/y 8 P'
wrong "argument 3 of merge-scaled, 'N': must be P or PO" 's - merge-scaled /dev/x /dev/y N 8'
for chunk in 7 x -8 4194304 8s; do
	wrong "argument 4 of snapshot-scaled, '$chunk': must be a power of 2 from 1 to 2097152" \
		"s - snapshot-scaled /dev/x /dev/y P $chunk"
done
wrong "argument 4 of snapshot-scaled, '0': must be a power of 2" 's - snapshot-scaled /dev/x /dev/y N 0'
wrong "argument 5 of snapshot-scaled, 'x': must be how many words of features follow" \
	's - snapshot-scaled /dev/x /dev/y P 8 x'
wrong "argument 5 of snapshot-scaled, '2': must be how many" \
	's - snapshot-scaled /dev/x /dev/y P 8 2 discard_zeroes_cow'
wrong "argument 6 of snapshot-scaled, 'zero': must be discard_zeroes_cow or discard_passdown_origin" \
	's - snapshot-scaled /dev/x /dev/y P 8 1 zero'
wrong "argument 6 of snapshot-scaled, 'x': must not be there" 's - snapshot-scaled /dev/x /dev/y P 8 0 x'
wrong "argument 4 of clone-scaled, '4': must be a power of 2 from 8" 'c - clone-scaled /dev/x /dev/y /dev/z 4'
wrong "argument 6 of clone-scaled, '1': must be how many words of names and numbers follow" \
	'c - clone-scaled /dev/x /dev/y /dev/z 8 0 1 hydration_threshold'
wrong "argument 8 of clone-scaled, 'x': must be a number of regions" \
	'c - clone-scaled /dev/x /dev/y /dev/z 8 0 2 hydration_threshold x'

# --- lines with each other

wrong "/dev/vg/cow: must be a device of its own: 'snap' in line 1 has it" "$snap" \
	'more - snapshot-scaled /dev/vg/data /dev/vg/cow P 8'
wrong "/dev/y: must be a device of its own: 'c' in line 1 has it" 'c - clone-scaled /dev/x /dev/y /dev/z 8' \
	'm - merge-scaled /dev/k /dev/y P 8'
wrong "/dev/vg/cow: must not be an origin: 'snap' in line 1" "$snap" 'c - origin-scaled /dev/vg/cow'
wrong "/dev/vg/data: must have one origin or merge: 'data' in line 1" "$data" \
	'm - merge-scaled /dev/vg/data /dev/vg/cow P 8'
wrong "/dev/mapper/data: must be the device below 'data' in line 1, /dev/vg/data" "$data" \
	's - snapshot-scaled /dev/mapper/data /dev/vg/cow P 8'
wrong "/dev/vg/cow: must not be an origin: 'snap' in line 1 has it as a COW" "$snap" \
	'more - snapshot-scaled /dev/vg/cow /dev/y P 8'
wrong "/dev/y: must not be an origin: 'c' in line 1 has it as the destination" \
	'c - clone-scaled /dev/x /dev/y /dev/z 8' 's - snapshot-scaled /dev/y /dev/k N 8'
wrong "/dev/vg/data: must be a device of its own: 'data' in line 1 has it as an origin" "$data" \
	's - snapshot-scaled /dev/y /dev/vg/data P 8'
wrong "/dev/x: must be a device of its own: 's' in line 1 has it as an origin" 's - snapshot-scaled /dev/x /dev/x P 8'
wrong "/dev/vg/data: must not be part of another device: 'data' in line 1 has it as an origin, and its snapshots" \
	"$data" 'x - 0 8 linear /dev/vg/data 0'
wrong "/dev/vg/data: must not be part" 'a - 0 8 thin-pool /dev/k /dev/l 128 0' "$snap" \
	'x - 0 8 crypt null - 0 /dev/vg/data 0'
wrong "/dev/vg/cow: must not be part of another device: 'snap' in line 1" "$snap" 'x - 0 8 linear /dev/vg/cow 0'
right 'c - clone-scaled /dev/x /dev/y /dev/vg/data 8' "$data" "$snap" 'x - 0 8 linear /dev/y 8' \
	'y - 0 8 linear /dev/y 16'
wrong "field 2: 'data' and 'snap' in line 1, which has to be active before, must both have _netdev" \
	'snap _netdev snapshot-scaled /dev/vg/data /dev/vg/cow P 8' "$data"
wrong "field 2: 'x' and 'low' in line 1, which has to be active before, must both have _netdev" \
	'low _netdev 0 8 linear /dev/y 0' 'x - origin-scaled /dev/mapper/low'
right 'x _netdev origin-scaled /dev/mapper/low' 'low - 0 8 linear /dev/y 0'
wrong "field 2: 'data' and 'snap' in line 1, which .*, must both have x-initrd.attach" "$snap" \
	'data x-initrd.attach origin-scaled /dev/vg/data'
right "$data" 'snap x-initrd.attach snapshot-scaled /dev/vg/data /dev/vg/cow P 8'
wrong 'must not stand on itself' 'data - origin-scaled /dev/mapper/data'
printf '%s\n' "$data" 's - snapshot-scaled /dev/vg/data /dev/mapper/data P 8' > "$file"
[[ $("$tab" check --file "$file" 2>&1 | grep -c 'must not stand on itself') == 2 ]] || fail "a circle of two"

# --- names that change are no fault

printf '%s\n' 'x - origin-scaled /dev/sdb1' 'y - snapshot-scaled /dev/sdb1 /dev/sd/cow P 8' > "$file"
[[ $("$tab" check --file "$file" 2>&1) == "$file:1: 'x': warning: /dev/sdb1 may be another device after the next"*"
$file:2: 'y': warning: /dev/sdb1 may be"* ]] || fail "no warning"
for device in /dev/sda /dev/vdb /dev/xvda1 /dev/nvme0n1p2 /dev/mmcblk0 /dev/loop0; do
	echo "x - origin-scaled $device" > "$file"
	[[ $("$tab" check --file "$file" 2>&1) == *warning* ]] || fail "no warning: $device"
done
for device in /dev/vg/sda /dev/mapper/sda /dev/disk/by-id/nvme-1 /dev/md/data; do
	echo "x - origin-scaled $device" > "$file"
	[[ ! $("$tab" check --file "$file" 2>&1) ]] || fail "a warning: $device"
done

# --- units

cat > "$file" << 'END'
# a comment
data      -                origin-scaled /dev/vg/data
data-old  nofail           snapshot-scaled /dev/vg/data /dev/disk/by-id/wwn-0x5-part1 P 8
top       noauto,_netdev   0 8 linear /dev/mapper/data 0, 8 8 linear /dev/vg/more 8
root      x-initrd.attach  origin-scaled /dev/vg/root
wrong     -                origin-scaled
END

# units INITRD: what the generator makes, without what is the same in each
units()
{
	local unit

	rm -rf "$dir/units"
	SYSTEMD_IN_INITRD=$1 SYSTEMD_SCOPE='' DM_SCALED_TAB=$file "$generator" "$dir/units" 2> "$dir/log"
	cd "$dir/units"
	find . -type l -printf '%P -> %l\n' | LC_ALL=C sort
	for unit in *.service; do
		echo "$unit"
		grep -E '^(BindsTo|Requires|Wants|After|Before|Conflicts|StopPropagatedFrom|Exec)' "$unit"
		grep -q '^Slice=system.slice$' "$unit" || fail "$unit is stopped with the slice of its template"
	done
}

# Long lines are broken.
diff <(units 0 | fold -s -w 110 | sed 's/ $//') - << 'END' || fail "other units"
dev-mapper-data.device.requires/dm-scaled@data.service -> ../dm-scaled@data.service
dev-mapper-data\x2dold.device.requires/dm-scaled@data\x2dold.service -> ../dm-scaled@data\x2dold.service
dev-mapper-root.device.requires/dm-scaled@root.service -> ../dm-scaled@root.service
dev-mapper-top.device.requires/dm-scaled@top.service -> ../dm-scaled@top.service
dev-mapper-wrong.device.requires/dm-scaled@wrong.service -> ../dm-scaled@wrong.service
dm-scaled.target.requires/dm-scaled@data.service -> ../dm-scaled@data.service
dm-scaled.target.requires/dm-scaled@root.service -> ../dm-scaled@root.service
dm-scaled.target.requires/dm-scaled@wrong.service -> ../dm-scaled@wrong.service
dm-scaled.target.wants/dm-scaled@data\x2dold.service -> ../dm-scaled@data\x2dold.service
sysinit.target.wants/dm-scaled.target -> ../dm-scaled.target
dm-scaled@data.service
BindsTo=dev-vg-data.device
Wants=blockdev@dev-mapper-data.target local-fs-pre.target dm-scaled@data\x2dold.service
After=systemd-udevd-kernel.socket dev-vg-data.device blockdev@dev-vg-data.target dm-scaled@data\x2dold.service
Before=blockdev@dev-mapper-data.target dm-scaled.target local-fs-pre.target umount.target
Conflicts=umount.target
StopPropagatedFrom=dev-mapper-data.device
ExecStart=dmsc-tab start data
ExecStop=dmsc-tab stop data
dm-scaled@data\x2dold.service
BindsTo=dev-vg-data.device dev-disk-by\x2did-wwn\x2d0x5\x2dpart1.device
Wants=blockdev@dev-mapper-data\x2dold.target
After=systemd-udevd-kernel.socket dev-vg-data.device blockdev@dev-vg-data.target
dev-disk-by\x2did-wwn\x2d0x5\x2dpart1.device blockdev@dev-disk-by\x2did-wwn\x2d0x5\x2dpart1.target
Before=blockdev@dev-mapper-data\x2dold.target umount.target
Conflicts=umount.target
StopPropagatedFrom=dev-mapper-data\x2dold.device
ExecStart=dmsc-tab start data-old
ExecStop=dmsc-tab stop data-old
dm-scaled@root.service
BindsTo=dev-vg-root.device
Wants=blockdev@dev-mapper-root.target local-fs-pre.target
After=systemd-udevd-kernel.socket dev-vg-root.device blockdev@dev-vg-root.target
Before=blockdev@dev-mapper-root.target dm-scaled.target local-fs-pre.target
ExecStart=dmsc-tab start root
ExecStop=dmsc-tab stop root
dm-scaled@top.service
BindsTo=dev-mapper-data.device dev-vg-more.device
Requires=dm-scaled@data.service
Wants=blockdev@dev-mapper-top.target
After=systemd-udevd-kernel.socket remote-fs-pre.target dev-mapper-data.device blockdev@dev-mapper-data.target
dev-vg-more.device blockdev@dev-vg-more.target dm-scaled@data.service
Before=blockdev@dev-mapper-top.target remote-fs.target umount.target
Conflicts=umount.target
StopPropagatedFrom=dev-mapper-top.device
ExecStart=dmsc-tab start top
ExecStop=dmsc-tab stop top
dm-scaled@wrong.service
Wants=blockdev@dev-mapper-wrong.target local-fs-pre.target
After=systemd-udevd-kernel.socket
Before=blockdev@dev-mapper-wrong.target dm-scaled.target local-fs-pre.target umount.target
Conflicts=umount.target
StopPropagatedFrom=dev-mapper-wrong.device
ExecStart=dmsc-tab start wrong
ExecStop=dmsc-tab stop wrong
END
diff "$dir/units/blk-availability.service.d/zz-dm-scaled.conf" - << 'END' || fail "blkdeactivate is not kept off"
# Made by dm-scaled-generator: blkdeactivate would remove snapshots of origins in use.
[Service]
ExecStop=
ExecStop=dmsc-tab hold -- blkdeactivate -u -l wholevg -m disablequeueing -r wait
END
grep -q "^dm-scaled-generator: $file:6: origin-scaled has 0 arguments" "$dir/log" || fail "not said what is wrong"
[[ $(units 1 | grep -c 'service$') == 3 && $(units 1) == *'dm-scaled@root.service'* ]] ||
	fail "other devices in the initramfs: $(units 1)"

# generator FILE FOLDER: sets "said"
generator()
{
	local code=0

	said=$(SYSTEMD_SCOPE='' DM_SCALED_TAB=$1 "$generator" "$2" 2>&1) || code=$?
	return $code
}

# What is wrong with the unit of one line does not matter to the others.
mkdir "$dir/more"
echo "is in the way" > "$dir/more/dev-mapper-a.device.requires"
printf '%s\n' 'a - 0 8 error' 'b - 0 8 error' > "$file"
generator "$file" "$dir/more" && fail "nothing is wrong"
[[ $said == "dm-scaled-generator: unit of 'a': "*requires* ]] || fail "said: $said"
[[ -e $dir/more/dm-scaled@b.service && -e $dir/more/dm-scaled.target.requires/dm-scaled@b.service ]] ||
	fail "no unit of b"
[[ -e $dir/more/dm-scaled.target && -e $dir/more/sysinit.target.wants/dm-scaled.target ]] || fail "no target"
kept=blk-availability.service.d/zz-dm-scaled.conf
[[ -e $dir/more/$kept ]] || fail "snapshots that were in the file are not kept"
echo > "$file"
generator "$file" "$dir/empty"
[[ -e $dir/empty/$kept && ! -e $dir/empty/dm-scaled.target ]] || fail "an empty file: $(find "$dir/empty")"
generator "$dir/nothing" "$dir/no-file"
[[ ! -e $dir/no-file ]] || fail "something is done without a file"

# What cannot be read may have any line.
generator "$dir" "$dir/none" && fail "a folder was read"
[[ $said == "dm-scaled-generator: $dir: cannot be read to its end" ]] || fail "said of a folder: $said"
[[ -e $dir/none/$kept ]] || fail "snapshots of a file that cannot be read are not kept"
ln -s loop "$dir/loop"
generator "$dir/loop" "$dir/none" && fail "a loop was read"
[[ $said == "dm-scaled-generator: $dir/loop: Too many levels"* ]] || fail "said of a loop: $said"
rm "$file"
DM_SCALED_TAB=$file "$generator" "$dir/last" "$dir/last" "$dir/last"
[[ ! -e $dir/last ]] || fail "units without a file"
