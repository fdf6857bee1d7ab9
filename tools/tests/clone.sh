#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# clone.sh DMSC_CLONE: converts metadata of dm-clone's that are written here byte by byte, looks at what comes of
# them as docs/clone-format.md says, damages that, and has it shown, checked and repaired.
set -euo pipefail
clone=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
stock=$dir/stock meta=$dir/meta

fail()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# assert_eq ACTUAL EXPECTED WHAT
assert_eq()
{
	[[ $1 == "$2" ]] || fail "$3: $1, not $2"
}

# refused CODE PATTERN COMMAND...
refused()
{
	local code=0 pattern=$2

	"${@:3}" > "$dir/out" 2>&1 || code=$?
	assert_eq "$code" "$1" "exit code of ${*:3}"
	grep -qE "$pattern" "$dir/out" || fail "no $pattern, but: $(cat "$dir/out")"
}

# --- bytes

crc_table=()
for ((i = 0; i < 256; i++)); do
	value=$i
	for ((bit = 0; bit < 8; bit++)); do
		value=$((value >> 1 ^ (value & 1 ? 0x82f63b78 : 0)))
	done
	crc_table+=("$value")
done

# crc FILE BYTE COUNT [FILE BYTE COUNT]...: CRC-32C without the last complement
crc()
{
	local byte value=$((0xffffffff))

	while (($#)); do
		while read -r byte; do
			value=$((value >> 8 ^ crc_table[(value ^ byte) & 255]))
		done < <(od -An -v -tu1 -w1 -j "$2" -N "$3" "$1")
		shift 3
	done
	echo "$value"
}

# number SIZE VALUE: little endian
number()
{
	local i byte bytes=''

	for ((i = 0; i < $1; i++)); do
		printf -v byte '\\x%02x' $(($2 >> 8 * i & 255))
		bytes+=$byte
	done
	printf %b "$bytes"
}

# put FILE BYTE SIZE VALUE...: numbers of that size, one after another
put()
{
	local value

	for value in "${@:4}"; do
		number "$3" "$value"
	done | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# get FILE BYTE SIZE [COUNT]
get()
{
	od -An -v -tu"$3" -w$(($3 * ${4:-1})) -j "$2" -N $(($3 * ${4:-1})) "$1" | xargs
}

# flip FILE BYTE: changes a bit of it
flip()
{
	put "$1" "$2" 1 $(($(get "$1" "$2" 1) ^ 16))
}

# copy_sector FROM TO: a sector of the metadata, as numbers of the bitmap's sectors
copy_sector()
{
	dd if="$meta" of="$meta" bs=512 skip=$((16 + $1)) seek=$((16 + $2)) count=1 conv=notrunc status=none
}

# --- dm-clone's metadata

# seal BLOCK KIND: a block's checksum
seal()
{
	put "$stock" $(($1 * 4096)) 4 $(($(crc "$stock" $(($1 * 4096 + 4)) 4092) ^ $2))
}

# make_stock REGION_SECTORS SECTORS REGION...: a clone of that size with these regions in the destination
make_stock()
{
	local size=$1 sectors=$2 regions words region i
	local -A word=()

	shift 2
	regions=$(((sectors + size - 1) / size))
	words=$(((regions + 63) / 64))
	rm -f "$stock"
	truncate -s 16384 "$stock"
	# Superblock; the tree is in block 1, which leads to block 2, all of the array.
	put "$stock" 8 8 0
	put "$stock" 32 8 $((0x8af27f64))
	put "$stock" 40 4 1
	put "$stock" 172 8 "$size" "$sectors" 1
	seal 0 257649492
	put "$stock" 4100 4 2
	put "$stock" 4104 8 1
	put "$stock" 4112 4 1 252 8
	put "$stock" $((4096 + 32)) 8 0
	put "$stock" $((4096 + 32 + 252 * 8)) 8 2
	seal 1 121107
	put "$stock" 8196 4 509 "$words" 8
	put "$stock" 8208 8 2
	for region in "$@"; do
		word[$((region / 64))]=$((${word[$((region / 64))]:-0} | 1 << region % 64))
	done
	for i in "${!word[@]}"; do
		put "$stock" $((8192 + 24 + i * 8)) 8 "${word[$i]}"
	done
	seal 2 595846735
}

# new_meta: converts that
new_meta()
{
	rm -f "$meta"
	truncate -s 16384 "$meta"
	"$clone" convert --from "$stock" "$meta"
}

runs()
{
	"$clone" show --regions "$meta" | grep ' + ' | xargs
}

# --- convert, and what is on the device then

# Three sectors of the bitmap: two full ones and one of five regions, the last of which is short.
make_stock 8 $((8 * 8069 - 3)) 0 1 63 64 4031 4032 8068
assert_eq "$(new_meta)" "7 of 8069 regions of 8 sectors are hydrated" "convert"
assert_eq "$(runs)" "0 + 2 63 + 2 4031 + 2 8068 + 1" "regions"
for super in 0 4096; do
	assert_eq "$(get "$meta" $((super + 4)) 4)" 1 "version"
	assert_eq "$(dd if="$meta" bs=1 skip=$((super + 8)) count=16 status=none)" "dm-clone-scaled" "magic"
	assert_eq "$(get "$meta" $((super + 40)) 8 7)" "1 8 64549 8069 16 3 0" "superblock at $super"
	assert_eq "$(get "$meta" "$super" 4)" $(($(crc "$meta" $((super + 4)) 508) ^ 0xffffffff)) "checksum at $super"
	assert_eq "$(od -An -v -tu1 -j $((super + 96)) -N 4000 "$meta" | tr -d ' 0\n')" "" "rest of the superblock"
done
cmp -n 4096 -i 0:4096 "$meta" "$meta" || fail "superblocks differ"
for sector in 0 1 2; do
	at=$((8192 + sector * 512))
	assert_eq "$(get "$meta" $((at + 4)) 4)" $sector "index"
	assert_eq "$(get "$meta" $at 4)" $(($(crc "$meta" 24 16 "$meta" $((at + 4)) 508) ^ 0xffffffff)) \
		"checksum of sector $sector"
done
assert_eq "$(get "$meta" $((8192 + 8)) 1 9)" "3 0 0 0 0 0 0 128 1" "first bits"
assert_eq "$(get "$meta" $((8192 + 511)) 1)" 128 "last bits of sector 0"
assert_eq "$(get "$meta" $((9216 + 8)) 8)" 16 "bits of sector 2"
assert_eq "$(od -An -v -tu1 -j 9728 -N 2560 "$meta" | tr -d ' 0\n')" "" "rest of the bitmap's block"

"$clone" check "$meta"
"$clone" show "$meta" | grep -qx 'clone size  64549 sectors' || fail "the size is not shown"
"$clone" show --json --regions "$meta" | tr -d ' \n' > "$dir/json"
grep -q '"generation":1,"region_size":8,"target_size":64549,"regions":8069,"hydrated":7,"faults":\[\],' "$dir/json" ||
	fail "JSON: $(cat "$dir/json")"
grep -q '"hydrated_runs":\[\[0,2\],\[63,2\],\[4031,2\],\[8068,1\]\]' "$dir/json" || fail "JSON: $(cat "$dir/json")"
grep -qE '"uuid":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"' "$dir/json" ||
	fail "JSON: $(cat "$dir/json")"
"$clone" repair "$meta" | grep -qx 'nothing is damaged' || fail "it repairs what is not damaged"

# --- superblocks

good=$dir/good
cp "$meta" "$good"
flip "$meta" 60
refused 1 'superblock 0 has a wrong checksum' "$clone" check "$meta"
assert_eq "$(runs)" "0 + 2 63 + 2 4031 + 2 8068 + 1" "regions with one superblock"
"$clone" repair "$meta"
"$clone" check "$meta"
assert_eq "$(get "$meta" 40 8) $(get "$meta" 4136 8)" "2 2" "generations after a repair"
cmp -i 8192 "$meta" "$good" || fail "a repair of a superblock changes the bitmap"
cp "$good" "$meta"
dd if=/dev/zero of="$meta" bs=4096 seek=1 count=1 conv=notrunc status=none
refused 1 'superblock 1 is missing' "$clone" check "$meta"
head -c 4096 /dev/urandom | dd of="$meta" bs=4096 conv=notrunc status=none
refused 2 'no metadata of a clone: superblock 0 is something else' "$clone" check "$meta"
refused 2 'no metadata of a clone' "$clone" repair --assume source "$meta"

# reseal SUPER: its checksum is right again
reseal()
{
	put "$meta" "$1" 4 $(($(crc "$meta" $(($1 + 4)) 508) ^ 0xffffffff))
}

# Of two that are right the newer one counts: the older one, of another clone, is not looked at.
cp "$good" "$meta"
put "$meta" 40 8 2
reseal 0
put "$meta" 4144 8 64
reseal 4096
"$clone" show "$meta" | grep -qx 'region size 8 sectors' || fail "the older superblock counts"
put "$meta" 40 8 0
reseal 0
refused 2 'superblock 1 contradicts itself' "$clone" show "$meta"
for generation in 0 1; do
	cp "$good" "$meta"
	put "$meta" 40 8 $generation
	put "$meta" 4136 8 $generation
	put "$meta" 88 8 1
	reseal 0
	reseal 4096
	refused 2 'superblock 0 is of a newer version' "$clone" show "$meta"
done
put "$meta" 48 8 12 $((1 << 63))
put "$meta" 88 8 0
reseal 0
refused 2 'regions of 12 sectors: must be a power of 2' "$clone" show "$meta"
put "$meta" 48 8 8 -1
reseal 0
refused 2 'must have from 1 to 2\^31 regions' "$clone" show "$meta"

# --- sectors of the bitmap

cp "$good" "$meta"
flip "$meta" $((8192 + 512 + 20))
cp "$meta" "$dir/damaged"
refused 1 'sector 1 of the bitmap is damaged: regions 4032 to 8063' "$clone" check "$meta"
refused 1 'say with --assume' "$clone" repair "$meta"
cmp "$meta" "$dir/damaged" || fail "it repairs without being told how"
refused 2 '' "$clone" repair --assume nothing "$meta"
"$clone" show "$meta" | grep -qx 'fault: sector 1 of the bitmap.*' || fail "the fault is not shown"
"$clone" repair --assume source "$meta"
"$clone" check "$meta"
assert_eq "$(runs)" "0 + 2 63 + 2 4031 + 1 8068 + 1" "regions, those of sector 1 at the source"
cp "$dir/damaged" "$meta"
"$clone" repair --assume destination "$meta"
"$clone" check "$meta"
assert_eq "$(runs)" "0 + 2 63 + 2 4031 + 4033 8068 + 1" "regions, those of sector 1 at the destination"

# In another place, or with bits of regions that do not exist, a sector is wrong although its checksum may be right.
cp "$good" "$meta"
copy_sector 0 1
refused 1 'sector 1 of the bitmap' "$clone" check "$meta"
cp "$good" "$meta"
flip "$meta" 9232
put "$meta" 9216 4 $(($(crc "$meta" 24 16 "$meta" 9220 508) ^ 0xffffffff))
refused 1 'sector 2 of the bitmap is damaged: regions 8064 to 8068' "$clone" check "$meta"
"$clone" repair --assume destination "$meta"
assert_eq "$(runs)" "0 + 2 63 + 2 4031 + 2 8064 + 5" "only regions that exist"
# An earlier format's.
new_meta > "$dir/out"
dd if="$good" of="$meta" bs=512 skip=18 seek=18 count=1 conv=notrunc status=none
refused 1 'sector 2 of the bitmap' "$clone" check "$meta"
truncate -s 8192 "$meta"
refused 2 "$meta" "$clone" check "$meta"

# --- what cannot be converted

make_stock 4096 4096 0
assert_eq "$(new_meta)" "1 of 1 regions of 4096 sectors are hydrated" "convert of one region"
cp "$meta" "$good"
flip "$stock" 8300
refused 2 'block 2: wrong checksum' "$clone" convert --from "$stock" "$meta"
make_stock 8 800 100
refused 2 'regions behind the end' "$clone" convert --from "$stock" "$meta"
make_stock 8 8000 3
put "$stock" 8200 4 12
seal 2 595846735
refused 2 'the array has 12 words' "$clone" convert --from "$stock" "$meta"
put "$stock" $((4096 + 32 + 252 * 8)) 8 1
seal 1 121107
refused 2 'block 1: wrong checksum' "$clone" convert --from "$stock" "$meta"
put "$stock" 32 8 1
seal 0 257649492
refused 2 "block 0: not dm-clone's" "$clone" convert --from "$stock" "$meta"
cmp "$meta" "$good" || fail "what cannot be converted changes the device"

# --- to itself

ln -s stock "$dir/link"
ln "$stock" "$dir/hard"
cp "$stock" "$dir/before"
for same in "$stock" "$dir/link" "$dir/hard"; do
	refused 2 'are the same: must be two devices' "$clone" convert --from "$stock" "$same"
done
cmp "$stock" "$dir/before" || fail "what is converted to itself changes"
echo "clone: ok"
