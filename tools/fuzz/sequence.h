// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_SEQUENCE_H
#define DMSC_SEQUENCE_H

#include "../common/control.h"
#include "../common/random.h"
#include "clone_state.h"
#include "devices.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace dmsc
{

// A random sequence of ioctls to a few mapped devices, some of which are given the same snapshot or
// clone, next to a model that says what each must return and show.
class Sequence
{
public:
	static constexpr std::uint64_t kSteps = 40;

	Sequence(Control &control, const Devices &devices, Random &random);
	~Sequence();
	Sequence(const Sequence &) = delete;
	Sequence &operator=(const Sequence &) = delete;

	// What went wrong, if anything. All devices are gone afterwards.
	std::optional<std::string> run();
	// The steps so far.
	[[nodiscard]] const std::string &history() const { return history_; }

private:
	// What a snapshot has copied; here, nothing but its chunk size counts.
	struct Contents {
		std::uint64_t chunk = 0;
	};
	// A snapshot's line, from loading to the end of its table.
	struct Line {
		std::size_t device = 0;
		std::string cow;
		std::uint64_t chunk = 0;
		std::string features;
		// Of the active snapshot, or of one that is not active yet.
		std::unique_ptr<Contents> contents;
		bool active = false;
		// Another line has got its snapshot, or the one that it waited for has gone.
		bool over = false;
	};
	struct Loaded {
		Target target;
		// None for an origin or a clone.
		std::shared_ptr<Line> line;
		std::optional<CloneState> clone;
	};
	struct Mapped {
		std::string name;
		DeviceNumber number;
		bool exists = false;
		bool suspended = false;
		// An inactive table was cleared, and none loaded since.
		bool cleared = false;
		std::optional<Loaded> live;
		std::optional<Loaded> inactive;
	};
	// Who has the snapshot of a COW device, and who is to get it or to make it.
	struct Pair {
		std::shared_ptr<Line> from;
		std::shared_ptr<Line> to;
	};

	// What is on the metadata device, and where the clone is, what is about to get there.
	struct Metadata {
		std::optional<CloneGeometry> geometry;
		// Regions in the destination.
		std::set<std::uint64_t> hydrated;
	};

	using Complaint = std::optional<std::string>;

	Complaint step();
	Complaint create(Mapped &mapped);
	Complaint remove(Mapped &mapped);
	Complaint load(Mapped &mapped);
	Complaint clear(Mapped &mapped);
	Complaint suspend(Mapped &mapped);
	Complaint resume(Mapped &mapped);
	Complaint rename(Mapped &mapped);
	Complaint small_buffer(Mapped &mapped);
	Complaint write(Mapped &mapped);
	Complaint message(Mapped &mapped);
	Complaint check(const Mapped &mapped);
	Complaint check_table(const Mapped &mapped, const Loaded &loaded, std::uint32_t flags);

	// What is to be loaded, and what loading it must return.
	int make_snapshot(const Mapped &mapped, Loaded &loaded);
	int make_clone(const Mapped &mapped, Loaded &loaded);

	[[nodiscard]] Pair pair_of(const std::string &cow) const;
	[[nodiscard]] std::string usage(const Line &line) const;
	[[nodiscard]] Complaint check_status(const Loaded &loaded, bool active,
					     const std::string &status) const;
	void drop(std::optional<Loaded> &loaded);
	bool may_resume(const Loaded &loaded);
	void activate(Loaded &loaded);
	Complaint compare(const std::string &step, int error, int expected);
	[[nodiscard]] std::size_t index(const Mapped &mapped) const;

	Control &control_;
	const Devices &devices_;
	Random &random_;
	std::array<Mapped, 3> mapped_;
	std::vector<std::shared_ptr<Line>> lines_;
	Metadata metadata_;
	std::string history_;
	unsigned int renamed_ = 0;
};

} // namespace dmsc

#endif // DMSC_SEQUENCE_H
