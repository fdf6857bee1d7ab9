// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_SEQUENCE_GENERATOR_H
#define DMSC_SEQUENCE_GENERATOR_H

#include "../common/random.h"
#include "model.h"
#include "operation.h"

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace dmsc
{

// What is done next: often what administrators and LVM do in a row, with anything else between.
class Generator
{
public:
	// One in so many I/Os is a flush, one in so many snapshots is transient.
	struct Habits {
		std::size_t flushes = 20;
		std::size_t transient = 2;
		// COW devices of other origins, devices that are resized, and clones of mapped
		// devices or with other destinations, of which the model of power cuts knows
		// nothing.
		bool rare = true;
		// One in so many plans is for a clone; a write follows it, and a flush.
		std::size_t clones = 3;
		bool durable = false;
		// Persistent snapshots are told when writes are to be durable, and there are pauses
		// in which they are.
		bool commits = true;
	};

	Generator(std::uint64_t seed, std::uint64_t index, const Habits &habits);

	Operation next(const Model &model);

private:
	struct Snapshot {
		std::string origin;
		std::string cow;
		std::string store;
		std::string chunk;
		std::string features;
	};

	// A snapshot to which a sequence comes back again and again, and who has it.
	struct Kept {
		Snapshot snapshot;
		std::size_t volume = 0;
		// Its table's line; what is before or behind is the origin's.
		std::uint64_t begin = 0;
		std::uint64_t end = 0;
	};

	// What a sequence makes of a metadata device, most times.
	struct Clone {
		std::string meta;
		std::string dest;
		std::string source;
		std::string region;
		std::string volume;
	};

	void keep(Kept &kept);
	void plan(const Model &model);
	void plan_clone(const Model &model);
	void plan_bad();
	std::string bad(const std::string &base);
	Operation anything(const Model &model);
	Operation io(const Model &model);
	Operation trouble(const Model &model);
	[[nodiscard]] std::string table(std::size_t device, const Model &model);
	[[nodiscard]] std::string target(std::size_t device, std::uint64_t start,
					 std::uint64_t length);
	[[nodiscard]] std::string clone(std::size_t device);
	[[nodiscard]] std::string clone(const Clone &chosen);
	[[nodiscard]] std::string message(const std::string &device);
	[[nodiscard]] Snapshot snapshot(std::size_t device);
	[[nodiscard]] std::string features(const std::string &store);
	[[nodiscard]] std::string load(const std::string &device);
	void ensure(const Model &model, const std::string &device);

	Random random_;
	Habits habits_;
	std::array<Kept, 3> kept_;
	std::vector<Clone> clones_;
	std::deque<std::string> planned_;
};

} // namespace dmsc

#endif // DMSC_SEQUENCE_GENERATOR_H
