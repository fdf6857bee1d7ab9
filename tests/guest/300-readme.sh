# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/offload.sh
. "$lib/offload.sh"
DESCRIPTION="the README's commands for a real host, in its order, on logical volumes of its names and an NVMe disk"
KERNELS=stock
VM="--cpus 4 --mem 2048 --nvme @tests/guest/offload.disks"

# block NAME: the commands behind <!-- test: NAME -->
block()
{
	awk -v mark="<!-- test: $1 -->" '
		$0 == mark { found = 1; next }
		found && /^    / { print substr($0, 5); next }
		found { exit }' "$opt/README.md" | grep . || fail "the README has no block $1"
}

# run_block NAME: as a shell would, ending at the first command that fails. Variables stay.
run_block()
{
	local commands

	commands=$(block "$1")
	echo "--- $1: $commands"
	eval "$commands"
}

# The module is built already, on the host.
make()
{
	[[ ${1:-} != install ]] || install_module
}

is_merged()
{
	[[ $(dmsetup status data) =~ \ 16/131072\ 16$ ]]
}

run_test()
{
	local disk before blocks

	# packages is run by tests/host/162-debian-packages.sh, bench by tests/host/131-bench.sh.
	blocks=$(sed -n 's/^<!-- test: \(.*\) -->$/\1/p' "$opt/README.md" | paste -sd' ')
	assert_eq "$blocks" "packages build install devices origin snapshot status remove persistent merge merged $(
		)redirect redirect-merge redirect-end redirect-drop takeover clone-devices clone clone-wait clone-end $(
		)offload offload-switch bench" "the README's blocks"

	unload_module
	disk=$(nullb_create size=256)
	vgcreate -q vg "$disk"
	lvcreate -q -y -Zn -Wn -n data -L 64M vg
	lvcreate -q -y -Zn -Wn -n data-cow -L 64M vg

	cd /tmp
	mkdir -p "build/$(uname -r)/module"
	cp "$module" "build/$(uname -r)/module/"
	run_block build
	have_target snapshot-scaled || fail "not loaded by the commands to build"
	rmmod dm_scaled
	run_block install
	have_target snapshot-scaled || fail "not loaded by the commands to install"

	run_block devices
	fill "$ORIGIN" 1
	before=$(checksum "$ORIGIN")
	run_block origin
	run_block snapshot
	run_block status
	assert_match "$(snap_usage data-snap)" '^0/131072 0$'
	fill /dev/mapper/data 2
	[[ $(checksum /dev/mapper/data) != "$before" ]] || fail "the origin did not change"
	assert_eq "$(checksum /dev/mapper/data-snap)" "$before" "the snapshot's contents"
	assert_match "$(snap_usage data-snap)" '^131072/131072 0$'
	run_block remove

	before=$(checksum "$ORIGIN")
	run_block persistent
	dd if=/dev/zero of=/dev/mapper/data bs=1M count=20 oflag=direct status=none
	run_block merge
	wait_for 100 is_merged
	run_block merged
	assert_eq "$(checksum /dev/mapper/data)" "$before" "the origin after the merge"

	run_block redirect
	dd if=/dev/zero of=/dev/mapper/data bs=1M count=10 oflag=direct status=none
	assert_eq "$(checksum /dev/mapper/data-backup)" "$before" "what is backed up"
	run_block redirect-drop
	dm_remove data-backup
	assert_eq "$(checksum /dev/mapper/data)" "$before" "the origin after changes were dropped"
	run_block redirect
	dd if=/dev/zero of=/dev/mapper/data bs=1M seek=20 count=10 oflag=direct status=none
	before=$(checksum /dev/mapper/data)
	run_block redirect-merge
	is_merged || fail "the event came before the end: $(dmsetup status data)"
	assert_eq "$(checksum /dev/mapper/data)" "$before" "the origin after the changes have been merged"
	run_block redirect-end
	assert_match "$(dmsetup table data)" " origin-scaled "
	assert_eq "$(checksum /dev/mapper/data)" "$before" "the origin in the end"
	dm_remove data
	assert_eq "$(checksum "$ORIGIN")" "$before" "the origin after the merge"

	cp -r "$opt/packaging" .
	modprobe -q dm-snapshot || true
	run_block takeover
	have_target snapshot-merge || fail "stock's names are not served"
	rm /run/modprobe.d/dm-scaled.conf

	lvcreate -q -y -Zn -Wn -n copy -L 64M vg
	lvcreate -q -y -Zn -Wn -n copy-meta -L 4M vg
	run_block clone-devices
	before=$(checksum "$SOURCE")
	run_block clone
	assert_eq "$(checksum /dev/mapper/copy)" "$before" "the clone's contents"
	run_block clone-wait
	run_block clone-end
	assert_eq "$(checksum "$DEST")" "$before" "the destination's contents"
	dm_remove copy
	vgremove -q -y vg

	nvme_start
	disk=$(nvme_disk a)
	ORIGIN=$(nvme_partition "$disk" 8) COW=$(nvme_partition "$disk" 8)
	snap_create data-snap - "$ORIGIN" "$COW"
	assert_match "$(run_block offload)" "${disk#/dev/} nvme auto commands 0 "
	run_block offload-switch
	assert_match "$(offload_line data-snap)" " nvme auto "
}
