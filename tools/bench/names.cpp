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
		{"cow-80us", "first writes, 80 µs device, depth 32"},
		{"rewrite", "rewrites of copied chunks"},
		{"snapshot-write", "writes of full chunks to the snapshot"},
		{"snapshot-write-partial", "writes of a quarter chunk to the snapshot"},
		{"cow-persistent", "first writes to the origin, persistent snapshot"},
		{"cow-persistent-flush", "first writes, persistent snapshot, 80 µs, flush 1 ms"},
		{"snapshot-write-persistent", "writes to a persistent snapshot"},
		{"snapshot-read", "reads of the snapshot"},
		{"snapshot-read-cow", "reads of the snapshot during first writes"},
		{"engine", "the copy engine alone"},
	};

	const auto found = titles.find(workload);

	return found == titles.end() ? workload : found->second;
}

} // namespace dmsc
