// SPDX-License-Identifier: GPL-2.0-only
// What is left after a power cut.
//
//	A flush of a device makes durable what had been written to it when it was submitted, also on
//	the devices that it stands on: of an origin, the origin device; of a snapshot, its COW
//	device; of a merge, both.
//	A write with FUA that has ended is durable itself, and so is whatever is needed to find it
//	after the power cut: the chunk of the snapshot, the region of the clone. It makes nothing
//	else durable.
//	A persistent snapshot is there for sure when a flush of it, or a write to its origin that
//	had to copy a chunk, has ended.
//	What is written to the origin through its target never shows in a snapshot: the chunk that
//	was copied before is durable in the snapshot when that write ends, and before it can be
//	durable itself.
//	What is written to a snapshot is durable with a flush of it. Before that the snapshot may
//	show the origin still, as it was before; but it has the chunk when the write has ended with
//	commit=write, and else when it is suspended, or goes, when two seconds have passed, or when
//	a write to that chunk of the origin has ended.
//	A merge that has ended has made the origin durably what the snapshot is.
//	A snapshot is durably invalid before anything is written that it would have had to copy.
//
// Nothing is said of a snapshot that was, in part, not told what happens to its origin; of an
// invalid one if a device has failed, as its COW device cannot be told then; of one whose COW
// device takes no flushes because a device below failed when its table was resumed; nor, until it
// is there for sure, if the COW device had other contents before.
#include "model.h"

#include "layout.h"

#include <algorithm>
#include <array>

