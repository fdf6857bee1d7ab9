// SPDX-License-Identifier: GPL-2.0-only
// What may be there after a power cut, at each moment of a sequence.
#ifndef DMSC_SEQUENCE_SURVIVORS_H
#define DMSC_SEQUENCE_SURVIVORS_H

#include "layout.h"
#include "model.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace dmsc
{

// Remembers what the model says after each operation, as a list of values and of the moments from
// and until which they are possible.
class Survivors
{
public:
	// From one moment to another; both count.
	struct Period {
		std::size_t first = 0;
		std::size_t last = 0;
	};

	// The next moment.
	void record(const Model &model);
	void clear();
	[[nodiscard]] std::size_t moments() const { return moments_; }

	// What is sure in the whole of a period.
	[[nodiscard]] Model::Survival survival(const std::string &cow, Period period) const;
	[[nodiscard]] Model::CloneLeft clone(const std::string &meta, Period period) const;
	// What is wrong with the first sectors of a device, or of the snapshot on a COW device, or
	// of the clone on a metadata device; empty: nothing.
	[[nodiscard]] std::string compare(const std::string &device, Period period,
					  std::span<const std::byte> data) const;

private:
	struct Possible {
		Tag tag = kAny;
		Period when;
	};
	struct Device {
		std::vector<std::vector<Possible>> sectors;
		// At each moment.
		std::vector<Model::Survival> survival;
	};

	void record(Device &device, const std::string &name, const Model &model) const;

	std::map<std::string, Device> devices_;
	// At each moment.
	std::map<std::string, std::vector<Model::CloneLeft>> clones_;
	std::size_t moments_ = 0;
};

// COW devices of persistent snapshots whose origin is not a mapped device, and their origins.
std::vector<CowOf> crash_cows();
std::set<std::string> crash_origins();

} // namespace dmsc

#endif // DMSC_SEQUENCE_SURVIVORS_H
