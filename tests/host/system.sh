# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# For the tests of whole systems. Packages are installed and removed, and DKMS compiles, in copies of a system on this
# machine, which are layers of an overlay over what tests/vm/fetch-system has made; what boots in the VM, with systemd
# and its root file system on LVM, is the result. A system that is running gets what a layer has changed as an archive.
# shellcheck source=tests/host/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/vm/system-disk.sh
. "$top/tests/vm/system-disk.sh"

# In a mount namespace of its own, with which all mounts go.
[[ ${SYSTEM_NAMESPACE:-} ]] || SYSTEM_NAMESPACE=y exec unshare -m bash "$top/tests/host/${0##*/}"

# begin RELEASE: sets "dir", the test's folder, builds the packages, and makes layers "base" and, with the packages,
# "installed".
begin()
{
	local install takeover

	dir=$(mktemp -d)
	trap 'umount -R "$dir/layers" 2> /dev/null || true; rm -rf "$dir"' EXIT
	base=$("$top/tests/vm/fetch-system" "$1")
	make O="$out" deb > "$dir/log" 2>&1 || fail "make deb: $(tail -n 20 "$dir/log")"
	mkdir -p "$dir"/{layers,share/build,share/newer}
	cp -r "$out/deb" "$dir/share/build/deb"
	[[ ! -d $base/newer ]] || cp "$base"/newer/*.deb "$dir/share/newer/"
	mount -t tmpfs tmpfs "$dir/layers"
	declare -gA lower=([base]=$base/root)
	mkdir "$dir/layers/base"
	ln -s "$base/root" "$dir/layers/base/root"
	install=$(documented README.md '^apt install .*dm-scaled\{')
	takeover=$(documented docs/install.md '^apt install .*takeover')
	layer installed base "$install
	$takeover"
}

# documented FILE REGEX: the command that the document gives
documented()
{
	local found

	found=$({ sed -n 's/^    //p' "$1"; grep -o '`[^`]*`' "$1" | tr -d '`'; } | grep -E "$2") || fail "$1 does not say $2"
	echo "${found%%$'\n'*}"
}

# layer NAME FROM COMMAND: the system FROM, changed by a command: $dir/layers/NAME/root. What is printed goes to
# $dir/NAME.log. The folder that the command begins in has build/deb, and newer/.
layer()
{
	local name=$1 from=$2 at=$dir/layers/$1 start=$SECONDS

	mkdir -p "$at"/{upper,work,root}
	mount -t overlay overlay "$at/root" \
		-o "lowerdir=${lower[$from]},upperdir=$at/upper,workdir=$at/work,redirect_dir=off,index=off,metacopy=off"
	lower[$name]=$at/upper:${lower[$from]}
	# shellcheck disable=SC2016
	unshare -m bash -euo pipefail -c '
		mount -t proc proc "$0/proc"
		mount --rbind /dev "$0/dev"
		mount -t tmpfs tmpfs "$0/tmp"
		mount --bind "$1" "$0/mnt"
		export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
		exec chroot "$0" bash -euo pipefail -c "
			apt() { command apt-get -q -y -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root \"\$@\"; }
			cd /mnt
			$2"
	' "$at/root" "$dir/share" "$3" > "$dir/$name.log" 2>&1 < /dev/null || {
		tail -n 60 "$dir/$name.log"
		fail "$name: $3"
	}
	echo "== $name: $3 ($((SECONDS - start)) s)"
	grep -E '^(W: )?dm-scaled: ' "$dir/$name.log" || true
}

# delta NAME FROM: $dir/NAME.tar has what is new in layer NAME, NAME.gone names what it has not any more.
delta()
{
	local name=$1 at=$dir/layers from out=(-path ./tmp -o -path ./run -o -path ./var/log -o -path ./var/cache/apt)

	for from in "$2" "$1"; do
		(cd "$at/$from/root/" && find . '(' "${out[@]}" ')' -prune -o -print) | LC_ALL=C sort > "$dir/files-$from"
	done
	LC_ALL=C comm -23 "$dir/files-$2" "$dir/files-$1" > "$dir/$name.gone"
	# Character devices stand for what is gone.
	(cd "$at/$name/upper" && find . '(' "${out[@]}" ')' -prune -o ! -type c -print0) |
		tar -C "$at/$name/upper" --null --no-recursion -T - -cf "$dir/$name.tar"
	truncate -s %512 "$dir/$name.tar"
}

# image NAME: a disk with the system of that layer, $dir/disk
image()
{
	rm -f "$dir/disk"
	cp "$base/disk" "$dir/disk"
	truncate -s "$disk_size" "$dir/disk"
	mke2fs -q -F -t ext4 -d "$dir/layers/$1/root" \
		-E "offset=$root_offset,lazy_itable_init=0,lazy_journal_init=0" "$dir/disk" "$root_size" > "$dir/log" 2>&1 ||
		fail "mke2fs: $(< "$dir/log")"
}

# kernel_of NAME [PATTERN]: the kernel of that layer
kernel_of()
{
	# shellcheck disable=SC2012
	ls "$dir/layers/$1/root/boot" | sed -n 's/^vmlinuz-//p' | grep -E "^${2:-}" | sort -V | tail -n 1
}

# boot NAME LAYER KVER STEP [ARG...]: starts the system on $dir/disk with the kernel and initramfs that a layer has; it
# does steps of tests/guest/system.sh, with a + between two, and ends. "delta": a layer whose archive
# the system is given; "append": arguments of the kernel; "firmware": options of QEMU.
delta='' append='' firmware=()
boot()
{
	local name=$1 boot=$dir/layers/$2/root/boot kver=$3 log=$dir/$1 more=() cmdline khz tries start=$SECONDS

	shift 3
	mkdir -p "$log/step"
	cp tests/guest/system.sh "$log/step/"
	printf '%q ' bash -euo pipefail /run/step/system.sh "$@" > "$log/step/run"
	if [[ $delta ]]; then
		cp "$dir/$delta.gone" "$log/step/gone"
		more+=(-drive "file=$dir/$delta.tar,if=none,id=delta,format=raw,readonly=on"
			-device "virtio-blk-pci,drive=delta,serial=delta")
	fi
	tar -C "$log/step" -cf "$log/step.tar" .
	truncate -s %512 "$log/step.tar"
	cmdline="console=ttyS0 root=/dev/mapper/vg-root ro panic=-1 mitigations=off nosmap no5lvl norandmaps"
	cmdline+=" cryptomgr.notests tsc=reliable no_timer_check rcupdate.rcu_cpu_stall_timeout=60 $append"
	# See tests/vm/run, also for why a kernel that did not even come to its first program may be started again.
	! khz=$("$top/tests/vm/tsc-khz") || cmdline+=" tsc_early_khz=$khz"
	for tries in 1 2; do
		timeout 900 qemu-system-x86_64 -nodefaults -no-reboot -display none -machine q35,smm=off \
			-accel tcg,thread=multi,tb-size=256 -cpu "$cheap_cpu" -smp 2 -m 1024 "${firmware[@]}" \
			-kernel "$boot/vmlinuz-$kver" -initrd "$boot/initrd.img-$kver" -append "$cmdline" \
			-drive "file=$dir/disk,if=none,id=system,format=raw,cache=unsafe" \
			-device virtio-blk-pci,drive=system,serial=system \
			-drive "file=$log/step.tar,if=none,id=step,format=raw,readonly=on" \
			-device virtio-blk-pci,drive=step,serial=step "${more[@]}" \
			-serial "file:$log/console.log" -serial "file:$log/output.log" || true
		! grep -aq 'Run /init as init process' "$log/console.log" || break
		echo "the kernel did not boot (try $tries)"
	done
	tr -d '\r' < "$log/console.log" | grep -aE '^\[ *[0-9.]+\]' | grep -av ' systemd\[' > "$log/kernel.log" || true
	echo "== $name: $kver, $* ($((SECONDS - start)) s)"
	tr -d '\r' < "$log/output.log" > "$log/said"
	cat "$log/said"
	if ! grep -qx 'step: exit code 0' "$log/said" || grep -aqEf tests/guest/trouble "$log/kernel.log"; then
		tail -n 150 "$log/console.log" | tr -d '\r'
		grep -aEf tests/guest/trouble "$log/kernel.log" || true
		fail "$name: $kver, $*"
	fi
}

# purge LAYER KVER: the packages are removed while that system runs, from $dir/disk, with a snapshot of root, which
# after the next boot is with stock's module.
purge()
{
	local purge

	purge=$(documented docs/install.md '^apt purge')
	layer purged "$1" "$purge"
	delta purged "$1"
	delta=purged boot purge "$1" "$2" go_on dm_scaled later + apply
	boot purged purged "$2" go_on dm_snapshot last + is_purged
}