namespace dmsc
{

namespace
{

constexpr std::array<Cell::Left, 1> kAnything{};

} // namespace

// NOLINTBEGIN(misc-no-recursion): devices stand on devices, and there is no circle.

// What a sector may show if all devices are made as they are now.
std::span<const Cell::Left> Model::after_cut(const std::string &device, std::uint64_t sector) const
{
	if (const auto base = below_.find(device); base != below_.end())
		return base->second.contents.at(sector).after_cut();

	const Target *target = target_at(device, sector);

	if (target == nullptr)
		return kAnything;
	if (target->type == "linear")
		return after_cut(target->arguments.at(0),
				 sector - target->start + std::stoull(target->arguments.at(1)));
	if (target->type == "origin")
		return after_cut(target->arguments.at(0), sector);
	if (target->holder && target->holder->snapshot)
		return after_cut(*target->holder->snapshot, sector);
	return kAnything;
}

std::span<const Cell::Left> Model::after_cut(const Snapshot &snapshot, std::uint64_t sector) const
{
	if (snapshot.chunks[sector / snapshot.chunk] == Chunk::none)
		return after_cut(snapshot.origin, sector);
	return snapshot.contents[sector].after_cut();
}

// Whether a device below has failed at any time since then. It has no cache then, and the block
// layer ends flushes of it well that reach nothing.
bool Model::has_failed(const std::string &device, Time since) const
{
	return std::ranges::any_of(below(device), [&](const std::string &each) {
		const auto base = below_.find(each);

		return base != below_.end() &&
		       (base->second.is_failing() || base->second.failed > since);
	});
}

// A flush that was submitted then has succeeded.
void Model::flushed(const std::string &device, Time when)
{
	if (const auto base = below_.find(device); base != below_.end()) {
		if (!has_failed(device, when))
			for (Cell &cell : base->second.contents)
				cell.flushed(when);
		return;
	}

	const Mapped &mapped = mapped_.at(device);

	if (!mapped.live || !mapped.takes_flushes)
		return;
	for (const Target &target : *mapped.live) {
		if (target.type == "linear" || target.type == "origin" || target.type == "merge")
			flushed(target.arguments.at(0), when);
		if (target.clone && target.clone->active) {
			flushed(target.clone->clone->dest, when);
			flushed(*target.clone->clone, when);
		}
		if (target.holder && target.holder->snapshot &&
		    !has_failed(target.holder->snapshot->cow, when))
			flushed(target.holder->snapshot, when);
	}
}

// NOLINTEND(misc-no-recursion)

void Model::flushed(const SnapshotPtr &flushed, Time when) const
{
	Snapshot &snapshot = *flushed;

	snapshot.durable = snapshot.durable || snapshot.loaded <= when;
	// What had to be told to the COW device was: who waited has not been told otherwise.
	if (snapshot.deferred <= when) {
		snapshot.deferred = kBegin;
		snapshot.doubtful = snapshot.doubtful && is_behind(flushed);
	}
	for (std::uint64_t chunk = 0; chunk < snapshot.chunks.size(); chunk++) {
		if (snapshot.chunks[chunk] == Chunk::copied && snapshot.copied[chunk] <= when)
			make_durable(snapshot, chunk);
		if (!snapshot.durable_chunks[chunk])
			continue;
		for (std::uint64_t i = 0; i < snapshot.chunk; i++)
			snapshot.contents[chunk * snapshot.chunk + i].flushed(when);
	}
}

// The snapshot has it, after a power cut, too.
void Model::make_durable(Snapshot &snapshot, std::uint64_t chunk)
{
	snapshot.durable = true;
	snapshot.durable_chunks[chunk] = true;
	for (std::uint64_t i = 0; i < snapshot.chunk; i++)
		snapshot.contents[chunk * snapshot.chunk + i].flushed(kBegin);
}

// Whether a write with FUA was one for all devices that it may have come to: some have no cache as
// far as the kernel knows.
bool Model::is_durable(const Io &io) const
{
	return io.fua && io.begun && !io.open && !has_failed(io.device, io.begun_at) &&
	       std::ranges::all_of(below(io.device), [this](const std::string &each) {
		       const Mapped *mapped = find(each);

		       return mapped == nullptr || (mapped->live && mapped->takes_flushes);
	       });
}

// One has ended: the snapshots have its chunks. False if that is not sure.
bool Model::end_durably(const Io &io)
{
	for (const auto &[snapshot, chunk] : io.chunks) {
		if (snapshot->chunks[chunk] != Chunk::copied || snapshot->merges)
			return false;
		make_durable(*snapshot, chunk);
	}
	return true;
}

// The kernel looks for caches below when a table is resumed.
bool Model::finds_caches(const Table &table) const
{
	return std::ranges::all_of(table, [this](const Target &target) {
		return std::ranges::all_of(target.devices(), [this](const std::string &device) {
			const Mapped *mapped = find(device);

			return mapped != nullptr ? mapped->live && mapped->takes_flushes
						 : !below_.at(device).is_failing();
		});
	});
}

Model::SnapshotPtr Model::persistent_on(const std::string &cow) const
{
	for (const HolderPtr &holder : holders_)
		if (holder->cow == cow && holder->snapshot)
			return holder->snapshot->persistent ? holder->snapshot : nullptr;

	const auto found = at_rest_.find(cow);

	return found == at_rest_.end() ? nullptr : found->second;
}

Model::Survival Model::survival(const std::string &cow) const
{
	const SnapshotPtr snapshot = persistent_on(cow);
	const auto usual = std::ranges::find(kCows, cow, &CowOf::cow);

	// The power fails with the usual origin above it.
	if (!snapshot || usual == kCows.end() || snapshot->origin != usual->origin)
		return {};
	if (snapshot->blind || snapshot->vague || garbage_.contains(cow) ||
	    (!snapshot->durable && !snapshot->fresh))
		return {};

	const bool is_valid = snapshot->validity == Validity::valid;

	if (!is_valid && snapshot->had_errors)
		return {};
	return {true, snapshot->durable, !is_valid};
}

std::vector<Cell::Left> Model::survivors(const std::string &device, std::uint64_t sector) const
{
	const SnapshotPtr snapshot = persistent_on(device);
	const auto clone = clones_.find(device);
	std::span<const Cell::Left> left = kAnything;
	std::vector<Cell::Left> of_clone;
	std::vector<Cell::Left> all;

	if (clone != clones_.end())
		left = of_clone = after_cut(*clone->second, sector);
	else if (snapshot)
		left = after_cut(*snapshot, sector);
	else if (sector < size_of(device))
		left = after_cut(device, sector);
	for (const Cell::Left &each : left)
		all.push_back({content_of(each.tag), each.replaced});
	return all;
}

} // namespace dmsc
