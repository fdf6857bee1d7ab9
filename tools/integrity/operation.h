// SPDX-License-Identifier: GPL-2.0-only
// The kinds of operation, how often each is drawn, and what became of them.
#ifndef DMSC_OPERATION_H
#define DMSC_OPERATION_H

#include "../common/pattern.h"
#include "range_lock.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace dmsc
{

enum class Kind : std::uint8_t {
	read,
	write,
	durable, // write with RWF_DSYNC: FUA where the device has it
	flush,   // write, then fdatasync
	discard,
	zero,
};

constexpr std::size_t kKinds = 6;

std::string_view kind_name(Kind kind);

class Mix
{
public:
	// "read=40,write=30,…"; a kind that is not named is not drawn.
	explicit Mix(const std::string &text);

	[[nodiscard]] Kind draw(std::uint64_t number) const;

private:
	std::array<unsigned, kKinds> weights_{};
	unsigned total_ = 0;
};

using Clock = std::chrono::steady_clock;

struct Operation {
	Kind kind = Kind::read;
	std::size_t device = 0; // index of the subject
	Range range;
	Tag tag = kAny; // what it writes
	int result = 0; // 0 or errno
	Clock::time_point started;
	Clock::time_point ended;
};

std::string describe_operation(const Operation &operation, Clock::time_point origin);

// The last operations of one thread, for the report of a mismatch. Its thread adds, any thread
// reads.
class History
{
public:
	void add(const Operation &operation);
	void collect(std::vector<Operation> &out, const Range &range) const;

private:
	static constexpr std::size_t kDepth = 2048;

	mutable std::mutex mutex_;
	std::vector<Operation> ring_;
	std::size_t next_ = 0;
};

struct Counters {
	std::uint64_t done = 0;
	std::uint64_t sectors = 0;
	std::uint64_t errors = 0;
	std::uint64_t unsupported = 0;
	Clock::duration longest{};

	Counters &operator+=(const Counters &other);
};

using KindCounters = std::array<Counters, kKinds>;

} // namespace dmsc

#endif // DMSC_OPERATION_H
