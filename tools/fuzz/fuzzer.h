// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_FUZZER_H
#define DMSC_FUZZER_H

#include "../common/control.h"
#include "clone_state.h"
#include "corpus.h"
#include "devices.h"
#include "generator.h"
#include "kernel_log.h"
#include "oracle.h"

#include <cstdint>
#include <map>
#include <optional>
#include <ostream>
#include <set>
#include <string>

namespace dmsc
{

struct FuzzSettings {
	std::uint64_t seed = 0;
	std::uint64_t first = 0;
	std::uint64_t tries = 1000;
	bool verbose = false;
};

// What was tried, and what became of it.
struct FuzzCounts {
	std::uint64_t accepted = 0;
	std::uint64_t refused = 0;
	std::uint64_t either = 0;
	std::uint64_t resumed = 0;
	std::uint64_t raw = 0;
	std::uint64_t messages = 0;
	std::uint64_t steps = 0;
	std::set<Fault> seen;
};

// Does to the kernel what the generator makes, and compares with what the oracle says.
class Fuzzer
{
public:
	Fuzzer(Devices &devices, const FuzzSettings &settings, const std::string &trouble_file,
	       std::ostream &out);
	~Fuzzer();
	Fuzzer(const Fuzzer &) = delete;
	Fuzzer &operator=(const Fuzzer &) = delete;

	// False at the first disagreement, which is printed.
	bool run_corpus(const std::vector<CorpusLine> &corpus);
	bool run(const Generator &generator);
	[[nodiscard]] const FuzzCounts &counts() const { return counts_; }

private:
	using Complaint = std::optional<std::string>;

	Complaint attempt(const Table &table, bool resume);
	Complaint after_load(const Table &table, const Verdict &verdict, int error);
	Complaint accepted(const Table &table, const Verdict &verdict);
	Complaint refused(const Table &table, const Verdict &verdict, int error);
	Complaint resumed(const Table &table, const Verdict &verdict);
	Complaint raw(Random &random, const Generator &generator);
	Complaint check_clones(const std::vector<Target> &targets);
	Complaint message(const std::string &text, std::uint64_t sector, CloneState &clone);
	Complaint check_log();
	void renew();

	bool try_table(const Table &table, bool resume, const std::string &what);
	bool try_messages(Random &random, const Generator &generator, const std::string &what);
	Table shrink(Table table, bool resume);
	bool report(const std::string &what, const std::string &line, const std::string &why);

	Devices &devices_;
	FuzzSettings settings_;
	std::ostream &out_;
	Control control_;
	KernelLog log_;
	FuzzCounts counts_;
	DeviceNumber number_;
	// Tables that were loaded as they are shown.
	std::set<std::string> shown_;
};

} // namespace dmsc

#endif // DMSC_FUZZER_H
