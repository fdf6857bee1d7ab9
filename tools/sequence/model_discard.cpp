// SPDX-License-Identifier: GPL-2.0-only
// Discards. Nobody has to do what they ask for: a sector is what it was, or zero.
#include "model.h"

#include <algorithm>

namespace dmsc
{

// NOLINTBEGIN(misc-no-recursion): devices stand on devices, and there is no circle.

// With discard_zeroes_cow a copy is zeroed; a chunk without one stays the origin's. With
// discard_passdown_origin the origin is told as well, but not its snapshots: no chunk is copied.
void Model::discard_snapshot(const Target &target, std::uint64_t begin, std::uint64_t end, Io &io)
{
	const SnapshotPtr snapshot = target.holder->snapshot;

	if (!snapshot || !target.has_feature("discard_zeroes_cow"))
		return;
	own(snapshot, io);
	for (std::uint64_t sector = begin; sector < end; sector++) {
		if (snapshot->chunks[sector / snapshot->chunk] == Chunk::none)
			continue;
		io.places.push_back(&snapshot->contents[sector]);
		io.places.back()->add(Values(kZeroes), kNever);
	}
	if (target.has_feature("discard_passdown_origin"))
		discard(snapshot->origin, begin, end, io);
}

void Model::discard(const std::string &device, std::uint64_t begin, std::uint64_t end, Io &io)
{
	const Mapped *mapped = find(device);

	for (const SnapshotPtr &snapshot : snapshots_of(device))
		for (std::uint64_t sector = begin; sector < end; sector++) {
			const std::uint64_t chunk = sector / snapshot->chunk;

			if (snapshot->chunks[chunk] == Chunk::maybe)
				snapshot->contents[sector].add(Values(kZeroes), kBegin);
			// After a power cut it may not have the chunk.
			if (snapshot->chunks[chunk] == Chunk::copied &&
			    !snapshot->durable_chunks[chunk])
				snapshot->contents[sector].add_left(
					Cell(Values(kZeroes)).after_cut());
		}
	if (mapped == nullptr) {
		for (std::uint64_t sector = begin; sector < std::min(end, size_of(device));
		     sector++) {
			io.places.push_back(&below_.at(device).contents.at(sector));
			io.places.back()->add(Values(kZeroes), kNever);
			// Past the clone whose destination it is.
			for (const auto &[meta, clone] : clones_) {
				if (clone->dest != device || sector >= clone->length ||
				    clone->regions[sector / clone->region] == Region::none)
					continue;
				io.places.push_back(&clone->contents[sector]);
				io.places.back()->add(Values(kZeroes), kNever);
				own(clone, io);
			}
		}
		return;
	}
	if (!mapped->live)
		return;
	for (const Target &target : *mapped->live) {
		const std::uint64_t from = std::max(begin, target.start);
		const std::uint64_t to = std::min(end, target.start + target.length);

		if (from >= to)
			continue;
		if (target.type == "linear") {
			const std::uint64_t offset = std::stoull(target.arguments.at(1));

			discard(target.arguments.at(0), from - target.start + offset,
				to - target.start + offset, io);
		}
		if (target.type == "snapshot")
			discard_snapshot(target, from, to, io);
		if (target.clone)
			discard_clone(*target.clone, from - target.start, to - target.start, io);
	}
}

// NOLINTEND(misc-no-recursion)

// What has been copied since then may be discarded, too.
void Model::discard_again()
{
	for (auto &[number, io] : ios_)
		if (io.begun && io.verb == "discard")
			discard(io.device, io.sector, io.sector + io.count, io);
}

} // namespace dmsc
