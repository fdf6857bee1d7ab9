// SPDX-License-Identifier: GPL-2.0-only
// What fails if sectors of the devices below do.
//
//	An I/O fails if one of its sectors does where it is stored, and no other I/O fails.
//	A snapshot that cannot copy a chunk becomes invalid, if its origin cannot be read or its COW
//	device not be written; the write to the origin does not fail. An exception that cannot be
//	read where it is stored fails to be read, and is there again when the sector is.
//	With commit=flush the COW device is told of the chunks of a write to the snapshot when that
//	has ended: when it is flushed, or by itself. If that fails the snapshot becomes invalid, and
//	who waits for a flush is told; else the next flush is.
//	A COW device is loaded if its metadata can be read: it begins with a header and an area of
//	a chunk each.
//	A region of a clone that cannot be copied fails writes to a part of it, and shows its source
//	otherwise. Other regions do not mind.
//	Where in a COW or metadata device something is stored nobody says: I/O to one that has any
//	bad sector may fail.
#include "model.h"

#include "layout.h"

#include <algorithm>

namespace dmsc
{

namespace
{

// What an area has room for, for each sector that it is long.
constexpr std::uint64_t kExceptionsOfSector = 32;

} // namespace

// Of all parts of something.
Answer Model::all_of(Answer one, Answer other)
{
	if (one == Answer::bad || other == Answer::bad)
		return Answer::bad;
	return one == Answer::good ? other : one;
}

// Of something that may need what answers so.
Answer Model::perhaps(Answer answer)
{
	return answer == Answer::good ? answer : Answer::either;
}

// NOLINTBEGIN(misc-no-recursion): devices stand on devices, and there is no circle.

Answer Model::answer_of(Way way, const std::string &device, std::uint64_t begin,
			std::uint64_t end) const
{
	if (const auto base = below_.find(device); base != below_.end())
		return base->second.fault.meets(way, begin, end) ? Answer::bad : Answer::good;

	const Mapped &mapped = mapped_.at(device);
	Answer answer = begin < end && end > size_of(device) ? Answer::bad : Answer::good;

	for (const Target &target : mapped.live.value_or(Table{})) {
		const std::uint64_t from = std::max(begin, target.start);
		const std::uint64_t to = std::min(end, target.start + target.length);

		if (from < to)
			answer = all_of(answer, answer_of(way, target, from, to));
	}
	return answer;
}

Answer Model::answer_of(Way way, const Target &target, std::uint64_t begin, std::uint64_t end) const
{
	if (target.type == "error")
		return Answer::bad;
	if (target.type == "zero")
		return Answer::good;
	if (target.type == "linear") {
		const std::uint64_t offset = std::stoull(target.arguments.at(1));

		return answer_of(way, target.arguments.at(0), begin - target.start + offset,
				 end - target.start + offset);
	}
	if (target.type == "origin")
		return answer_of(way, target.arguments.at(0), begin, end);
	if (target.clone)
		return answer_of(way, *target.clone, begin - target.start, end - target.start);
	if (target.holder->snapshot)
		return answer_of(way, *target.holder->snapshot, begin, end);
	if (target.type == "merge" && differences_.lost_merge_shows_origin)
		return answer_of(way, target.arguments.at(0), begin, end);
	return Answer::bad;
}

Answer Model::answer_of(Way way, const Snapshot &snapshot, std::uint64_t begin,
			std::uint64_t end) const
{
	const Answer cow = perhaps(health(snapshot.cow));
	Answer answer = Answer::good;

	// A merging device shows the origin then.
	if (snapshot.validity == Validity::invalid)
		return snapshot.merges ? answer_of(way, snapshot.origin, begin, end) : Answer::bad;
	for (std::uint64_t from = begin; from < end;) {
		const Chunk chunk = snapshot.chunks[from / snapshot.chunk];
		const std::uint64_t to =
			std::min(end, (from / snapshot.chunk + 1) * snapshot.chunk);
		const bool may_be_origins =
			chunk != Chunk::copied && (way == Way::read || snapshot.merges);

		if (may_be_origins && chunk == Chunk::none)
			answer = all_of(answer, answer_of(way, snapshot.origin, from, to));
		else if (may_be_origins)
			answer = all_of(answer, perhaps(answer_of(way, snapshot.origin, from, to)));
		if (chunk != Chunk::none || !may_be_origins)
			answer = all_of(answer, cow);
		// Nobody knows whether the COW device still has what could not be merged.
		if (way == Way::write && snapshot.merges && chunk != Chunk::none &&
		    snapshot.had_errors)
			answer = all_of(answer, Answer::either);
		from = to;
	}
	return snapshot.validity == Validity::valid ? answer : all_of(answer, Answer::either);
}

Answer Model::answer_of(Way way, const CloneLine &line, std::uint64_t begin,
			std::uint64_t end) const
{
	const Clone &clone = *line.clone;
	Answer answer = Answer::good;

	if (!line.active)
		return Answer::either;
	if (clone.meta_failed || clone.dest_failed)
		answer = Answer::either;
	for (std::uint64_t from = begin; from < end;) {
		const std::uint64_t number = from / clone.region;
		const std::uint64_t to = std::min(end, (number + 1) * clone.region);
		const Region region = clone.regions[number];
		const bool is_filled = region == Region::hydrated || region == Region::durable;

		if (way == Way::write && !is_filled)
			answer = all_of(answer, perhaps(can_fill(clone, number)));
		if (way == Way::write || is_filled)
			answer = all_of(answer, answer_of(way, clone.dest, from, to));
		else if (region == Region::none)
			answer = all_of(answer, answer_of(way, clone.source, from, to));
		else
			answer = all_of(answer, both(answer_of(way, clone.source, from, to),
						     answer_of(way, clone.dest, from, to)));
		from = to;
	}
	return answer;
}

// Whether a region can be copied.
Answer Model::can_fill(const Clone &clone, std::uint64_t region) const
{
	const std::uint64_t begin = region * clone.region;
	const std::uint64_t end = std::min(begin + clone.region, clone.length);

	return all_of(answer_of(Way::read, clone.source, begin, end),
		      answer_of(Way::write, clone.dest, begin, end));
}

// NOLINTEND(misc-no-recursion)

Answer Model::answer_of(const Io &io) const
{
	// A device with bad sectors empties its cache as any other does.
	if (io.verb == "flush")
		return health(io.device, true);
	return answer_of(io.verb == "write" ? Way::write : Way::read, io.device, io.sector,
			 io.sector + io.count);
}

// Of reading and writing the metadata of a persistent snapshot. The first area has room for twice
// as many chunks as a volume has, or there may be more areas.
Answer Model::answer_of_metadata(const std::string &cow, std::uint64_t chunk) const
{
	const std::uint64_t end = 2 * chunk;

	if (chunk * kExceptionsOfSector < 2 * kVolume / chunk)
		return perhaps(health(cow));
	return perhaps(
		all_of(answer_of(Way::read, cow, 0, end), answer_of(Way::write, cow, 0, end)));
}

// Whether a snapshot can copy a chunk.
Answer Model::can_copy(const Snapshot &snapshot, std::uint64_t chunk) const
{
	return all_of(answer_of(Way::read, snapshot.origin, chunk * snapshot.chunk,
				(chunk + 1) * snapshot.chunk),
		      perhaps(health(snapshot.cow)));
}

// Whether its COW device may not know of all chunks that it has.
bool Model::is_behind(const SnapshotPtr &snapshot) const
{
	return snapshot->deferred != kBegin || std::ranges::any_of(ios_, [&](const auto &each) {
		       return each.second.defers.contains(snapshot);
	       });
}

// Something has changed: can what is being copied still be?
void Model::weigh_again()
{
	for (const HolderPtr &holder : holders_) {
		if (!holder->snapshot)
			continue;

		Snapshot &snapshot = *holder->snapshot;

		// The log may fail now, and it may take a while until that shows.
		if (is_behind(holder->snapshot) && health(snapshot.cow) != Answer::good) {
			snapshot.doubtful = true;
			if (snapshot.validity == Validity::valid)
				snapshot.validity = Validity::unsure;
		}
		if (health(snapshot.cow) == Answer::good && health(snapshot.origin) == Answer::good)
			continue;
		snapshot.had_errors = true;
		// It copies more than is known.
		if (snapshot.loose && !snapshot.merges && !ios_.empty() &&
		    snapshot.validity == Validity::valid)
			snapshot.validity = Validity::unsure;
	}
	for (auto &[number, io] : ios_)
		for (Copy &copy : io.copies) {
			const Answer answer = can_copy(*copy.snapshot, copy.chunk);

			copy.fails = copy.fails && answer == Answer::bad;
			if (answer != Answer::good &&
			    copy.snapshot->chunks[copy.chunk] == Chunk::maybe &&
			    copy.snapshot->validity == Validity::valid)
				copy.snapshot->validity = Validity::unsure;
		}
}

// An I/O has ended. What could not be read was not copied.
void Model::end_copies(const Io &io)
{
	for (const Copy &copy : io.copies) {
		Snapshot &snapshot = *copy.snapshot;

		if (copy.fails && !io.open && !snapshot.loose && !snapshot.merges &&
		    snapshot.chunks[copy.chunk] == Chunk::maybe)
			snapshot.validity = Validity::invalid;
	}
}

// So many regions can be hydrated, or are.
std::uint64_t Model::attainable(const Clone &clone) const
{
	std::uint64_t regions = 0;

	for (std::uint64_t region = 0; region < clone.regions.size(); region++)
		regions += clone.regions[region] >= Region::hydrated ||
			   can_fill(clone, region) == Answer::good;
	// A bad one may take those with it that are copied at the same time.
	return differences_.batch_fails_together && regions < clone.regions.size() ? 0 : regions;
}

void Model::set_base(const Operation &operation)
{
	const std::string name = operation.word(0);
	const std::string what = operation.word(1);
	Below &base = below_.at(name);
	const Fault before = base.fault;

	base.suspended = what == "suspend";
	if (what != "suspend" && what != "resume") {
		base.fault = fault_of(operation);
		resize(name, what == "resize" ? operation.number(2) : base.contents.size());
	}
	if (base.is_whole(before) || base.is_failing())
		base.failed = time_;
	if (before == base.fault)
		return;
	// What is in flight may still meet the device as it was, and some of its parts do.
	for (auto &[number, io] : ios_)
		if (io.open || below(io.device).contains(name))
			io.answer = both(io.answer, Answer::either);
}

} // namespace dmsc
