#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The Makefile's promises: O= takes all that is generated, install and uninstall, clean, the kernel's own way.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

# Always in the same place, by which ccache knows what has debugging information; one checkout at a time.
dir=$cache/make
mkdir -p "$cache"
exec {lock}> "$dir.lock"
flock "$lock"
trap 'rm -rf "$dir"' EXIT
rm -rf "$dir"
mkdir "$dir"
# A copy of the tree, to see that nothing is written into it.
mkdir "$dir/src"
sources | tar -cT - | tar -xC "$dir/src"
cd "$dir/src"
find . | sort > "$dir/before"

make KVER="$kver" O="$dir/out" module
ko=$dir/out/$kver/module/dm-scaled.ko
[[ -r $ko ]] || fail "no $ko"
[[ $(modinfo -F vermagic "$ko") == "$kver "* ]] || fail "built for another kernel"
find . | sort | diff "$dir/before" - || fail "O= did not keep the source folder clean"

# No header that changed is missed.
touch dm-snap-bucket.h
make KVER="$kver" O="$dir/out" C=1 module > "$dir/log" 2>&1
grep -q 'CC \[M\].*dm-snap-pending.o' "$dir/log" || fail "not rebuilt after a change"
grep -q '^  CHECK' "$dir/log" || fail "C=1 was not passed on"

# What the kernel has is asked once, and again if a question changes; the same answers change nothing.
make KVER="$kver" O="$dir/out" module > "$dir/log" 2>&1
! grep -E '^  (PROBE|CC) ' "$dir/log" || fail "probed or compiled anew though nothing changed"
touch probes/wq-percpu.c
make KVER="$kver" O="$dir/out" module > "$dir/log" 2>&1
grep -q '^  PROBE ' "$dir/log" || fail "not probed anew after a change"
! grep '^  CC ' "$dir/log" || fail "compiled anew though the probes give the same answers"

make KVER="$kver" O="$dir/out" INSTALL_MOD_PATH="$dir/root" install
installed=$dir/root/lib/modules/$kver/extra/dm-scaled.ko
[[ -r $installed ]] || fail "not installed"
for target in snapshot-scaled origin-scaled merge-scaled clone-scaled; do
	[[ $(modprobe -S "$kver" -d "$dir/root" -R "dm-$target") == dm_scaled ]] || fail "no alias dm-$target"
done
make KVER="$kver" O="$dir/out" INSTALL_MOD_PATH="$dir/root" uninstall
[[ ! -e $installed ]] || fail "not uninstalled"

make O="$dir/out" clean
[[ ! -e $dir/out ]] || fail "clean left $dir/out"

# Other ways to name the kernel, and a kernel that is not there.
make KDIR="/lib/modules/$kver/build" help > "$dir/log"
grep -qF "kernel version ($kver)" "$dir/log" || fail "KDIR= does not say which kernel"
if make KVER=0.0.0-none O="$dir/out" module > "$dir/log" 2>&1; then
	fail "built for a kernel that does not exist"
fi
grep -q 'no kernel headers' "$dir/log" || fail "no plain message about missing headers"

# DKMS and the kernel's document on external modules do it like this.
make -C "/lib/modules/$kver/build" M="$dir/src" modules > "$dir/log" 2>&1
[[ -r $dir/src/dm-scaled.ko ]] || fail "not built by Kbuild alone"

make help > "$dir/log"
targets=(module install uninstall install-dkms install-tools install-takeover
	dist deb rpm tools pacer test-modules kunit-modules
	check check-long demo bench bench-quick bench-vm shell clean)
for target in "${targets[@]}"; do
	[[ $target != module ]] || target=' '
	grep -qE "^make $target( |\$)" "$dir/log" || fail "no help on $target"
done
