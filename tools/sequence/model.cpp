// SPDX-License-Identifier: GPL-2.0-only
// Devices, tables, and what operations do to them.
#include "model.h"

#include "layout.h"

#include <algorithm>
#include <utility>

namespace dmsc
{

namespace
{

// Chunks that each CPU has at hand are lost with the power, or when a persistent snapshot ends.
constexpr std::uint64_t kMostHoles = 64;

} // namespace

Model::Model(Subject subject) : differences_(differences_of(subject))
{
	Tag tag = 10;

	for (const Base &base : kBases) {
		Below &below = below_[std::string(base.name)];

		below.contents.assign(base.sectors,
				      Cell(base.for_cow ? Values::anything() : Values(tag)));
		below.size = base.sectors;
		tag++;
	}
	for (const std::string_view name : kMapped)
		mapped_[std::string(name)] = {};
}

Answer Model::both(Answer one, Answer other)
{
	return one == other ? one : Answer::either;
}

std::vector<std::string> Model::Target::devices() const
{
	const std::size_t most = type == "linear" || type == "origin" ? 1
				 : is_snapshot()                      ? 2
				 : is_clone()                         ? 3
								      : 0;
	const auto count = static_cast<std::ptrdiff_t>(std::min(most, arguments.size()));

	return {arguments.begin(), arguments.begin() + count};
}

Model::Table Model::parse_table(const Operation &operation)
{
	Table table;

	for (const TableLine &line : table_of(operation))
		table.push_back({line, nullptr, nullptr});
	return table;
}

const Model::Mapped *Model::find(const std::string &name) const
{
	const auto found = mapped_.find(name);

	return found == mapped_.end() ? nullptr : &found->second;
}

bool Model::is_stopped(const std::string &device) const
{
	const Mapped *mapped = find(device);

	return mapped != nullptr ? mapped->suspended : below_.at(device).suspended;
}

bool Model::is_any_stopped(const std::set<std::string> &devices) const
{
	return std::ranges::any_of(devices, [this](const auto &each) { return is_stopped(each); });
}

bool Model::exists(const std::string &device) const
{
	return mapped_.at(device).exists;
}

bool Model::is_suspended(const std::string &device) const
{
	return mapped_.at(device).suspended;
}

bool Model::has_inactive(const std::string &device) const
{
	return mapped_.at(device).inactive.has_value();
}

bool Model::is_read_only(const std::string &device, bool inactive) const
{
	const Mapped &mapped = mapped_.at(device);

	return inactive ? mapped.inactive_read_only : mapped.read_only;
}

bool Model::is_stuck(const std::string &device) const
{
	return is_any_stopped(below(device));
}

// Devices below always can.
bool Model::can_do_io(const std::string &device) const
{
	if (below_.contains(device))
		return true;

	const Mapped &mapped = mapped_.at(device);

	return mapped.exists && mapped.live && !mapped.deferred;
}

std::uint64_t Model::size_of(const std::string &device) const
{
	const Mapped *mapped = find(device);

	if (mapped == nullptr)
		return below_.at(device).size;
	return mapped->live ? mapped->live->back().start + mapped->live->back().length : 0;
}

const Model::Target *Model::target_at(const std::string &device, std::uint64_t sector) const
{
	const Mapped &mapped = mapped_.at(device);

	if (mapped.live)
		for (const Target &target : *mapped.live)
			if (sector >= target.start && sector - target.start < target.length)
				return &target;
	return nullptr;
}

// Whether tables of other devices use it.
bool Model::is_below(const std::string &device) const
{
	const auto stands_on_it = [&](const std::optional<Table> &table) {
		return table && std::ranges::any_of(*table, [&](const Target &target) {
			       const auto devices = target.devices();

			       return std::ranges::find(devices, device) != devices.end();
		       });
	};

	return std::ranges::any_of(mapped_, [&](const auto &each) {
		return stands_on_it(each.second.live) || stands_on_it(each.second.inactive);
	});
}

// By tables, or by I/O.
bool Model::is_used(const std::string &device) const
{
	return is_below(device) || std::ranges::any_of(ios_, [&](const auto &each) {
		       return each.second.device == device;
	       });
}

bool Model::holds_io_back(const std::string &device) const
{
	return std::ranges::any_of(ios_, [&](const auto &each) {
		return each.second.device == device && !each.second.begun && !each.second.refused;
	});
}

bool Model::may_be_gone(const std::string &device) const
{
	const Mapped &mapped = mapped_.at(device);

	return mapped.exists && mapped.deferred && !is_below(device) && !holds_io_back(device);
}

bool Model::is_going(const std::string &device) const
{
	const Mapped &mapped = mapped_.at(device);

	return mapped.exists && mapped.deferred && !is_used(device);
}

// NOLINTBEGIN(misc-no-recursion): devices stand on devices, and there is no circle.

// All devices to which an I/O of a table may lead, also by copies for snapshots.
void Model::collect_below(const Table &table, std::set<std::string> &found) const
{
	for (const Target &target : table) {
		for (const std::string &device : target.devices())
			collect_below(device, found);
		if (target.type != "origin" && target.type != "merge")
			continue;
		for (const SnapshotPtr &snapshot : snapshots_of(target.arguments.at(0)))
			if (snapshot->active)
				collect_below(snapshot->cow, found);
	}
}

void Model::collect_below(const std::string &device, std::set<std::string> &found) const
{
	const Mapped *mapped = find(device);

	if (!found.insert(device).second || mapped == nullptr)
		return;
	if (mapped->live)
		collect_below(*mapped->live, found);
}

// NOLINTEND(misc-no-recursion)

std::set<std::string> Model::below(const std::string &device) const
{
	std::set<std::string> found;

	collect_below(device, found);
	return found;
}

// Of I/O to a device, whatever its sectors; or of a flush.
Answer Model::health(const std::string &device, bool of_flush) const
{
	Answer answer = Answer::good;

	for (const std::string &each : below(device)) {
		const auto base = below_.find(each);
		const Mapped *mapped = find(each);

		if (base != below_.end() &&
		    (of_flush ? base->second.is_failing() : base->second.fault.is_any()))
			answer = Answer::either;
		if (mapped == nullptr)
			continue;
		if (!mapped->live)
			answer = Answer::either;
		for (const Target &target : mapped->live.value_or(Table{}))
			if (target.type == "error" ||
			    (target.holder &&
			     (!target.holder->snapshot ||
			      target.holder->snapshot->validity != Validity::valid)) ||
			    (target.clone &&
			     (!target.clone->active || target.clone->clone->meta_failed ||
			      target.clone->clone->dest_failed)))
				answer = Answer::either;
	}
	return answer;
}

Model::HolderPtr Model::holder_of(const std::string &cow, bool active) const
{
	for (const HolderPtr &holder : holders_)
		if (holder->cow == cow && !holder->over && holder->active == active)
			return holder;
	return nullptr;
}

// Loaded ones and those at rest.
std::vector<Model::SnapshotPtr> Model::snapshots_of(const std::string &origin) const
{
	std::vector<SnapshotPtr> found;

	for (const HolderPtr &holder : holders_)
		if (holder->snapshot && holder->snapshot->origin == origin)
			found.push_back(holder->snapshot);
	for (const auto &each : at_rest_)
		if (each.second->origin == origin)
			found.push_back(each.second);
	return found;
}

void Model::apply(const Operation &operation, bool good)
{
	change(operation, good);
	look_again();
}

void Model::change(const Operation &operation, bool good)
{
	const std::string &verb = operation.verb();
	const std::string name = operation.word(0);
	const auto found = mapped_.find(name);

	time_++;
	if (verb == "base")
		set_base(operation);
	if (verb == "wipe") {
		at_rest_.erase(name);
		garbage_.erase(name);
		clones_.erase(name);
	}
	if (verb == "resume")
		resume(name, good);
	if (verb == "pause")
		pause();
	// Targets before the one that was refused have formatted their COW or metadata devices.
	if (verb == "load" && !good) {
		const Table table = parse_table(operation);

		for (const Target &target : table) {
			if (target.is_persistent() && !at_rest_.contains(target.arguments.at(1))) {
				garbage_.insert(target.arguments.at(1));
				used_cows_.insert(target.arguments.at(1));
			}
			if (target.is_clone() && table.size() > 1 &&
			    !clones_.contains(target.arguments.at(0))) {
				garbage_.insert(target.arguments.at(0));
				used_cows_.insert(target.arguments.at(0));
			}
		}
	}
	if (found == mapped_.end() || !good)
		return;

	Mapped &mapped = found->second;

	if (verb == "create") {
		mapped.exists = true;
	} else if (verb == "remove" && operation.word(1) == "deferred" && is_used(name)) {
		mapped.deferred = true;
	} else if (verb == "remove") {
		sync(mapped);
		drop(mapped.inactive);
		drop(mapped.live);
		mapped = {};
		remove_deferred();
	} else if (verb == "clear") {
		mapped.cleared = mapped.cleared || mapped.inactive;
		drop(mapped.inactive);
		remove_deferred();
	} else if (verb == "suspend") {
		suspend(mapped);
	} else if (verb == "message") {
		message(operation);
	} else if (verb == "load") {
		load(operation);
		remove_deferred();
	}
}

// Devices that were to be removed when nobody uses them any more.
void Model::remove_deferred()
{
	for (bool again = true; std::exchange(again, false);) {
		for (auto &[name, mapped] : mapped_) {
			if (!is_going(name))
				continue;
			drop(mapped.inactive);
			drop(mapped.live);
			mapped = {};
			again = true;
		}
	}
}

void Model::suspend(Mapped &mapped)
{
	const bool was_suspended = std::exchange(mapped.suspended, true);

	if (!was_suspended)
		sync(mapped);
	for (const Target &target : mapped.live.value_or(Table{})) {
		if (target.holder && target.holder->snapshot)
			target.holder->snapshot->merging = false;
		if (target.clone && target.clone->active && !was_suspended)
			commit(*target.clone->clone);
	}
}

// The snapshots of its live table tell their COW devices what they have, if these can be told.
void Model::sync(const Mapped &mapped)
{
	for (const Target &target : mapped.live.value_or(Table{}))
		if (target.holder && target.holder->active && target.holder->snapshot)
			sync(*target.holder->snapshot);
}

void Model::sync(Snapshot &snapshot)
{
	if (!snapshot.persistent || snapshot.merges || snapshot.doubtful ||
	    snapshot.validity != Validity::valid || !can_be_told(snapshot))
		return;
	if (snapshot.deferred != kNever)
		snapshot.deferred = kBegin;
	for (std::uint64_t chunk = 0; chunk < snapshot.chunks.size(); chunk++)
		if (snapshot.chunks[chunk] == Chunk::copied)
			make_durable(snapshot, chunk);
}

bool Model::can_be_told(const Snapshot &snapshot) const
{
	return health(snapshot.cow) == Answer::good && !is_stuck(snapshot.cow);
}

// So long that COW devices are told what there is to tell, and that it shows if one could not be.
void Model::pause()
{
	for (const HolderPtr &holder : holders_) {
		if (!holder->snapshot || !can_be_told(*holder->snapshot))
			continue;

		Snapshot &snapshot = *holder->snapshot;

		if (snapshot.deferred != kNever) {
			snapshot.deferred = kBegin;
			snapshot.doubtful = false;
		}
		sync(snapshot);
	}
}

void Model::load(const Operation &operation)
{
	Mapped &mapped = mapped_.at(operation.word(0));
	Table table = parse_table(operation);

	for (Target &target : table) {
		if (target.is_clone())
			load_clone(target);
		if (!target.is_snapshot())
			continue;
		target.holder = std::make_shared<Holder>();

		Holder &holder = *target.holder;
		const std::string &cow = target.arguments.at(1);

		holder.device = operation.word(0);
		holder.cow = cow;
		holder.store = target.arguments.at(2);
		holder.chunk = std::stoull(target.arguments.at(3));
		holder.begin = target.start;
		holder.end = target.start + target.length;
		holder.merges = target.type == "merge";
		holder.commits = target.has_feature("commit=write");
		if (!holder_of(cow, true)) {
			const bool persistent = target.is_persistent();

			if (persistent && at_rest_.contains(cow)) {
				holder.snapshot = at_rest_.at(cow);
				change_origin(*holder.snapshot, target.arguments.at(0));
				holder.snapshot->holes = most_holes(*holder.snapshot);
				holder.chunk = holder.snapshot->chunk;
				at_rest_.erase(cow);
			} else {
				holder.snapshot = std::make_shared<Snapshot>();
				holder.snapshot->origin = target.arguments.at(0);
				holder.snapshot->cow = cow;
				holder.snapshot->persistent = persistent;
				holder.snapshot->chunk = holder.chunk;
				holder.snapshot->chunks.assign(kVolume / holder.chunk, Chunk::none);
				holder.snapshot->contents.assign(kVolume, Cell());
				holder.snapshot->loaded = time_;
				holder.snapshot->copied.assign(kVolume / holder.chunk, kNever);
				holder.snapshot->durable_chunks.assign(kVolume / holder.chunk,
								       false);
				holder.snapshot->fresh = used_cows_.insert(cow).second;
				if (persistent)
					garbage_.erase(cow);
				if (persistent &&
				    answer_of_metadata(cow, holder.chunk) != Answer::good)
					holder.snapshot->validity = Validity::unsure;
			}
			holder.snapshot->begin = holder.begin;
			holder.snapshot->end = holder.end;
			holder.snapshot->blind =
				holder.snapshot->blind || holder.begin > 0 ||
				holder.end < kVolume ||
				(mapped_.contains(cow) && !mapped_.at(cow).takes_flushes);
		} else if (differences_.waiting_shows_nothing) {
			holder.chunk = 0;
		}
		holders_.push_back(target.holder);
	}
	drop(mapped.inactive);
	mapped.inactive = std::move(table);
	mapped.was_loaded = true;
	mapped.inactive_read_only = dmsc::is_read_only(operation);
	mapped.cleared = false;
}

// Where a COW device has hardly more room than is needed for all of the origin, hardly any is lost.
std::uint64_t Model::most_holes(const Snapshot &snapshot) const
{
	const std::uint64_t room = capacity(snapshot);
	const std::uint64_t needed = snapshot.chunks.size();

	if (snapshot.loose || snapshot.had_errors || !below_.contains(snapshot.cow) ||
	    room + 1 < needed)
		return kMostHoles;
	return std::min(kMostHoles, room - std::min(room, needed));
}

// A persistent snapshot is loaded for another origin than before.
void Model::change_origin(Snapshot &snapshot, const std::string &origin)
{
	if (std::exchange(snapshot.origin, origin) == origin)
		return;
	for (std::uint64_t sector = 0; sector < kVolume; sector++)
		if (snapshot.chunks[sector / snapshot.chunk] == Chunk::maybe)
			snapshot.contents[sector].add(look(origin, sector), kBegin);
}

void Model::resume(const std::string &device, bool good)
{
	Mapped &mapped = mapped_.at(device);
	std::optional<Table> old;
	bool changed = false;

	if (!mapped.exists)
		return;
	// The kernel finds that out when the old table is suspended, and forgets the new one.
	if (mapped.inactive && !fits(*mapped.inactive)) {
		suspend(mapped);
		drop(mapped.inactive);
		remove_deferred();
		return;
	}
	if (mapped.inactive) {
		const std::uint64_t old_size = size_of(device);

		if (!mapped.suspended)
			sync(mapped);
		mapped.suspended = true;
		changed = true;
		old = std::exchange(mapped.live, std::exchange(mapped.inactive, std::nullopt));
		mapped.takes_flushes = finds_caches(*mapped.live);
		change_mode(device, std::exchange(mapped.read_only, mapped.inactive_read_only),
			    old_size);
		for (auto &each : ios_) {
			if (each.second.verb == "flush" && each.second.begun)
				each.second.open = true;
			each.second.fua = each.second.fua && !each.second.begun;
		}
		if (const SnapshotPtr snapshot = persistent_on(device);
		    snapshot && !mapped.takes_flushes)
			snapshot->blind = true;
	}
	if (!mapped.suspended || !mapped.live)
		return;
	if (good) {
		mapped.suspended = false;
		for (const Target &target : *mapped.live) {
			if (target.holder)
				activate(target.holder);
			if (target.clone)
				activate_clone(target);
		}
	}
	drop(old);
	if (changed) {
		origin_changes(device);
		enter_again({device});
	}
	if (good)
		for (auto &each : ios_)
			if (!each.second.begun && !each.second.refused &&
			    each.second.device == device)
				enter(each.second);
	look_again();
	remove_deferred();
}

// A device has become another one. Copies that are under way from it are of either.
void Model::origin_changes(const std::string &device)
{
	for (const auto &[name, mapped] : mapped_) {
		if (!below(name).contains(device))
			continue;
		for (const SnapshotPtr &snapshot : snapshots_of(name))
			for (std::uint64_t sector = 0; sector < kVolume; sector++)
				if (snapshot->chunks[sector / snapshot->chunk] == Chunk::maybe)
					snapshot->contents[sector].add(look(name, sector), kBegin);
	}
}

// Whether no origin or merge target misses that there is a new snapshot.
bool Model::is_origin_told(const std::string &origin) const
{
	return std::ranges::none_of(mapped_, [&](const auto &each) {
		const Mapped &mapped = each.second;

		return mapped.live && !mapped.suspended &&
		       std::ranges::any_of(*mapped.live, [&](const Target &target) {
			       return (target.type == "origin" || target.type == "merge") &&
				      target.arguments.at(0) == origin;
		       });
	});
}

// A table with a snapshot is resumed.
void Model::activate(const HolderPtr &holder)
{
	const HolderPtr from = holder_of(holder->cow, true);

	if (holder->over)
		return;
	if (!holder->snapshot && from) {
		const std::string asked = holder->store;

		holder->snapshot = std::exchange(from->snapshot, nullptr);
		holder->chunk = holder->snapshot->chunk;
		if (!holder->snapshot->persistent)
			holder->store = "N";
		else if (holder->store == "N")
			holder->store = "P";
		from->active = false;
		from->over = true;
		if (differences_.waiting_shows_nothing) {
			from->chunk = 0;
			from->store = asked;
		}
	}
	if (!holder->snapshot) {
		holder->over = true;
		return;
	}
	holder->active = true;

	Snapshot &snapshot = *holder->snapshot;

	snapshot.may_overflow = snapshot.may_overflow || holder->store == "PO";
	if (differences_.origin_learns_chunks_when_resumed && !snapshot.active &&
	    !is_origin_told(snapshot.origin))
		snapshot.vague = snapshot.loose = true;
	snapshot.loose = snapshot.loose || holder->begin > snapshot.begin || holder->end < kVolume;
	snapshot.begin = holder->begin;
	snapshot.end = holder->end;
	snapshot.blind = snapshot.blind || holder->begin > 0 || holder->end < kVolume;
	snapshot.active = true;
	snapshot.merges = holder->merges;
	snapshot.defers = snapshot.persistent && !holder->merges && !holder->commits &&
			  !differences_.writes_are_committed;
	// It begins when the COW device has been told.
	if (holder->merges && snapshot.deferred != kNever)
		snapshot.deferred = kBegin;
	// Another table of the same device may have merged it until now, without a suspend of its
	// own.
	snapshot.merging = false;
	enter_again({snapshot.origin});
	if (holder->merges)
		start_merge(snapshot);
}

void Model::start_merge(Snapshot &snapshot)
{
	if (snapshot.validity == Validity::invalid)
		return;
	snapshot.merging = true;
	snapshot.loose = true;
	may_merge(snapshot);
}

void Model::may_merge(Snapshot &snapshot)
{
	for (std::uint64_t chunk = 0; chunk < snapshot.chunks.size(); chunk++) {
		if (snapshot.chunks[chunk] == Chunk::none)
			continue;
		snapshot.chunks[chunk] = Chunk::maybe;
		for (std::uint64_t i = 0; i < snapshot.chunk; i++) {
			const std::uint64_t sector = chunk * snapshot.chunk + i;
			Io copy;

			copy.values = snapshot.contents[sector].now();
			write_origin(snapshot.origin, sector, copy, &snapshot, true);
			for (Place place : copy.places)
				place->add(copy.values, time_);
		}
	}
}

// The kernel says so: all of the snapshot is in the origin.
void Model::finish_merge(Snapshot &snapshot)
{
	for (std::uint64_t sector = 0; sector < kVolume; sector++) {
		Chunk &chunk = snapshot.chunks[sector / snapshot.chunk];
		Io copy;

		if (chunk == Chunk::none)
			continue;
		copy.values = snapshot.contents[sector].now();
		write(snapshot.origin, sector, copy);
		snapshot.contents[sector].flushed(kBegin);
		for (Place place : copy.places)
			*place = snapshot.contents[sector];
		// A write to the merge that is under way goes there, too.
		for (auto &[number, io] : ios_)
			if (std::ranges::find(io.places, &snapshot.contents[sector]) !=
			    io.places.end())
				io.places.insert(io.places.end(), copy.places.begin(),
						 copy.places.end());
	}
	std::ranges::fill(snapshot.chunks, Chunk::none);
	snapshot.durable_chunks.assign(snapshot.chunks.size(), false);
}

void Model::drop(std::optional<Table> &table)
{
	for (const Target &target : table.value_or(Table{})) {
		if (target.holder)
			drop(target.holder);
		if (target.clone)
			drop_clone(*target.clone);
	}
	table.reset();
}

void Model::drop(const HolderPtr &holder)
{
	std::erase(holders_, holder);
	if (!holder->snapshot)
		return;

	Snapshot &snapshot = *holder->snapshot;
	const bool has_copied = count(snapshot, false) != 0;

	// Who waits for a snapshot that goes never gets one.
	if (const HolderPtr waiting = holder_of(holder->cow, false); waiting && !waiting->snapshot)
		waiting->over = true;
	const bool was_active = std::exchange(snapshot.active, false);

	snapshot.merging = false;
	snapshot.merges = false;
	if (!snapshot.persistent) {
		if (has_copied) {
			at_rest_.erase(snapshot.cow);
			garbage_.insert(snapshot.cow);
		}
		return;
	}
	// It may not have been possible to tell the COW device.
	if (snapshot.validity == Validity::invalid &&
	    answer_of_metadata(snapshot.cow, snapshot.chunk) != Answer::good)
		snapshot.validity = Validity::unsure;
	if (snapshot.validity == Validity::unsure) {
		Cell lost;

		lost.add(Values::anything(), time_);
		std::ranges::fill(snapshot.contents, lost);
		std::ranges::fill(snapshot.chunks, Chunk::maybe);
	}
	snapshot.deferred = kBegin;
	snapshot.doubtful = false;
	at_rest_[snapshot.cow] = holder->snapshot;
	// A write that is on its way may find that it is gone.
	if (was_active)
		enter_again({snapshot.origin});
}

// A device below ends somewhere else.
void Model::resize(const std::string &name, std::uint64_t size)
{
	Below &base = below_.at(name);
	const std::uint64_t old = std::exchange(base.size, size);

	if (old == size)
		return;
	// A chunk that is copied just now may end before.
	for (const SnapshotPtr &snapshot : snapshots_of(name)) {
		for (std::uint64_t sector = std::min(old, size); sector < kVolume; sector++)
			if (snapshot->chunks[sector / snapshot->chunk] == Chunk::maybe &&
			    !snapshot->merges)
				snapshot->contents[sector].add(Values::anything(), kBegin);
	}
	for (const HolderPtr &holder : holders_)
		if (holder->snapshot && holder->snapshot->merging)
			may_merge(*holder->snapshot);
}

// Whether all devices of a table are as long as it says. Of one that has no table yet nobody knows.
bool Model::fits(const Table &table) const
{
	return std::ranges::all_of(table, [this](const Target &target) {
		const auto is_long = [&](const std::string &device, std::uint64_t sectors) {
			const std::uint64_t size = size_of(device);

			return size == 0 || sectors <= size;
		};
		const bool from_start = target.is_clone() || differences_.only_lengths_are_checked;
		const std::uint64_t end = (from_start ? 0 : target.start) + target.length;

		if (target.type == "linear")
			return is_long(target.arguments.at(0),
				       std::stoull(target.arguments.at(1)) + target.length);
		if (target.is_clone())
			return is_long(target.arguments.at(1), end) &&
			       is_long(target.arguments.at(2), end);
		if (target.type == "origin" || target.is_snapshot())
			return is_long(target.arguments.at(0), end);
		return true;
	});
}

} // namespace dmsc
