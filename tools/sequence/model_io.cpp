// SPDX-License-Identifier: GPL-2.0-only
// The way of an I/O through the model: what a read may find, where a write goes, which snapshots
// copy before.
#include "model.h"

#include "layout.h"

#include <algorithm>
#include <utility>

namespace dmsc
{

// NOLINTBEGIN(misc-no-recursion): devices stand on devices, and there is no circle.

/*
 * Reads
 */

// Empty: nothing, as it fails.
Values Model::look(const std::string &device, std::uint64_t sector) const
{
	// Behind the end, whoever copies that copies something.
	if (const auto base = below_.find(device); base != below_.end())
		return sector < base->second.size ? base->second.contents.at(sector).now()
						  : Values::anything();

	const Target *target = target_at(device, sector);

	if (target == nullptr)
		return Values::anything();
	if (target->type == "error")
		return {};
	if (target->type == "zero")
		return Values(kZeroes);
	if (target->type == "linear")
		return look(target->arguments.at(0),
			    sector - target->start + std::stoull(target->arguments.at(1)));
	if (target->type == "origin")
		return look(target->arguments.at(0), sector);
	if (target->clone)
		return look_clone(*target->clone, sector - target->start);
	if (!target->holder->snapshot && target->type == "merge" &&
	    differences_.lost_merge_shows_origin)
		return look(target->arguments.at(0), sector);
	if (!target->holder->snapshot)
		return {};
	return look(*target->holder->snapshot, sector);
}

Values Model::look(const Snapshot &snapshot, std::uint64_t sector) const
{
	const Chunk chunk = snapshot.chunks[sector / snapshot.chunk];

	// A merging device shows the origin then.
	if (snapshot.validity == Validity::invalid && !snapshot.merges)
		return {};
	if (chunk == Chunk::none || snapshot.validity == Validity::invalid)
		return look(snapshot.origin, sector);
	return snapshot.vague ? Values::anything() : snapshot.contents[sector].now();
}

/*
 * Writes
 */

void Model::write(const std::string &device, std::uint64_t sector, Io &io)
{
	if (const auto base = below_.find(device); base != below_.end()) {
		const std::size_t places = io.places.size();
		bool may_be_copied = false;

		if (sector >= base->second.size)
			return;
		io.places.push_back(&base->second.contents.at(sector));
		// Past the clone whose destination it is, which may copy after that.
		for (const auto &[meta, clone] : clones_) {
			if (clone->dest != device || sector >= clone->length ||
			    clone.get() == io.through)
				continue;

			const Region region = clone->regions[sector / clone->region];

			if (region == Region::maybe) {
				chance(clone->contents[sector], io);
				may_be_copied = may_be_copied || is_live(*clone);
			}
			if (region == Region::hydrated)
				io.places.push_back(&clone->contents[sector]);
			if (region == Region::maybe || region == Region::hydrated)
				own(clone, io);
		}
		if (may_be_copied)
			doubt(places, io);
		return;
	}

	const Target *target = target_at(device, sector);

	if (target == nullptr || target->type == "error" || target->type == "zero")
		return;
	if (target->type == "linear")
		return write_origin(target->arguments.at(0),
				    sector - target->start + std::stoull(target->arguments.at(1)),
				    io, nullptr, false);
	if (target->type == "origin")
		return write_origin(target->arguments.at(0), sector, io, nullptr, true);
	if (target->clone)
		return write_clone(*target->clone, sector - target->start, io);

	const SnapshotPtr snapshot = target->holder->snapshot;

	if (!snapshot && target->type == "merge" && differences_.lost_merge_shows_origin)
		return write_origin(target->arguments.at(0), sector, io, nullptr, true);
	if (snapshot)
		write_snapshot(snapshot, sector, io);
}

// To a device that may be an origin: snapshots copy before, if the write goes through a target that
// tells them. If it does not, they may show it.
void Model::write_origin(const std::string &origin, std::uint64_t sector, Io &io,
			 const Snapshot *merging, bool protect)
{
	const std::size_t places = io.places.size();
	// Nobody asks what has ended when it has.
	Io later;
	bool may_be_merged = false;

	for (const SnapshotPtr &snapshot : snapshots_of(origin)) {
		const std::uint64_t number = sector / snapshot->chunk;
		const Chunk &chunk = snapshot->chunks[number];
		const bool is_told = protect && snapshot->active && !snapshot->merges;
		const bool is_shown = sector >= snapshot->begin && sector < snapshot->end;
		const bool copies = is_told && is_shown;

		if (snapshot.get() == merging)
			continue;
		// Past a merge, which may copy after that.
		may_be_merged = may_be_merged || (snapshot->merging && chunk == Chunk::maybe);
		// Outside of what it shows it may copy, or not.
		if (is_told && chunk == Chunk::none)
			copy(snapshot, number, true,
			     !is_shown     ? nullptr
			     : io.may_stay ? &later
					   : &io);
		else if (copies && !io.may_stay &&
			 (chunk == Chunk::maybe || !snapshot->durable_chunks[number]))
			need(snapshot, number, true, io);
		if (!copies && chunk == Chunk::maybe)
			snapshot->contents[sector].add(io.values, kBegin);
		// The snapshot has the chunk, but after a power cut perhaps not.
		if (!copies && chunk == Chunk::copied && !snapshot->durable_chunks[number])
			snapshot->contents[sector].add_left(Cell(io.values).after_cut());
	}

	write(origin, sector, io);
	if (may_be_merged)
		doubt(places, io);
}

// Before a chunk of the origin is written.
void Model::copy(const SnapshotPtr &snapshot, std::uint64_t chunk, bool of_origin, Io *io)
{
	// If it is invalid it must not show what is written now, even if a power cut should undo
	// that.
	for (std::uint64_t i = 0; i < snapshot->chunk; i++) {
		const std::uint64_t sector = chunk * snapshot->chunk + i;

		snapshot->contents[sector] = Cell(look(snapshot->origin, sector));
		snapshot->contents[sector].add_left(after_cut(snapshot->origin, sector));
	}
	snapshot->durable_chunks[chunk] = false;
	snapshot->chunks[chunk] = Chunk::maybe;
	if (io != nullptr)
		io->copies.push_back({snapshot, chunk, of_origin, false,
				      of_origin && can_copy(*snapshot, chunk) == Answer::bad});
	else
		snapshot->loose = true;
	weigh(*snapshot, chunk);
}

// The snapshot may have the chunk already, or another write is going to make it copy it: when this
// one has ended well it has it.
void Model::need(const SnapshotPtr &snapshot, std::uint64_t chunk, bool of_origin, Io &io)
{
	if (snapshot->validity == Validity::valid && !snapshot->vague &&
	    std::ranges::none_of(io.copies, [&](const Copy &each) {
		    return each.snapshot == snapshot && each.chunk == chunk;
	    }))
		io.copies.push_back({snapshot, chunk, of_origin, true, false});
}

// It is getting one chunk more: does that succeed?
void Model::weigh(Snapshot &snapshot, std::uint64_t chunk)
{
	const std::uint64_t room = capacity(snapshot);
	const std::uint64_t most = snapshot.loose ? snapshot.chunks.size() : count(snapshot, false);

	if (snapshot.validity == Validity::valid &&
	    (most + snapshot.holes > room || can_copy(snapshot, chunk) != Answer::good))
		snapshot.validity = Validity::unsure;
	if (!snapshot.loose && count(snapshot, true) > room)
		snapshot.validity = Validity::invalid;
}

void Model::write_snapshot(const SnapshotPtr &snapshot, std::uint64_t sector, Io &io)
{
	const std::uint64_t number = sector / snapshot->chunk;
	const Chunk chunk = snapshot->chunks[number];
	const bool merges = snapshot->merges;

	if (snapshot->validity == Validity::invalid) {
		if (merges)
			write_origin(snapshot->origin, sector, io, snapshot.get(), true);
		return;
	}
	// What is not in the snapshot any more, or was never, is the origin's when it merges.
	if (merges && chunk != Chunk::copied) {
		const std::size_t places = io.places.size();
		const bool before = io.may_stay;

		io.may_stay = before || chunk == Chunk::maybe;
		write_origin(snapshot->origin, sector, io, snapshot.get(), true);
		io.may_stay = before;
		if (chunk == Chunk::none)
			return;
		// Perhaps it is in the snapshot still.
		doubt(places, io);
		io.places.push_back(&snapshot->contents[sector]);
		own(snapshot, io);
		return;
	}
	Io later;

	if (chunk == Chunk::none)
		copy(snapshot, number, false, io.may_stay ? &later : &io);
	else if (chunk == Chunk::maybe && !merges && !io.may_stay)
		need(snapshot, number, false, io);
	if (snapshot->defers && chunk != Chunk::copied && io.verb.empty())
		snapshot->deferred = kNever;
	else if (snapshot->defers && chunk != Chunk::copied)
		io.defers.insert(snapshot);
	if (snapshot->persistent &&
	    (io.chunks.empty() || io.chunks.back() != std::pair(snapshot, number)))
		io.chunks.emplace_back(snapshot, number);
	own(snapshot, io);
	io.places.push_back(&snapshot->contents[sector]);
}

// NOLINTEND(misc-no-recursion)

/*
 * I/O in flight
 */

void Model::own(const std::shared_ptr<const void> &owner, Io &io)
{
	if (std::ranges::find(io.owners, owner) == io.owners.end())
		io.owners.push_back(owner);
}

// It may be written there.
void Model::chance(Cell &cell, Io &io)
{
	if (io.verb.empty()) {
		cell.add(io.values, kBegin);
		return;
	}
	cell.add(io.values, kNever);
	io.chances.push_back(&cell);
}

// Nor is it sure that the places from that one on keep it.
void Model::doubt(std::size_t first, Io &io)
{
	for (std::size_t i = first; i < io.places.size(); i++)
		chance(*io.places[i], io);
	io.places.resize(std::min(first, io.places.size()));
}

// It has ended.
void Model::settle(const Io &io, bool good, bool durably) const
{
	if (!io.begun || (io.verb != "write" && io.verb != "discard"))
		return;

	const Tag tag = io.verb == "discard" ? kZeroes : io.tag;
	// One that has gone past a clone, or through it, comes before copies or after them.
	const bool surely = good && io.verb == "write" && (!io.open || io.regions.empty());

	for (Place place : io.chances)
		place->ended(tag, time_);
	for (Place place : io.places) {
		if (surely)
			place->written(tag, io.begun_at, time_, !io.regions.empty(), durably);
		else
			place->ended(tag, time_);
	}
}

void Model::enter(Io &io)
{
	if (!std::exchange(io.begun, true))
		io.begun_at = time_++;
	if (io.verb == "flush")
		enter_flush(io);
	if (io.verb == "read") {
		io.allowed.assign(io.count, Values());
		for (std::uint64_t i = 0; i < io.count; i++)
			io.allowed[i].add(look(io.device, io.sector + i));
	}
	if (io.verb == "flush" || io.verb == "read")
		io.answer = answer_of(io);
	if (io.verb != "write" && io.verb != "discard")
		return;
	if (io.verb == "discard")
		discard(io.device, io.sector, io.sector + io.count, io);
	for (std::uint64_t i = 0; i < io.count && io.verb == "write"; i++) {
		const std::size_t places = io.places.size();

		// Snapshots of the device itself are not told.
		write_origin(io.device, io.sector + i, io, nullptr, false);
		for (std::size_t place = places; place < io.places.size(); place++)
			io.places[place]->add(io.values, kNever);
	}
	if (io.verb == "write")
		io.answer = answer_of(io);
	look_again();
}

// Something has changed: what is in flight may find that, too.
void Model::look_again()
{
	hydrate();
	discard_again();
	weigh_again();
	for (auto &[number, io] : ios_) {
		if (!io.begun || io.verb == "discard")
			continue;
		io.answer = both(io.answer, answer_of(io));
		for (std::uint64_t i = 0; i < io.count && io.verb == "read"; i++)
			io.allowed[i].add(look(io.device, io.sector + i));
	}
}

// Devices lead to other places, or other snapshots copy: writes may take the old way or the new.
void Model::enter_again(const std::set<std::string> &changed)
{
	for (auto &[number, io] : ios_) {
		const std::set<std::string> used = below(io.device);

		if (!io.begun || (io.verb != "write" && io.verb != "discard") ||
		    std::ranges::none_of(changed,
					 [&](const auto &each) { return used.contains(each); }))
			continue;

		const Answer before = io.answer;
		std::vector<Place> old = std::exchange(io.places, {});

		enter(io);
		io.open = true;
		io.answer = both(before, io.answer);
		std::ranges::sort(old);

		const auto other =
			std::partition(io.places.begin(), io.places.end(), [&](Place place) {
				return std::ranges::binary_search(old, place);
			});

		io.chances.insert(io.chances.end(), other, io.places.end());
		io.chances.insert(io.chances.end(), old.begin(), old.end());
		io.places.erase(other, io.places.end());
	}
	look_again();
}

void Model::begin(std::uint64_t number, const Operation &operation, Tag tag)
{
	Io &io = ios_[number];

	io.verb = operation.verb();
	io.fua = io.verb == "fua";
	if (io.verb == "fua" || io.verb == "zero")
		io.verb = "write";
	io.device = operation.word(0);
	io.sector = operation.number(1);
	io.count = operation.number(2);
	io.tag = tag;
	io.values = Values(tag);
	// Many devices cannot discard, or not while another one stands on them.
	if (io.verb == "discard")
		io.answer = Answer::either;
	io.whole = operation.verb() == "zero" || io.verb == "discard";
	io.refused = is_refused(io);
	if (!is_stopped(io.device) && !io.refused)
		enter(io);
}

// Of a device that ends there.
bool Model::is_behind(const Io &io, std::uint64_t size)
{
	return io.sector >= size || (io.whole && io.sector + io.count > size);
}

// Also if the device is suspended.
bool Model::is_refused(const Io &io) const
{
	const Mapped *mapped = find(io.device);
	const bool writes = io.verb == "write" || io.verb == "discard";

	if (mapped == nullptr || io.verb == "flush")
		return false;

	return (writes && mapped->read_only) || is_behind(io, size_of(io.device));
}

// I/O that is on its way to a device meets it as it was, or as it has become.
void Model::change_mode(const std::string &device, bool was_read_only, std::uint64_t old_size)
{
	const std::uint64_t size = size_of(device);

	for (auto &[number, io] : ios_) {
		if (io.device != device || io.verb == "flush")
			continue;
		io.mode_changed =
			io.mode_changed ||
			(io.verb != "read" && was_read_only != mapped_.at(device).read_only) ||
			(old_size != size && io.sector + io.count > std::min(old_size, size));
		// The new size counts for a moment before the new mode does.
		io.refused = io.refused && is_refused(io) && (was_read_only || is_behind(io, size));
	}
}

bool Model::is_held_up(std::uint64_t number) const
{
	return is_any_stopped(below(ios_.at(number).device));
}

// Whether the copy that a write has needed is durable as it has ended: what the origin loses is,
// and else it depends on what the snapshot was asked to promise.
bool Model::is_durable_copy(const Snapshot &snapshot, bool of_origin, const Io &io) const
{
	return (of_origin || (snapshot.persistent && !snapshot.defers)) &&
	       !has_failed(snapshot.cow, io.begun_at);
}

// A write has succeeded.
void Model::keep_copies(const Io &io)
{
	for (const auto &[snapshot, chunk, of_origin, again, fails] : io.copies) {
		if (snapshot->chunks[chunk] == Chunk::maybe && !io.open && !snapshot->merges &&
		    snapshot->validity != Validity::invalid &&
		    (snapshot->validity == Validity::valid || (!snapshot->loose && !again))) {
			snapshot->chunks[chunk] = Chunk::copied;
			snapshot->copied[chunk] = time_;
			if (again)
				snapshot->durable_chunks[chunk] = false;
			else if (is_durable_copy(*snapshot, of_origin, io))
				make_durable(*snapshot, chunk);
		} else if (again && of_origin && snapshot->chunks[chunk] == Chunk::copied &&
			   snapshot->validity == Validity::valid && !snapshot->merges && !io.open &&
			   is_durable_copy(*snapshot, of_origin, io)) {
			make_durable(*snapshot, chunk);
		}
		if (!snapshot->loose && count(*snapshot, true) > capacity(*snapshot))
			snapshot->validity = Validity::invalid;
	}
}

Model::Complaint Model::end(std::uint64_t number, bool good, std::span<const std::byte> data)
{
	Io io = std::move(ios_.at(number));
	Complaint complaint;

	ios_.erase(number);
	time_++;
	if (io.refused || io.mode_changed)
		io.answer = io.mode_changed ? both(io.answer, Answer::bad) : Answer::bad;

	const bool is_refused = !good && (io.refused || io.mode_changed);

	// The block layer ends a flush that a device without a cache does not need, and a discard
	// that a device cannot do.
	if (!io.begun && !is_refused && io.verb != "flush" && (io.verb != "discard" || good))
		complaint = "has ended, although " + io.device + " is suspended";
	else if (good ? io.answer == Answer::bad : io.answer == Answer::good)
		complaint = good ? "has not failed" : "has failed";
	if (good && io.verb == "read")
		for (std::uint64_t i = 0; i < io.count && !complaint; i++) {
			const auto sector = data.subspan(i * kSectorBytes).first<kSectorBytes>();
			const std::optional<Tag> tag = read_tag(sector, io.sector + i);

			(io.allowed[i].is_anything()        ? compared_.any
			 : io.allowed[i].tags().size() == 1 ? compared_.one
							    : compared_.several)++;
			if (io.allowed[i].is_anything() || (tag && io.allowed[i].may_be(*tag)))
				continue;
			complaint = "sector " + std::to_string(io.sector + i) + " holds " +
				    (tag ? std::to_string(*tag)
					 : describe_sector(sector, io.sector + i)) +
				    ", not " + io.allowed[i].to_string();
		}
	end_copies(io);
	if (io.verb == "write" && good)
		keep_copies(io);

	const bool durably = good && is_durable(io) && end_durably(io);

	for (const SnapshotPtr &snapshot : io.defers)
		if (!durably && snapshot->deferred != kNever)
			snapshot->deferred = time_;
	settle(io, good, durably);
	if (good)
		end_regions(io, durably);
	if (io.verb == "flush" && good && io.begun && !io.open)
		flushed(io.device, io.begun_at);
	remove_deferred();
	return complaint;
}

} // namespace dmsc
