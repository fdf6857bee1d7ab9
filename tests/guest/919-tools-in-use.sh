# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="dmsc-clone, -cow, -integrity and -replay refuse devices that are in use, and the same device twice"
EACH=1
KERNELS=stock

# refused PATTERN COMMAND...: and it changes nothing of "$meta" and "$other"
refused()
{
	local before

	before=$(checksum "$meta") before+=$(checksum "$other")
	assert_fails "${@:2}"
	assert_match "$REPLY" "$1" "${*:2}"
	assert_eq "$(checksum "$meta")$(checksum "$other")" "$before" "contents after ${*:2}"
}

# all_refused PATTERN: $meta is in use
all_refused()
{
	refused "$1" dmsc-clone show "$meta"
	refused "$1" dmsc-clone check "$meta"
	refused "$1" dmsc-clone repair --assume source "$meta"
	refused "$1" dmsc-clone convert --from "$meta" "$other"
	refused "$1" dmsc-clone convert --from "$other" "$meta"
	refused "$1" dmsc-cow "$meta" --exceptions 10
	refused "$1" dmsc-replay --log "$other" --to "$meta" --cut
	refused "$1" dmsc-replay --log "$meta" --to "$other" --cut
	refused "$1" dmsc-integrity --assume-zero --origin "$meta" --seconds 1
}

run_test()
{
	local source dest meta other

	clone_devices 4
	other=$(nullb_create size=4)
	clone_create clone 8 1 no_hydration
	put /dev/mapper/clone 8 8 a
	sync /dev/mapper/clone
	all_refused "$meta: is in use"
	# Under another name, too.
	mknod /dev/renamed b $((0x$(stat -c %t "$meta"))) $((0x$(stat -c %T "$meta")))
	refused "/dev/renamed: is in use" dmsc-clone repair --assume source /dev/renamed
	dm_remove clone

	refused "are the same" dmsc-clone convert --from "$meta" "$meta"
	refused "are the same" dmsc-clone convert --from "$meta" /dev/renamed
	refused "are the same" dmsc-replay --log /dev/renamed --to "$meta" --cut
	refused "in use" dmsc-integrity --assume-zero --origin "$other" --snapshot "$other" --seconds 1
	refused "in use" dmsc-integrity --assume-zero --origin "$meta" --snapshot /dev/renamed --seconds 1
	rm /dev/renamed

	# Not in use, they are as good as ever.
	dmsc-clone check "$meta"
	assert_match "$(dmsc-clone show --regions "$meta")" '1 \+ 1'
	dmsc-cow "$other" --exceptions 10

	if command -v mkfs.ext4 > /dev/null && mkfs.ext4 -q "$meta" 2> /dev/null; then
		mkdir -p /tmp/mounted
		mount "$meta" /tmp/mounted
		assert_fails dmsc-cow "$meta" --exceptions 10
		assert_match "$REPLY" "$meta: is in use"
		umount /tmp/mounted
	fi
}
