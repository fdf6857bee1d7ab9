#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# table-guest.sh LOOKUPS BITS PATTERN:EXCEPTIONS...: the part of table.sh that runs in the VM. Prints and leaves in
# results.csv PATTERN,EXCEPTIONS,NAME,VALUE.
set -euo pipefail

lookups=$1 bits=$2
shift 2
table=/sys/kernel/debug/dm-table-bench
insmod /opt/dm-scaled/dm-table-bench.ko
for run in "$@"; do
	pattern=${run%:*} exceptions=${run#*:}
	echo "pattern=$pattern exceptions=$exceptions lookups=$lookups bits=$bits" > $table/run
	while read -r name value; do
		echo "$pattern,$exceptions,$name,$value"
	done < $table/result | tee -a /results/results.csv
done
rmmod dm_table_bench
