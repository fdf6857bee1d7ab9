#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The simulator: what is independent is linear in the number of CPUs, what shares a lock is not, a second run gives the
# same numbers, and what must not be quoted says so. In one machine with nothing but busybox, as booting takes longest.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
make -s -C tests/bench/pacer O="$out"
pacer=$out/pacer
unpaced=60

# phase_is PHASE true|false: whether the report has it as valid
phase_is()
{
	grep -A1 "\"phase\": $1,\$" "$dir/report.json" | grep -q "\"valid\": $2"
}

# speed RUN MODE THREADS
speed()
{
	awk -v want="$1 $2 $3" '$1 " " $2 " " $3 == want { print $4 }' "$dir/out"
}

# within WHAT VALUE BASE LEAST MOST: is value / base between them?
within()
{
	awk -v what="$1" -v value="$2" -v base="$3" -v least="$4" -v most="$5" 'BEGIN {
		ratio = base > 0 ? value / base : 0
		ok = ratio >= least && ratio <= most
		printf "%s: %s is %.3f, must be %.2f to %.2f\n", ok ? "ok" : "not ok", what, ratio, least, most
		exit !ok
	}' || fail "$1"
}

root=$dir/root
mkdir -p "$root"/{bin,dev,proc,sys}
cp "$(command -v busybox)" "$pacer/pace" "$pacer/spin" "$root/bin/"
{
	echo '#!/bin/busybox sh'
	# The first line of it would follow what the BIOS has printed.
	echo 'export PATH=/bin; busybox mount -t devtmpfs dev /dev; busybox echo; pace on'
	phase=0
	for run in first second; do
		for mode in loop syscall lock; do
			for threads in 1 2 4; do
				# Who gets a lock next is a matter of chance, which takes long to even out.
				ms=50
				[[ $mode != lock ]] || ms=$((threads * threads * 375))
				echo "busybox echo $run \$(spin $mode $threads $ms $phase)"
				phase=$((phase + 1))
			done
		done
	done
	echo "pace off; spin loop 1 20 $unpaced; busybox poweroff -f"
} > "$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) > "$dir/initrd"
append='console=ttyS0 quiet panic=-1 mitigations=off nosmap no5lvl cryptomgr.notests tsc=reliable'
append+=' nowatchdog nosoftlockup no_timer_check idle=halt'
timeout 1500 qemu-system-x86_64 -nodefaults -no-reboot -nographic -machine q35,smm=off -cpu max -smp 4 -m 512 \
	-accel tcg,thread=single -plugin "file=$pacer/pacer.so,out=$dir/report.json" -serial stdio \
	-kernel "$(kernel_root "$kver")/boot/vmlinuz-$kver" -initrd "$dir/initrd" -append "$append" < /dev/null |
	tr -d '\r' > "$dir/out" || fail "the machine ended with an error: $(tail "$dir/out")"
cat "$dir/out"
# Three kinds with three numbers of CPUs, twice.
for ((i = 0; i < 18; i++)); do
	phase_is $i true || fail "phase $i is not valid"
done
# The guest's clock is right: 100 million instructions per second.
within "loop with 1 CPU, in 2000 instructions" "$(speed first loop 1)" 50000 0.97 1.01
for mode in loop syscall; do
	one=$(speed first $mode 1)
	within "$mode with 2 CPUs to 1" "$(speed first $mode 2)" "$one" 1.96 2.04
	within "$mode with 4 CPUs to 1" "$(speed first $mode 4)" "$one" 3.92 4.08
done
# Half of it is within the lock.
within "lock with 4 CPUs to 1" "$(speed first lock 4)" "$(speed first lock 1)" 1.7 2.3
for mode in loop syscall lock; do
	for threads in 1 2 4; do
		percent=1
		[[ "$mode $threads" != "lock 4" ]] || percent=2
		within "$mode with $threads CPUs, second run to first" "$(speed second $mode $threads)" \
			"$(speed first $mode $threads)" "0.$((100 - percent))" "1.0$percent"
	done
done

phase_is $unpaced false || fail "a phase without pacing counts as valid"
grep -q '^	"valid": false' "$dir/report.json" || fail "and the run with it"

# start_qemu ARGUMENTS: with the plugin, for a moment, without executing anything
start_qemu()
{
	timeout 10 qemu-system-x86_64 -display none -nodefaults -S -accel tcg,thread=single \
		-plugin "file=$pacer/pacer.so,$1" > "$dir/log" 2>&1
}
start_qemu "out=$dir/report.json" || true
grep -q '^	"valid": false' "$dir/report.json" || fail "a run without a phase counts as valid"
if start_qemu "out=$dir/x,nonsense=1"; then
	fail "started with a bad argument"
fi
grep -q 'pacer: no such argument: nonsense=1' "$dir/log" || fail "no message about a bad argument"
