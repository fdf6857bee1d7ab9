// SPDX-License-Identifier: GPL-2.0-only
// Lets the power fail at many moments of a sequence, and compares what is left with the model.
#ifndef DMSC_SEQUENCE_CRASH_H
#define DMSC_SEQUENCE_CRASH_H

#include "../common/control.h"
#include "../common/device_number.h"
#include "../common/disk.h"
#include "../common/log.h"
#include "model.h"
#include "operation.h"
#include "subject.h"
#include "survivors.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace dmsc
{

// All that a sequence writes to the pool goes through dm-log-writes, which has a volatile cache as
// far as its users know, and gets a mark after each operation. What the log has before a flush had
// ended when that flush was submitted. So a power cut before the end of a barrier of the log leaves
// what the model says at the mark before that barrier or at the one after it.
class Crash
{
public:
	// Disks for the devices below, for the log, and for what is left; as large as the pool.
	struct Disks {
		std::string pool;
		std::string log;
		std::string replay;
	};
	using Complaint = std::optional<std::string>;

	// Clones are opened with the targets that have made them: they have other metadata.
	Crash(Disks disks, Subject subject);
	~Crash();
	Crash(const Crash &) = delete;
	Crash &operator=(const Crash &) = delete;

	// What the devices below are to be made of.
	[[nodiscard]] std::string pool() const;
	// A sequence begins; no device below is there.
	void begin();
	void mark(const Operation &operation, const Model &model);
	// It has ended, and no device below is there any more. At so many moments the power fails.
	Complaint check(std::size_t moments, std::uint64_t seed);
	// Moments, looks at COW and metadata devices, those of them that the model says nothing of,
	// snapshots that were opened, merges that were continued, and clones that were opened.
	struct Counts {
		std::uint64_t moments = 0;
		std::uint64_t looks = 0;
		std::uint64_t unknown = 0;
		std::uint64_t opened = 0;
		std::uint64_t merged = 0;
		std::uint64_t clones = 0;
	};
	[[nodiscard]] const Counts &counts() const { return counts_; }

private:
	using Period = Survivors::Period;

	// The device that is looked at.
	static constexpr std::string_view kLooked = "seq-left";
	// Merges and hydrations have to end in this time.
	static constexpr std::chrono::seconds kPatience{20};

	void must(int error, const std::string &what) const;
	void become(const std::string &table_type, const std::string &params);
	void make(const std::string &base);
	[[nodiscard]] Image part_of(const std::string &base) const;
	[[nodiscard]] Disk part(const std::string &base) const;
	void put(const std::string &base) const;
	[[nodiscard]] Period period(std::size_t mark) const;
	Complaint look(Period period);
	Complaint look(const CowOf &cow, Period period);
	Complaint open(const CowOf &cow, Subject subject, Period period, Image &contents);
	Complaint merge(const CowOf &cow, const Image &contents);
	Complaint look(const CloneOf &clone, Period period);
	Complaint open(const CloneOf &clone, const Model::CloneLeft &left, Period period);
	Complaint hydrate(const Image &contents);
	void drop();
	int activate(const CowOf &cow, Subject subject, const std::string &type);
	[[nodiscard]] std::string status() const;
	// The first sectors of what is looked at.
	[[nodiscard]] Image read(std::uint64_t sectors) const;

	Disks disks_;
	Subject subject_;
	Control control_;
	DeviceNumber logged_;
	DeviceNumber looked_at_;
	std::map<std::string, DeviceNumber> parts_;
	Survivors survivors_;
	std::vector<std::string> operations_;
	// What is on the replayed disk at the moment.
	Image image_;
	// While there is something to look at.
	std::optional<std::mt19937_64> random_;
	Counts counts_;
};

} // namespace dmsc

#endif // DMSC_SEQUENCE_CRASH_H
