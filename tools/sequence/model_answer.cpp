// SPDX-License-Identifier: GPL-2.0-only
// What operations answer, and which would wait.
#include "model.h"

#include "layout.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <ranges>
#include <span>

namespace dmsc
{

namespace
{

constexpr std::uint64_t kMostChunk = 1 << 21;
// Beside commit=.
constexpr std::size_t kMostFeatures = 2;

} // namespace

// Whether a device, or one that it stands on, has an origin, or merges to it, of which the one that
// is resumed has a snapshot. What the latter holds back has not passed it.
bool Model::has_to_be_quiet(const std::string &device, const std::string &resumed) const
{
	const Mapped &snapshot = mapped_.at(resumed);
	std::set<std::string> origins;
	std::set<std::string> all = below(device);

	for (const auto &table : {snapshot.live, snapshot.inactive})
		for (const Target &target : table.value_or(Table{}))
			if (target.is_snapshot())
				origins.insert(target.arguments.at(0));
	all.insert(device);
	all.erase(resumed);
	return std::ranges::any_of(all, [&](const std::string &each) {
		const Mapped *mapped = find(each);

		return mapped != nullptr && mapped->live &&
		       std::ranges::any_of(*mapped->live, [&](const Target &target) {
			       return (target.type == "origin" || target.type == "merge") &&
				      origins.contains(target.arguments.at(0));
		       });
	});
}

// Whether an operation waits until snapshots have told their COW devices of all chunks, and one of
// these is suspended: a snapshot that goes does, and one that is to be merged. A suspension gives
// up after a second.
bool Model::waits_for_log(const Operation &operation) const
{
	const Mapped &mapped = mapped_.at(operation.word(0));
	const auto waits = [&](const Target &target) {
		const HolderPtr from =
			target.holder ? holder_of(target.holder->cow, true) : nullptr;
		const SnapshotPtr snapshot = from ? from->snapshot : nullptr;

		return snapshot && is_behind(snapshot) && is_stuck(snapshot->cow);
	};

	return (operation.verb() == "remove" ||
		(operation.verb() == "resume" && mapped.inactive)) &&
	       (std::ranges::any_of(mapped.live.value_or(Table{}), waits) ||
		std::ranges::any_of(mapped.inactive.value_or(Table{}), waits));
}

// Whether an operation waits for I/O that waits for a device which this sequence is to resume.
bool Model::would_wait(const Operation &operation) const
{
	const std::string &verb = operation.verb();
	const std::string device = operation.word(0);
	const Mapped *mapped = find(device);
	std::set<std::string> all;

	if (verb == "create" || verb == "rename" || verb == "message" || mapped == nullptr)
		return false;
	// The kernel frees an inactive table when no I/O is on its way into the device: what has no
	// room, say, is refused when the COW device has been told.
	if ((verb == "clear" || verb == "load") && mapped->inactive &&
	    is_any_stopped(below(device)) && std::ranges::any_of(ios_, [&](const auto &each) {
		    const Io &io = each.second;

		    return io.begun && (io.device == device || below(io.device).contains(device));
	    }))
		return true;
	if (verb == "clear")
		return false;
	// Only the constructors of persistent snapshots and clones do I/O.
	if (verb == "load") {
		const Table table = parse_table(operation);

		for (const Target &target : table)
			if (target.is_clone() && is_stuck(target.arguments.at(0)))
				return true;
		collect_below(table, all);
		return is_any_stopped(all) && std::ranges::any_of(table, [](const Target &target) {
			       return target.is_persistent();
		       });
	}
	// A snapshot is activated while its origin is still, after what a merge could not clear has
	// been written again, and one that goes waits for its copies. No other resumption waits for
	// I/O, unless the device has to be suspended before.
	if (verb == "resume" && (mapped->suspended || !mapped->inactive) &&
	    std::ranges::none_of(mapped->live.value_or(Table{}),
				 [](const Target &target) {
					 return target.clone ||
						(target.holder && !target.holder->over);
				 }) &&
	    std::ranges::none_of(mapped->inactive.value_or(Table{}), [](const Target &target) {
		    return target.is_snapshot() || target.is_clone();
	    }))
		return false;
	if (waits_for_log(operation))
		return true;
	all = below(device);
	if (mapped->inactive)
		collect_below(*mapped->inactive, all);
	if (std::ranges::any_of(all, [this](const std::string &each) {
		    return below_.contains(each) && is_stopped(each);
	    }))
		return true;
	// A clone's background does I/O, too.
	for (const auto &table : {mapped->live, mapped->inactive})
		for (const Target &target : table.value_or(Table{}))
			if (target.clone &&
			    std::ranges::any_of(target.devices(), [this](const std::string &each) {
				    return is_stuck(each);
			    }))
				return true;
	// What a suspended device holds back has not passed it.
	return std::ranges::any_of(ios_, [&](const auto &each) {
		const Io &io = each.second;
		std::set<std::string> used = below(io.device);

		// What the device itself holds up goes on when it is resumed.
		if (verb == "resume" && !has_to_be_quiet(io.device, device))
			used.erase(device);
		return io.begun && !is_stopped(io.device) && is_any_stopped(used) &&
		       std::ranges::any_of(used,
					   [&](const auto &one) { return all.contains(one); });
	});
}

std::optional<Answer> Model::expect(const Operation &operation) const
{
	const std::string &verb = operation.verb();
	const std::string name = operation.word(0);
	const auto when = [](bool good) { return good ? Answer::good : Answer::bad; };

	if (verb == "wipe") {
		const bool used = std::ranges::any_of(
			holders_, [&](const HolderPtr &holder) { return holder->cow == name; });

		if (used || (mapped_.contains(name) && mapped_.at(name).read_only) ||
		    is_below(name) || is_any_stopped(below(name)) || health(name) != Answer::good ||
		    would_wait(operation))
			return std::nullopt;
		return Answer::good;
	}
	if (verb == "base") {
		const Below &base = below_.at(name);

		if (operation.word(1) == "suspend" && base.suspended)
			return std::nullopt;
		return Answer::good;
	}

	const Mapped *mapped = find(name);

	if (mapped == nullptr)
		return Answer::good;
	if (would_wait(operation))
		return std::nullopt;
	// What is in flight may have come too late, and wait for it to be resumed.
	if (may_be_gone(name))
		return verb == "resume" && mapped->suspended ? std::optional(Answer::either)
							     : std::nullopt;
	// What device-mapper keeps for IMA of the live table is after a clear also that of the
	// inactive one: a rename frees it, and the next load again.
	if (verb == "rename" && mapped->cleared)
		return std::nullopt;
	if (verb == "create")
		return when(!mapped->exists);
	if (!mapped->exists)
		return Answer::bad;
	if (verb == "remove")
		return expect_remove(operation);
	if (differences_.more_words_are_taken && has_more_words(operation))
		return std::nullopt;
	if (verb == "message")
		return when(takes_message(operation));
	if (verb == "load") {
		if (!are_valid(parse_table(operation)))
			return Answer::bad;
		if (is_foolish(operation))
			return std::nullopt;
		for (const Target &target : parse_table(operation))
			if (target.is_clone() && garbage_.contains(target.arguments.at(0)))
				return std::nullopt;
		// Nobody says what is found on a COW device that a transient snapshot has used.
		for (const Target &target : parse_table(operation))
			if (target.is_persistent() && garbage_.contains(target.arguments.at(1)) &&
			    !holder_of(target.arguments.at(1), true))
				return std::nullopt;
		return expect_load(operation);
	}
	if (verb == "resume")
		return expect_resume(*mapped);
	return Answer::good;
}

Answer Model::expect_remove(const Operation &operation) const
{
	const std::string name = operation.word(0);

	if (operation.word(1) == "deferred" || !is_used(name))
		return Answer::good;
	if (is_below(name) || holds_io_back(name))
		return Answer::bad;
	// What is in flight may have ended.
	return Answer::either;
}

// As far as they do not depend on devices. Clones see to theirs.
bool Model::has_valid_arguments(const Target &target) const
{
	const std::vector<std::string> &words = target.arguments;

	if (target.type == "origin")
		return words.size() == 1;
	if (!target.is_snapshot())
		return true;
	if (words.size() < 4 || (words[2] != "N" && words[2] != "P" && words[2] != "PO") ||
	    words[3].find_first_not_of("0123456789") != std::string::npos)
		return false;

	const std::uint64_t chunk = std::stoull(words[3]);

	if (chunk == 0 || chunk > kMostChunk || (chunk & (chunk - 1)) != 0)
		return false;
	return words.size() == 4 || has_valid_features(target);
}

bool Model::has_valid_features(const Target &target) const
{
	const std::span<const std::string> words = std::span(target.arguments).subspan(5);
	const auto commits =
		static_cast<std::size_t>(std::ranges::count_if(words, [](const std::string &word) {
			return word == "commit=flush" || word == "commit=write";
		}));
	const auto others =
		static_cast<std::size_t>(std::ranges::count_if(words, [](const std::string &word) {
			return word == "discard_zeroes_cow" || word == "discard_passdown_origin";
		}));

	if (commits > 0 &&
	    (commits > 1 || !target.is_persistent() || differences_.writes_are_committed))
		return false;
	return target.arguments[4] == std::to_string(words.size()) &&
	       commits + others == words.size() && others <= kMostFeatures &&
	       (!target.has_feature("discard_passdown_origin") ||
		target.has_feature("discard_zeroes_cow"));
}

bool Model::are_valid(const Table &table) const
{
	return std::ranges::all_of(
		table, [this](const Target &target) { return has_valid_arguments(target); });
}

// Whether there are words behind a message to a clone, or behind the features of a snapshot.
bool Model::has_more_words(const Operation &operation)
{
	if (operation.verb() == "message")
		return operation.word(1).ends_with("able_hydration") && !operation.word(2).empty();
	return operation.verb() == "load" &&
	       std::ranges::any_of(parse_table(operation), [](const Target &target) {
		       const std::vector<std::string> &words = target.arguments;

		       return target.is_snapshot() && words.size() > 5 &&
			      std::stoul(words[4]) < words.size() - 5;
	       });
}

// What to do with stock's targets is of no use.
bool Model::is_foolish(const Operation &load) const
{
	const Table table = parse_table(load);

	return (differences_.devices_are_shared && is_taken(load)) ||
	       (differences_.more_access_crashes && asks_for_more(load)) ||
	       (differences_.cow_again_crashes && has_cow_again(table)) ||
	       (differences_.merges_twice && merges_twice(table)) ||
	       (differences_.lost_is_in_the_way && has_lost_cow(table));
}

// Whether a table is for a COW device that another one had, or waits for in vain.
bool Model::has_lost_cow(const Table &table) const
{
	return std::ranges::any_of(table, [&](const Target &target) {
		return target.is_snapshot() &&
		       std::ranges::any_of(holders_, [&](const HolderPtr &holder) {
			       return holder->over && holder->cow == target.arguments.at(1);
		       });
	});
}

// Whether a table has a merge to an origin to which another one merges.
bool Model::merges_twice(const Table &table) const
{
	return has_merge_again(table) || std::ranges::any_of(table, [&](const Target &target) {
		       return target.type == "merge" && is_merged(target.arguments.at(0), nullptr);
	       });
}

// Whether two lines of a table merge to the same origin.
bool Model::has_merge_again(const Table &table)
{
	std::set<std::string> origins;

	return std::ranges::any_of(table, [&](const Target &target) {
		return target.type == "merge" && !origins.insert(target.arguments.at(0)).second;
	});
}

// Whether two snapshots of a table have the same COW device.
bool Model::has_cow_again(const Table &table)
{
	std::set<std::string> cows;

	return std::ranges::any_of(table, [&](const Target &target) {
		return target.is_snapshot() && !cows.insert(target.arguments.at(1)).second;
	});
}

// Whether a line of a table opens a device for more than a line before it did.
bool Model::asks_for_more(const Operation &load)
{
	enum Access : unsigned int { reads = 1, writes = 2, both = 3 };

	const Access of_table = dmsc::is_read_only(load) ? reads : both;
	std::map<std::string, unsigned int> opened;

	for (const Target &target : parse_table(load)) {
		std::vector<Access> accesses{of_table, of_table};

		if (target.is_snapshot())
			accesses[0] = target.type == "merge" ? writes : reads;
		if (target.is_clone())
			accesses = {both, both, reads};
		for (std::size_t i = 0; const std::string &device : target.devices()) {
			unsigned int &before = opened[device];
			const unsigned int access = accesses.at(i++);

			if (before != 0 && (before | access) != before)
				return true;
			before |= access;
		}
	}
	return false;
}

Answer Model::expect_load(const Operation &operation) const
{
	const Table table = parse_table(operation);
	Answer answer = Answer::good;

	if (!are_valid(table))
		return Answer::bad;
	// Only with the first one; later that is found when it is resumed.
	if (!mapped_.at(operation.word(0)).was_loaded && !fits(table))
		return Answer::bad;
	// One of them has the snapshot, and only an active one gives it away.
	if (is_taken(operation) || has_cow_again(table) || has_merge_again(table))
		return Answer::bad;
	for (const Target &target : table) {
		for (const std::string &device : target.devices()) {
			const Mapped *mapped = find(device);

			if (mapped == nullptr)
				continue;
			if (!mapped->exists)
				return Answer::bad;
			// The kernel accepts a device that has no size yet; the targets may not.
			if (!mapped->live || mapped->deferred || size_of(device) < kVolume)
				answer = Answer::either;
		}
		if (target.is_snapshot()) {
			const Answer holder = expect_holder(target);

			if (holder == Answer::bad)
				return holder;
			answer = both(answer, holder);
		}
		if (target.is_clone()) {
			const Answer clone = expect_clone(target);

			if (clone == Answer::bad)
				return clone;
			answer = both(answer, clone);
		}
	}
	return answer;
}

std::vector<std::pair<std::string, Model::Role>> Model::roles_of(const Target &target)
{
	constexpr std::array<Role, 2> of_snapshot{Role::origin, Role::cow};
	constexpr std::array<Role, 3> of_clone{Role::meta, Role::dest, Role::source};
	const std::vector<std::string> devices = target.devices();
	std::vector<std::pair<std::string, Role>> roles;

	if (target.type != "linear")
		for (std::size_t i = 0; i < devices.size(); i++)
			roles.emplace_back(devices[i],
					   target.is_clone() ? of_clone.at(i) : of_snapshot.at(i));
	return roles;
}

// No two targets change one device, unless both are of one snapshot. A table takes the place of
// another one of its mapped device, but the COW device is read when it is loaded.
bool Model::may_share(const Target &one, const Target &other, bool same_device)
{
	const auto only_reads = [](Role role) {
		return role == Role::origin || role == Role::source;
	};

	for (const auto &[device, role] : roles_of(one))
		for (const auto &[other_device, other_role] : roles_of(other)) {
			if (device != other_device ||
			    (only_reads(role) && only_reads(other_role)) ||
			    (same_device && role != Role::cow))
				continue;
			if (role != Role::cow || other_role != Role::cow ||
			    one.arguments.at(0) != other.arguments.at(0))
				return false;
		}
	return true;
}

// Whether others use the devices of a table that is to be loaded.
bool Model::is_taken(const Operation &load) const
{
	const Table table = parse_table(load);
	const auto is_free = [&](const Target &target, const Table &others, bool same_device) {
		return std::ranges::all_of(others, [&](const Target &other) {
			return &other == &target || may_share(target, other, same_device);
		});
	};

	return !std::ranges::all_of(table, [&](const Target &target) {
		const std::vector<std::string> devices = target.devices();
		const std::set<std::string> different(devices.begin(), devices.end());

		return devices.size() == different.size() && is_free(target, table, false) &&
		       std::ranges::all_of(mapped_, [&](const auto &each) {
			       const Mapped &mapped = each.second;
			       const bool same = each.first == load.word(0);

			       return is_free(target, mapped.live.value_or(Table{}), same) &&
				      is_free(target, mapped.inactive.value_or(Table{}), same);
		       });
	});
}

// Whether another one merges to an origin, or is going to.
bool Model::is_merged(const std::string &origin, const HolderPtr &source) const
{
	return std::ranges::any_of(holders_, [&](const HolderPtr &other) {
		return other->merges && !other->over && other != source && other->snapshot &&
		       other->snapshot->origin == origin;
	});
}

Answer Model::expect_holder(const Target &target) const
{
	const std::string &origin = target.arguments.at(0);
	const std::string &cow = target.arguments.at(1);
	const bool persistent = target.is_persistent();
	const HolderPtr source = holder_of(cow, true);
	const auto there = at_rest_.find(cow);
	const std::uint64_t chunk = std::stoull(target.arguments.at(3));

	// One has the snapshot, one waits for it.
	if (holder_of(cow, false))
		return Answer::bad;
	if (target.type == "merge") {
		if (!persistent || (source && !source->snapshot->persistent))
			return Answer::bad;
		if (is_merged(origin, source))
			return Answer::bad;
		for (const HolderPtr &other : holders_)
			if (other->merges && !other->over && other != source)
				return Answer::either;
	}
	if (source || !persistent)
		return Answer::good;
	// It is read now.
	return answer_of_metadata(
		cow, there == at_rest_.end() ? chunk : std::max(chunk, there->second->chunk));
}

Answer Model::expect_resume(const Mapped &mapped) const
{
	const std::optional<Table> &table = mapped.inactive ? mapped.inactive : mapped.live;
	Answer answer = Answer::good;

	if (!mapped.inactive && !mapped.suspended)
		return Answer::good;
	if (!table || (mapped.inactive && !fits(*table)))
		return Answer::bad;
	for (const Target &target : *table) {
		// It has to know which regions are hydrated.
		if (target.clone && !target.clone->active &&
		    health(target.arguments[0]) != Answer::good)
			answer = Answer::either;
		if (!target.holder || target.holder->over)
			continue;

		const HolderPtr from = holder_of(target.holder->cow, true);
		const HolderPtr to = holder_of(target.holder->cow, false);

		// A snapshot does not come back while another table waits for it, and is not taken
		// from a device that is not suspended. A device is when its own table is exchanged.
		if (from && to && to->snapshot == nullptr) {
			const Mapped &source = mapped_.at(from->device);

			if (from == target.holder || (!source.suspended && &source != &mapped))
				return Answer::bad;
			// What a merge could not clear must be on its COW device again.
			if (from->snapshot && from->snapshot->merges && !target.holder->merges &&
			    health(from->cow) != Answer::good)
				answer = Answer::either;
		}
	}
	return answer;
}

} // namespace dmsc
