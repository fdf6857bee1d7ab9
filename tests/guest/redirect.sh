# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Redirecting, on top of snap.sh: "data" is what the application uses, of the origin $o, and writes to the snapshot of
# it on $c for a while. The commands are those of the README and docs/redirect.md.

# swap TABLE: of "data", which may be mounted: a file system is quiet and whole meanwhile
swap()
{
	dmsetup reload data --table "$1"
	dmsetup suspend data
	dmsetup resume data
}

# redirect [CHUNK]: from now on $o does not change
redirect()
{
	cow_clear "$c"
	swap "0 $(sectors "$o") snapshot-scaled $o $c P ${1:-8}"
}

# merge_back: returns when it has ended
merge_back()
{
	local event

	event=$(events data)
	swap "0 $(sectors "$o") merge-scaled $o $c P 0"
	dmsetup wait data "$event" > /dev/null
	assert_match "$(snap_usage data)" '^([0-9]+)/[0-9]+ ([0-9]+)$'
	assert_eq "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "sectors used when the event came"
}

# to_origin: all is in it. First the table, then the header: until that is gone it is a snapshot with nothing of its
# own.
to_origin()
{
	swap "0 $(sectors "$o") origin-scaled $o"
	cow_clear "$c"
}

# roll_back: nobody uses "data". What was written since redirect is gone with the header, at once.
roll_back()
{
	dmsetup reload data --table "0 $(sectors "$o") origin-scaled $o"
	dmsetup suspend data
	cow_clear "$c"
	dmsetup resume data
}

# activate: after a crash, or a boot: the COW device's header says which of both devices have the data.
activate()
{
	local magic

	magic=$(dd if="$c" bs=4 count=1 iflag=fullblock status=none | od -An -tx4 | tr -d ' ')
	if [[ $magic == 70416e53 ]]; then
		dm_create data "0 $(sectors "$o") ${1:-snapshot-scaled} $o $c P 0"
	else
		dm_create data "0 $(sectors "$o") origin-scaled $o"
	fi
}
