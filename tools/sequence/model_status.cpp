// SPDX-License-Identifier: GPL-2.0-only
// What tables and status lines must say.
#include "model.h"

#include "layout.h"

#include <algorithm>
#include <ranges>
#include <sstream>

namespace dmsc
{

std::string Model::expected_text(const Target &target) const
{
	std::string text;

	// Those of snapshots are shown in their own way.
	const std::size_t count = std::min<std::size_t>(
		target.arguments.size(), target.holder ? 4 : target.arguments.size());

	for (std::size_t i = 0; i < count; i++) {
		std::string argument = target.arguments[i];

		// What it has, or had, counts, not what the table asked for.
		if (target.holder && i == 2)
			argument = target.holder->store;
		if (target.holder && i == 3)
			argument = std::to_string(target.holder->chunk);
		text += (i == 0 ? "" : " ") + argument;
	}
	return target.holder ? text + features_of(target) : text;
}

// As a table shows them: without those that say what is so in any case.
std::string Model::features_of(const Target &target)
{
	std::string text;
	int count = 0;

	for (const std::string_view name :
	     {"discard_zeroes_cow", "discard_passdown_origin", "commit=write"}) {
		if (!target.has_feature(name) ||
		    (name == "commit=write" && target.holder->store == "N"))
			continue;
		text.append(" ").append(name);
		count++;
	}
	return count == 0 ? "" : " " + std::to_string(count) + text;
}

Model::Complaint Model::check(const std::string &device, bool inactive, const ShownLines &table,
			      const ShownLines &status)
{
	const Mapped &mapped = mapped_.at(device);
	const std::optional<Table> &expected = inactive ? mapped.inactive : mapped.live;

	if (!expected)
		return table.empty() ? std::nullopt : Complaint("has a table");
	if (table.size() != expected->size() || status.size() != expected->size())
		return "has " + std::to_string(table.size()) + " lines, not " +
		       std::to_string(expected->size());
	for (std::size_t i = 0; i < table.size(); i++) {
		const Target &target = (*expected)[i];
		const ShownLine line{target.start, target.length, target.type,
				     expected_text(target)};

		if (table[i] != line)
			return "table is " + table[i].type + " " + table[i].text + ", not " +
			       line.type + " " + line.text;
		if (target.holder)
			if (Complaint complaint = check_usage(*target.holder, status[i].text))
				return complaint;
		if (target.clone)
			if (Complaint complaint = check_clone(mapped, target, status[i].text))
				return complaint;
	}
	return std::nullopt;
}

bool Model::can_hydrate(const Target &target) const
{
	const std::vector<std::string> devices = target.devices();

	return target.clone && target.clone->active && !target.clone->clone->meta_failed &&
	       !target.clone->clone->dest_failed &&
	       std::ranges::none_of(devices,
				    [this](const std::string &each) { return is_stuck(each); });
}

bool Model::can_merge(const Target &target) const
{
	const SnapshotPtr snapshot = target.holder ? target.holder->snapshot : nullptr;

	return snapshot && target.holder->active && snapshot->merging &&
	       snapshot->validity == Validity::valid && health(snapshot->cow) == Answer::good &&
	       health(snapshot->origin) == Answer::good;
}

bool Model::goes_on(const std::string &device, const ShownLines &status) const
{
	const Mapped &mapped = mapped_.at(device);

	if (!mapped.live || mapped.suspended || is_stuck(device))
		return false;
	for (std::size_t i = 0; i < std::min(status.size(), mapped.live->size()); i++) {
		const Target &target = (*mapped.live)[i];

		if (can_hydrate(target) && target.clone->hydrates && target.clone->threshold != 0)
			if (const auto progress = parse_progress(status[i].text);
			    progress && progress->hydrated < attainable(*target.clone->clone))
				return true;
		if (can_merge(target))
			if (const auto usage = parse_usage(status[i].text);
			    usage && usage->used != usage->metadata)
				return true;
	}
	return false;
}

Operations Model::starters(const std::string &device) const
{
	const Mapped &mapped = mapped_.at(device);
	Operations operations;

	if (!mapped.live || mapped.live->empty() || !can_hydrate(mapped.live->front()))
		return operations;
	if (mapped.live->front().clone->threshold == 0)
		operations.emplace_back("message " + device + " hydration_threshold 64");
	operations.emplace_back("message " + device + " enable_hydration");
	return operations;
}

std::uint64_t Model::count(const Snapshot &snapshot, bool surely)
{
	return static_cast<std::uint64_t>(std::ranges::count_if(snapshot.chunks, [&](Chunk chunk) {
		return chunk == Chunk::copied || (!surely && chunk == Chunk::maybe);
	}));
}

namespace
{

// Of a persistent snapshot: a header, then areas of a chunk of exceptions and the chunks that they
// tell of. The chunk that is used next if so many are used already.
std::uint64_t next_chunk(std::uint64_t used, std::uint64_t chunk)
{
	const std::uint64_t per_area = chunk * 512 / 16;

	return 1 + used / per_area * (per_area + 1) + 1 + used % per_area;
}

} // namespace

// How many chunks the COW device has room for.
std::uint64_t Model::capacity(const Snapshot &snapshot) const
{
	const std::uint64_t chunks = size_of(snapshot.cow) / snapshot.chunk;
	std::uint64_t used = 0;

	if (!snapshot.persistent)
		return chunks;
	while (next_chunk(used, snapshot.chunk) < chunks)
		used++;
	return used;
}

std::optional<Usage> parse_usage(const std::string &status)
{
	const auto slash = status.find('/');
	const auto space = status.find(' ');

	if (slash == std::string::npos || space == std::string::npos)
		return std::nullopt;
	return Usage{std::stoull(status), std::stoull(status.substr(slash + 1)),
		     std::stoull(status.substr(space))};
}

std::optional<Progress> parse_progress(const std::string &status)
{
	std::istringstream in(status);
	std::string skipped;
	char slash = 0;
	Progress progress;

	in >> skipped >> skipped >> skipped >> progress.hydrated >> slash >> progress.regions;
	return in ? std::optional(progress) : std::nullopt;
}

Model::Complaint Model::check_usage(const Holder &holder, const std::string &status)
{
	SnapshotPtr snapshot = holder.snapshot;

	// A table that waits shows what it is going to get.
	if (!snapshot && differences_.waiting_shows_nothing)
		return std::nullopt;
	if (!snapshot && !holder.over)
		if (const HolderPtr from = holder_of(holder.cow, true))
			snapshot = from->snapshot;
	if (!snapshot)
		return status == "Invalid" ? std::nullopt
					   : Complaint("status is " + status + ", not Invalid");
	if (status == "Invalid" || status == "Merge failed") {
		if (snapshot->validity == Validity::valid &&
		    !(status == "Merge failed" && snapshot->had_errors))
			return "status is " + status + ", but nothing has failed";
		if (status == "Invalid")
			snapshot->validity = Validity::invalid;
		return std::nullopt;
	}
	if (snapshot->validity == Validity::invalid)
		return "status is " + status + ", not Invalid";
	// A write to the snapshot has found no room. What was there stays.
	if (status == "Overflow")
		return snapshot->may_overflow && snapshot->validity != Validity::valid
			       ? std::nullopt
			       : Complaint("status is Overflow, not Invalid");
	// A merge may have to copy more, of another snapshot, too.
	if (ios_.empty() && !snapshot->doubtful &&
	    std::ranges::none_of(holders_, [](const HolderPtr &other) {
		    return other->snapshot && other->snapshot->merging;
	    }))
		snapshot->validity = Validity::valid;

	const std::optional<Usage> shown = parse_usage(status);

	if (!shown)
		return "status is " + status;

	const auto [used, total, metadata] = *shown;
	const std::uint64_t chunk = snapshot->chunk;
	const std::uint64_t least = snapshot->loose ? 0 : count(*snapshot, true);
	const std::uint64_t most =
		(snapshot->loose ? snapshot->chunks.size() : count(*snapshot, false)) +
		snapshot->holes;
	const auto usage = [&](std::uint64_t chunks) {
		return snapshot->persistent ? next_chunk(chunks, chunk) * chunk : chunks * chunk;
	};

	if (total != size_of(snapshot->cow))
		return "status is " + status + ", but the COW device has " +
		       std::to_string(size_of(snapshot->cow)) + " sectors";
	if (used < usage(least) || used > usage(most))
		return "status is " + status + ", but " + std::to_string(least) + " to " +
		       std::to_string(most) + " chunks of " + std::to_string(chunk) +
		       " sectors must be in use: " + std::to_string(usage(least)) + " to " +
		       std::to_string(usage(most));
	if (!snapshot->persistent && metadata != 0)
		return "status is " + status + ", but a transient snapshot has no metadata";
	if (holder.merges && holder.active && snapshot->merging && used == metadata)
		finish_merge(*snapshot);
	return std::nullopt;
}

} // namespace dmsc
