// SPDX-License-Identifier: GPL-2.0-only
#include "names.h"

#include <map>

namespace dmsc
{

// As tests/bench/workloads.sh has them.
std::string title_of_workload(const std::string &workload)
{
	static const std::map<std::string, std::string> titles{
		{"cow", "first writes to the origin"},
		{"cow-16k", "first writes, 16 KiB chunks"},
		{"cow-64k", "first writes, 64 KiB chunks"},
		{"cow-2-snapshots", "first writes, 2 snapshots"},
		{"cow-4-snapshots", "first writes, 4 snapshots"},
		{"cow-softirq", "first writes, completion by softirq"},
		{"cow-interleaved", "first writes of all CPUs to the same MiB"},
		{"cow-80us", "first writes, 80 µs device, depth 32"},
		{"rewrite", "rewrites of copied chunks"},
		{"snapshot-write", "writes of full chunks to the snapshot"},
		{"snapshot-write-partial", "writes of a quarter chunk to the snapshot"},
		{"cow-persistent", "first writes to the origin, persistent snapshot"},
		{"cow-persistent-flush", "first writes, persistent snapshot, 80 µs, flush 1 ms"},
		{"snapshot-write-persistent", "writes to a persistent snapshot"},
		{"snapshot-read", "reads of the snapshot"},
		{"snapshot-read-cow", "reads of the snapshot during first writes"},
		{"large-write", "first writes to the origin, 1 MiB"},
		{"large-write-persistent", "first writes, 1 MiB, persistent snapshot"},
		{"large-write-128k", "first writes, 128 KiB"},
		{"large-write-64k-random", "first writes, 64 KiB, random"},
		{"large-write-16k-chunks", "first writes, 1 MiB, 16 KiB chunks"},
		{"large-write-64k-chunks", "first writes, 1 MiB, 64 KiB chunks"},
		{"large-rewrite", "rewrites of copied chunks, 1 MiB, random"},
		{"large-rewrite-64k-chunks", "rewrites, 1 MiB, 64 KiB chunks"},
		{"large-snapshot-read", "reads of the snapshot, 1 MiB"},
		{"large-snapshot-read-half",
		 "reads of the snapshot, 1 MiB, each other chunk copied"},
		{"large-snapshot-read-copied", "reads of the snapshot, 1 MiB, all copied"},
		{"large-snapshot-read-64k-chunks", "reads of the snapshot, 1 MiB, 64 KiB chunks"},
		{"large-snapshot-write", "writes to the snapshot, 1 MiB"},
		{"large-clone", "writes to a clone, 1 MiB, 64 KiB regions"},
		{"large-buffered", "first writes through the page cache, 1 MiB"},
		{"large-ext4", "first writes to a file on ext4, 1 MiB, buffered"},
		{"backup", "dd's reads of the snapshot during first writes"},
		{"backup-of-used", "dd's reads of the snapshot during 1,000 first writes a second"},
		{"write-beside-large", "first writes, 4 KiB, beside a writer of 1 MiB"},
		{"engine", "the copy engine alone"},
	};

	const auto found = titles.find(workload);

	return found == titles.end() ? workload : found->second;
}

} // namespace dmsc
