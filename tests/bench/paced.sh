#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Simulates N equal CPUs of 100 million instructions per second with the prototype in ../shared/lab and runs stock
# and our snapshots on them. The result does not depend on the speed or load of this machine.
set -euo pipefail
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"
lab=$(realpath "$top/../shared/lab")

if [[ ${1:-} == -* || $# -eq 0 ]]; then
	cat <<-EOF
	usage: tests/bench/paced.sh CPUS [CONFIG...]
	CONFIG is raw, linear, stock, ours, stock-snap or ours-snap (default: raw stock ours).
	Environment: OUT= folder for the results, MIPS=100, W=100 (instructions per turn; 25 to study short locks),
	RUNTIME=1600 and WINDOW=1000 (guest milliseconds), QUEUE_DEPTH=16, IRQMODE=0, PROFILE=1, KVER=.
	Prints for each CONFIG: IOPS, latency, instructions per I/O, idle time; then where the instructions went.
	EOF
	exit 2
fi
[[ -r $lab/pace.cpp ]] || die "no $lab"
cpus=$1
shift
(($#)) || set -- raw stock ours
dir=${OUT:-$out/paced/$cpus-$(date +%H%M%S)}
mkdir -p "$dir" "$cache/lab"

build()
{
	local target=$cache/lab/$1 source=$lab/$2

	shift 2
	[[ $target -nt $source ]] || "$@" -O2 -o "$target" "$source" -lpthread
}
build pace.so pace.cpp g++ -shared -fPIC
build mark mark.c gcc -static -w
build meas meas.c gcc -static -w

kver=$(default_kver)
make -s -C "$top" KVER="$kver" O="$out" module
plugin=$cache/lab/pace.so,pause=100,rep=16,prof=${PROFILE:-1},out=$dir/pace.log
plugin+=,mode=rr,w=${W:-100},mips=${MIPS:-100}
env=()
for var in RUNTIME WINDOW QUEUE_DEPTH IRQMODE COMPLETION_NSEC FIO_ARGS; do
	[[ ! ${!var:-} ]] || env+=("$var=${!var}")
done
"$top/tests/vm/run" --kernel "$kver" --cpus "$cpus" --mem 3072 --timeout "${TIMEOUT:-1800}" --out "$dir" \
	--accel thread=single --plugin "$plugin" --add "$cache/lab/mark" --add "$cache/lab/meas" \
	--append 'nokaslr nowatchdog nosoftlockup idle=halt' \
	-- env "${env[@]}" bash /opt/dm-scaled/tests/bench/paced-guest.sh "$@" > /dev/null
cp "$dir/output.log" "$dir/serial.log"
PYTHONDONTWRITEBYTECODE=1 python3 "$lab/rep.py" "$dir" -v | tee "$dir/report.txt"
if [[ ${PROFILE:-1} == 1 ]]; then
	label=10
	for config in "$@"; do
		echo "--- $config: instructions by function"
		PYTHONDONTWRITEBYTECODE=1 python3 "$lab/prof.py" "$dir" "$label" all "${TOP:-40}"
		label=$((label + 4))
	done > "$dir/profile.txt"
	echo "profile: $dir/profile.txt"
fi
