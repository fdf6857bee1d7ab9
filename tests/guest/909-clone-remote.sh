# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="clones of sources on the network, over nbd and NVMe/TCP, which go away and come back"
TIMEOUT=400
# Ours have no network.
KERNELS=stock

nqn=nqn.2026-01.test:source
nvmet=/sys/kernel/config/nvmet

requires()
{
	modprobe -qa nbd nvme-tcp nvmet-tcp || skip "no nbd or NVMe/TCP here"
	/opt/busybox/busybox ip link set lo up
}

# A served device is $raw; what is known of it here, $source. KIND_back must work after KIND_gone.

nbd_serve()
{
	printf '[generic]\n[source]\nexportname = %s\nreadonly = true\n' "$raw" > /tmp/nbd.conf
	nbd_number=0
	nbd_back
}

nbd_gone()
{
	pkill -x nbd-server
	wait_for 30 is_gone
}

is_gone()
{
	! pgrep -x nbd-server
}

# It comes back as another device, which the clone is told by a new table.
nbd_back()
{
	local old=$source

	nbd-server -C /tmp/nbd.conf
	source=/dev/nbd$nbd_number
	nbd_number=$((nbd_number + 1))
	wait_for 30 nbd-client -N source 127.0.0.1 "$source"
	if dmsetup info clone > /dev/null 2>&1; then
		# Ends what it has never answered.
		nbd-client -d "$old"
		# shellcheck disable=SC2086
		dm_reload clone "$(clone_table $arguments)"
	fi
}

nbd_end()
{
	nbd-client -d "$source"
	pkill -x nbd-server
}

# The link makes the port listen.
nvme_serve()
{
	local subsystem=$nvmet/subsystems/$nqn port=$nvmet/ports/1 dir

	mkdir -p "$subsystem/namespaces/1" "$port"
	echo 1 > "$subsystem/attr_allow_any_host"
	echo -n "$raw" > "$subsystem/namespaces/1/device_path"
	echo 1 > "$subsystem/namespaces/1/enable"
	echo ipv4 > "$port/addr_adrfam"
	echo tcp > "$port/addr_trtype"
	echo 127.0.0.1 > "$port/addr_traddr"
	echo 4420 > "$port/addr_trsvcid"
	nvme_back
	nvme connect -t tcp -a 127.0.0.1 -s 4420 -n $nqn --reconnect-delay 1 --ctrl-loss-tmo 600 --keep-alive-tmo 2 \
		--hostnqn nqn.2026-01.test:host --hostid 6d3ae2ea-8ab5-4c1e-9d1c-2f2b8f0f4d11
	wait_for 30 find_nvme
	source=$(find_nvme)
	for dir in /sys/class/nvme/nvme*; do
		[[ $(< "$dir/subsysnqn") != "$nqn" ]] || echo 2 > "$dir/fast_io_fail_tmo"
	done
}

find_nvme()
{
	local dir

	for dir in /sys/class/nvme-subsystem/*/nvme*n*; do
		if [[ -b /dev/${dir##*/} && $(< "${dir%/*}/subsysnqn") == "$nqn" ]]; then
			echo "/dev/${dir##*/}"
			return
		fi
	done
	return 1
}

nvme_gone()
{
	rm "$nvmet/ports/1/subsystems/$nqn"
}

nvme_back()
{
	ln -s "$nvmet/subsystems/$nqn" "$nvmet/ports/1/subsystems/$nqn"
}

nvme_end()
{
	nvme disconnect -n $nqn
	nvme_gone
	rmdir "$nvmet/ports/1" "$nvmet/subsystems/$nqn/namespaces/1" "$nvmet/subsystems/$nqn"
}

# remote KIND
remote()
{
	local kind=$1 arguments="64 1 no_hydration" raw source dest meta len

	echo "### $kind"
	clone_devices 32
	raw=$source
	"${kind}_serve"
	len=$(sectors "$source")
	assert_eq "$len" "$(sectors "$raw")" "size"

	# shellcheck disable=SC2086
	clone_create clone $arguments
	assert_holds /dev/mapper/clone 100 8 s
	put /dev/mapper/clone 641 1 a

	# What needs it fails, now or after some time; all the rest goes on.
	"${kind}_gone"
	assert_fails put /dev/mapper/clone 1281 1 b
	assert_fails get /dev/mapper/clone 1920 8
	put /dev/mapper/clone 2560 64 c
	put /dev/mapper/clone 641 1 d
	sync /dev/mapper/clone
	assert_holds /dev/mapper/clone 640 1 s
	assert_holds /dev/mapper/clone 2560 64 c
	dmsetup message clone 0 enable_hydration
	arguments=64
	sleep 2
	assert_eq "$(clone_mode clone)" rw
	assert_eq "$(hydrated clone)" 2

	# And all is as if it had never been away.
	"${kind}_back"
	wait_for 60 put /dev/mapper/clone 1281 1 e
	wait_for 120 is_hydrated clone
	dm_remove clone
	assert_holds "$dest" 0 641 s
	assert_holds "$dest" 641 1 d
	assert_holds "$dest" 642 639 s
	assert_holds "$dest" 1281 1 e
	assert_holds "$dest" 1282 1278 s
	assert_holds "$dest" 2560 64 c
	assert_holds "$dest" 2624 20000 s

	# Under load, again and again.
	blkdiscard -z "$dest"
	meta_clear
	arguments=8
	clone_create clone $arguments
	for ((i = 0; i < 2; i++)); do
		"${kind}_gone"
		sleep 0.5
		"${kind}_back"
		sleep 1
	done
	wait_for 120 is_hydrated clone
	dm_remove clone
	assert_eq "$(checksum "$dest")" "$(checksum "$raw")" "contents"
	"${kind}_end"
	cleanup_devices
}

run_test()
{
	local i nbd_number

	remote nbd
	remote nvme
}
