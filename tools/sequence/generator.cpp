// SPDX-License-Identifier: GPL-2.0-only
#include "generator.h"

#include "layout.h"

#include <algorithm>
#include <array>
#include <vector>

namespace dmsc
{

namespace
{

constexpr std::size_t kVolumes = 5;
// An I/O of more sectors is a long one; so many writes are in a burst at most.
constexpr std::uint64_t kLong = 64;
constexpr std::uint64_t kMostAtOnce = 16;
constexpr std::array<std::string_view, 6> kFeatures{
	"", "", "", "", "discard_zeroes_cow", "discard_zeroes_cow discard_passdown_origin"};
// Of persistent snapshots only.
constexpr std::array<std::string_view, 5> kCommits{"", "", "", "commit=flush", "commit=write"};
// The arguments of a snapshot that are refused.
constexpr std::array<std::string_view, 17> kWrong{
	"N",
	"X 8",
	"PX 8",
	"N 0",
	"P 12",
	"P x",
	"N 4194304",
	"P 8 1",
	"P 8 1 fast",
	"N 8 1 discard_passdown_origin",
	"P 8 3 discard_zeroes_cow discard_zeroes_cow discard_zeroes_cow",
	"N 8 1 discard_zeroes_cow more",
	"N 8 1 commit=flush",
	"P 8 1 commit",
	"P 8 1 commit=never",
	"P 8 2 commit=write commit=write",
	"PO 8 2 commit=flush commit=write",
};
// Of tables, and of devices below, that are shorter than others.
constexpr std::array<std::uint64_t, 4> kLengths{256, 512, 700, 1000};
constexpr std::array<std::string_view, 6> kChunks{"8", "8", "16", "16", "4", "64"};

std::string volume(std::size_t number)
{
	return std::string(kMapped.at(number));
}

std::string first(std::uint64_t length, const std::string &target)
{
	return "0 " + std::to_string(length) + " " + target;
}

std::string whole(const std::string &target)
{
	return first(kVolume, target);
}

} // namespace

Generator::Generator(std::uint64_t seed, std::uint64_t index, const Habits &habits)
	: random_(seed, index), habits_(habits)
{
	constexpr std::array<std::string_view, 5> regions{"8", "16", "64", "256", "2048"};
	constexpr std::array<std::string_view, 5> sources{"a", "a", "b", "v0", "v1"};

	for (const CloneOf &each : kClones) {
		std::string source(random_.pick(sources));

		if (!habits_.rare && source.starts_with('v'))
			source = "b";

		const std::size_t lowest = source == "v0" ? 1 : source == "v1" ? 2 : 0;

		clones_.push_back({std::string(each.meta), std::string(each.dest), source,
				   std::string(random_.pick(regions)),
				   volume(lowest + random_.below(kVolumes - lowest))});
	}
	for (Kept &kept : kept_)
		keep(kept);
}

void Generator::keep(Kept &kept)
{
	constexpr std::array<std::uint64_t, 6> begins{0, 0, 0, 0, 256, 512};
	constexpr std::array<std::uint64_t, 6> ends{kVolume, kVolume, kVolume, kVolume, 768, 896};

	kept.volume = 1 + random_.below(kVolumes - 1);
	kept.snapshot = snapshot(kept.volume);
	kept.begin = random_.pick(begins);
	kept.end = random_.pick(ends);
}

// Of a snapshot that a device may hold.
Generator::Snapshot Generator::snapshot(std::size_t device)
{
	std::vector<CowOf> possible;

	for (const CowOf &each : kCows)
		if ((each.origin != "v0" || device > 0) && (each.origin != "v1" || device > 1))
			possible.push_back(each);

	CowOf chosen = possible[random_.below(possible.size())];
	std::string store = random_.one_in(habits_.transient) ? "N" : "P";

	// Another origin than that of the snapshots which it may have.
	if (habits_.rare && random_.one_in(30))
		chosen.origin = chosen.origin == "a" ? "b" : "a";
	if (store == "P" && random_.one_in(2))
		store = "PO";
	return {std::string(chosen.origin), std::string(chosen.cow), store,
		std::string(random_.pick(kChunks)), features(store)};
}

std::string Generator::features(const std::string &store)
{
	std::string words(random_.pick(kFeatures));
	const std::string commit(random_.pick(kCommits));

	if (habits_.commits && store != "N" && !commit.empty())
		words = words.empty()       ? commit
			: random_.one_in(2) ? words + " " + commit
					    : commit + " " + words;
	if (words.empty())
		return words;
	return " " + std::to_string(1 + std::ranges::count(words, ' ')) + " " + words;
}

std::string Generator::clone(const Clone &chosen)
{
	constexpr std::array<std::string_view, 9> options{
		"",
		" 0",
		" 1 no_hydration",
		" 1 no_hydration",
		" 1 no_discard_passdown",
		" 2 no_discard_passdown no_hydration",
		" 0 2 hydration_threshold 1",
		" 0 4 hydration_batch_size 2 hydration_threshold 3",
		" 1 no_hydration 2 hydration_batch_size 1",
	};
	constexpr std::array<std::string_view, 6> wrong{
		" 1",
		" 1 hydration",
		" 3 no_hydration no_hydration no_hydration",
		" 0 1 hydration_threshold",
		" 0 2 hydration_threshold x",
		" 0 2 threshold 1",
	};

	return "clone " + chosen.meta + " " + chosen.dest + " " + chosen.source + " " +
	       chosen.region +
	       std::string(random_.one_in(20) ? random_.pick(wrong) : random_.pick(options));
}

// A clone that a device may hold, often as it was before.
std::string Generator::clone(std::size_t device)
{
	constexpr std::array<std::string_view, 8> regions{"8", "16",      "64", "1024",
							  "0", "4194304", "4",  "24"};
	constexpr std::array<std::string_view, 6> sources{"a", "b", "d", "a2", "m", "s1"};
	Clone chosen = clones_[random_.below(clones_.size())];

	if (random_.one_in(8))
		chosen.region = random_.pick(regions);
	if (!habits_.rare)
		return clone(chosen);
	if (random_.one_in(8))
		chosen.source = random_.pick(sources);
	if (random_.one_in(16))
		chosen.dest = clones_[random_.below(clones_.size())].dest;
	if (random_.one_in(32))
		chosen.dest = "a2";
	// A device stands on those before it.
	if (chosen.source.starts_with('v') && chosen.source >= volume(device))
		chosen.source = random_.one_in(2) || device == 0 ? "b" : volume(device - 1);
	return clone(chosen);
}

std::string Generator::message(const std::string &device)
{
	constexpr std::array<std::string_view, 12> messages{
		"enable_hydration",       "enable_hydration",        "enable_hydration",
		"disable_hydration",      "disable_hydration",       "hydration_threshold 0",
		"hydration_threshold 1",  "hydration_threshold 100", "hydration_batch_size 4",
		"hydration_batch_size x", "hydration_threshold",     "enable_hydration now",
	};

	return "message " + device + " " + std::string(random_.pick(messages));
}

std::string Generator::target(std::size_t device, std::uint64_t start, std::uint64_t length)
{
	const std::string lead = std::to_string(start) + " " + std::to_string(length) + " ";
	const std::size_t below = random_.below(device + 2);
	const std::string origin = below < 2 ? (below == 0 ? "a" : "b") : volume(below - 2);

	// With the numbers that its source has for its sectors.
	if (start == 0 && random_.one_in(6))
		return lead + clone(device);
	if (random_.one_in(24))
		return lead + "linear " + clones_[random_.below(clones_.size())].dest + " " +
		       std::to_string(start);
	switch (random_.below(16)) {
	case 0:
		return lead + (random_.one_in(2) ? "error" : "zero");
	case 1:
	case 2:
	case 3:
		return lead + "linear " + origin + " " + std::to_string(start);
	case 4:
	case 5:
	case 6:
	case 7:
	case 8:
		return lead + "origin " + origin + (random_.one_in(40) ? " b" : "");
	default: {
		const Snapshot chosen = snapshot(device);
		const bool merge = random_.one_in(5);

		if (random_.one_in(30))
			return lead + (merge ? "merge " : "snapshot ") + chosen.origin + " " +
			       chosen.cow + " " + std::string(random_.pick(kWrong));

		return lead + (merge ? "merge " : "snapshot ") + chosen.origin + " " + chosen.cow +
		       " " + (merge ? "P " : chosen.store + " ") + chosen.chunk +
		       (merge ? "" : chosen.features);
	}
	}
}

std::string Generator::table(std::size_t device, const Model &model)
{
	if (kMapped.at(device) == kGrowing) {
		constexpr std::array<std::uint64_t, 3> sizes{300, 1200, kRoomy};
		std::uint64_t size = random_.pick(sizes);

		if (model.exists(std::string(kGrowing)))
			size = kRoomy;
		return "0 " + std::to_string(size) + " linear z 0";
	}
	if (random_.one_in(12))
		return target(device, 0, random_.pick(kLengths));
	if (random_.one_in(6)) {
		const std::uint64_t first = 256 * (1 + random_.below(3));

		return target(device, 0, first) + " ; " + target(device, first, kVolume - first);
	}
	return target(device, 0, kVolume);
}

// How a device is loaded, sometimes for reading only. COW devices are for writing.
std::string Generator::load(const std::string &device)
{
	return "load " + device + (device != kGrowing && random_.one_in(12) ? " readonly " : " ");
}

void Generator::ensure(const Model &model, const std::string &device)
{
	if (!model.exists(device))
		planned_.push_back("create " + device);
}

// What administrators do in a row.
void Generator::plan(const Model &model)
{
	Kept &kept = kept_[random_.below(kept_.size())];

	if (random_.one_in(4))
		keep(kept);

	const Snapshot chosen = kept.snapshot;
	const std::size_t next = 1 + random_.below(kVolumes - 1);
	const std::string origin = volume(random_.below(2));
	const std::string snap = volume(kept.volume);
	const std::string other = volume(next);
	const std::string line = chosen.origin + " " + chosen.cow + " ";
	const std::string options = chosen.store + " " + chosen.chunk + chosen.features;
	const auto add = [this](const std::string &text) { planned_.push_back(text); };
	const auto part = [&](const std::string &target) {
		const std::string at = " linear " + chosen.origin + " ";
		std::string text = std::to_string(kept.begin) + " " +
				   std::to_string(kept.end - kept.begin) + " " + target;

		if (kept.begin != 0)
			text = "0 " + std::to_string(kept.begin) + at + "0 ; " + text;
		if (kept.end != kVolume)
			text += " ; " + std::to_string(kept.end) + " " +
				std::to_string(kVolume - kept.end) + at + std::to_string(kept.end);
		return text;
	};

	// A device stands on those before it only.
	if (snap == origin || (chosen.origin.starts_with('v') && chosen.origin >= origin))
		return;
	if (chosen.cow == kGrowing && !model.can_do_io(std::string(kGrowing))) {
		ensure(model, std::string(kGrowing));
		add("load w0 0 300 linear z 0");
		add("resume w0");
	}
	ensure(model, origin);
	ensure(model, snap);
	// What a snapshot copies, or a merge, is under way for a while.
	if (random_.one_in(3))
		add("base " +
		    (random_.one_in(2) && !chosen.cow.starts_with('w') ? chosen.cow : "a") +
		    " slow");
	switch (random_.below(habits_.rare ? 10 : 9)) {
	case 0:
	case 1:
		// A snapshot is taken.
		add("load " + origin + " " + whole("origin " + chosen.origin));
		add("resume " + origin);
		add(load(snap) + part("snapshot " + line + options));
		add("suspend " + origin);
		add("resume " + snap);
		add("resume " + origin);
		break;
	case 2:
		// A merge begins.
		add(load(origin) + part("merge " + line + "P " + chosen.chunk));
		add("suspend " + snap);
		add("suspend " + origin);
		add("resume " + origin);
		add(random_.one_in(2) ? "wait" : "finish");
		add("remove " + snap);
		break;
	case 3:
		// A table is loaded again.
		add(load(snap) + part("snapshot " + line + options));
		add("suspend " + snap);
		add("resume " + snap);
		break;
	case 4:
		// It is removed and comes back.
		add("wait");
		add("remove " + snap);
		add("create " + snap);
		add("load " + snap + " " +
		    part("snapshot " + line + "P " + chosen.chunk + chosen.features));
		add("resume " + snap);
		break;
	case 5:
	case 6:
		// Another device gets it; the one that had it is resumed all the same, or goes.
		if (other == snap || other <= origin ||
		    (chosen.origin.starts_with('v') && chosen.origin >= other))
			break;
		ensure(model, other);
		add(load(other) + part("snapshot " + line + options));
		add("suspend " + snap);
		add("resume " + other);
		add((random_.one_in(2) ? "resume " : "remove ") + snap);
		kept.volume = next;
		break;
	case 7:
		// It is removed by force, and comes back.
		add("load " + snap + " " + whole("error"));
		add("suspend " + snap + " noflush");
		add("resume " + snap);
		add("remove " + snap + (random_.one_in(2) ? " deferred" : ""));
		add("create " + snap);
		add("load " + snap + " " + part("snapshot " + line + options));
		add("resume " + snap);
		break;
	case 9: {
		// The origin becomes shorter or longer, and so do those that have it.
		const std::uint64_t length = random_.one_in(2) ? kVolume : random_.pick(kLengths);

		if (chosen.origin.starts_with('v'))
			break;
		add("suspend " + snap);
		add("suspend " + origin);
		add("base " + chosen.origin + " resize " + std::to_string(length));
		add("load " + origin + " " + first(length, "origin " + chosen.origin));
		add("load " + snap + " " + first(length, "snapshot " + line + options));
		add("resume " + snap);
		add("resume " + origin);
		break;
	}
	default:
		// The COW device grows.
		add("load w0 0 " + std::to_string(kRoomy) + " linear z 0");
		add("suspend " + snap);
		add("suspend w0");
		add("resume w0");
		add("resume " + snap);
		break;
	}
}

// What is done to clones in a row.
void Generator::plan_clone(const Model &model)
{
	const Clone chosen = clones_[random_.below(clones_.size())];
	const std::string &device = chosen.volume;
	const auto add = [this](const std::string &text) { planned_.push_back(text); };

	// The metadata device tells of one length.
	const std::uint64_t length = random_.one_in(10) ? random_.pick(kLengths) : kVolume;

	ensure(model, device);
	switch (random_.below(6)) {
	case 0:
	case 1:
		// One begins, or goes on with another table.
		add(load(device) + first(length, clone(chosen)));
		add("suspend " + device);
		add("resume " + device);
		break;
	case 2:
		add(message(device));
		add("wait");
		add(message(device));
		break;
	case 3:
		// It is removed and comes back.
		add("wait");
		add("remove " + device);
		add("create " + device);
		add(load(device) + first(length, clone(chosen)));
		add("resume " + device);
		break;
	case 4:
		// The destination takes its place.
		add("message " + device + " enable_hydration");
		add("suspend " + device);
		add("load " + device + " " + whole("linear " + chosen.dest + " 0"));
		add("resume " + device);
		break;
	default:
		// Another one begins.
		add("wait");
		add("remove " + device);
		add("wipe " + chosen.meta);
		add("create " + device);
		add(load(device) + first(length, clone(chosen)));
		add("resume " + device);
		break;
	}
	if (!habits_.durable)
		return;
	for (int i = 0; i < 2; i++)
		add("write " + device + " " + std::to_string(random_.below(kVolume - 16)) + " " +
		    std::to_string(1 + random_.below(16)));
	add("wait");
	add("flush " + device);
}

// Some sectors of a device below: of the metadata that it may have, of what is met again and again,
// or anywhere.
std::string Generator::bad(const std::string &base)
{
	constexpr std::array<std::uint64_t, 6> counts{1, 1, 1, 8, 16, 64};
	constexpr std::array<std::string_view, 4> ways{"", "", " reads", " writes"};
	const std::uint64_t count = random_.pick(counts);
	const std::uint64_t place = random_.one_in(2) ? random_.below(4) * 64 + random_.below(17)
						      : random_.below(sectors_of(base));

	return "base " + base + " bad " +
	       std::to_string(std::min(place, sectors_of(base) - count)) + " " +
	       std::to_string(count) + std::string(random_.pick(ways));
}

// Sectors are bad for a while.
void Generator::plan_bad()
{
	const Snapshot &snapshot = kept_[random_.below(kept_.size())].snapshot;
	const Clone &clone = clones_[random_.below(clones_.size())];
	const std::array<std::string, 5> bases{snapshot.cow, snapshot.origin, clone.source,
					       clone.dest, clone.meta};
	const std::string &base = random_.pick(bases);

	if (sectors_of(base) == 0)
		return;
	if (random_.one_in(2))
		planned_.emplace_back("wait");
	planned_.push_back(bad(base));
	if (random_.one_in(2))
		planned_.emplace_back("wait");
	planned_.push_back("base " + base + " ok");
}

Operation Generator::io(const Model &model)
{
	std::vector<std::string> devices;

	for (std::size_t i = 0; i < kVolumes; i++)
		if (model.can_do_io(volume(i)))
			devices.push_back(volume(i));
	if (devices.empty())
		return anything(model);

	const std::string &device = devices[random_.below(devices.size())];

	if (random_.one_in(habits_.flushes))
		return Operation("flush " + device);

	// Sectors, blocks, or whole chunks.
	constexpr std::array<std::uint64_t, 6> units{1, 1, 8, 8, 8, 16};
	const std::uint64_t unit = random_.one_in(12) ? 64 : random_.pick(units);
	const std::uint64_t count =
		random_.one_in(25) ? kLong + random_.below(kVolume - kLong + 1)
				   : unit * (1 + random_.below(random_.one_in(4) ? 64 / unit : 2));
	// Some places are met again and again.
	const std::uint64_t place =
		random_.one_in(2) ? random_.below(4) * 64 : random_.below(kVolume);
	const std::uint64_t sector = std::min(place / unit * unit, kVolume - count);

	const std::string range =
		" " + device + " " + std::to_string(sector) + " " + std::to_string(count);

	if (random_.one_in(15))
		return Operation("discard" + range);
	if (random_.below(5) < 2)
		return Operation("read" + range);
	if (random_.one_in(6))
		return Operation("fua" + range);
	if (random_.one_in(12))
		return Operation("zero" + range);
	return Operation((count <= kMostAtOnce && random_.one_in(10) ? "burst" : "write") + range);
}

Operation Generator::trouble(const Model &)
{
	const std::string base(kBases.at(random_.below(kBases.size())).name);
	constexpr std::array<std::string_view, 8> states{"ok",   "ok",      "ok",     "error",
							 "slow", "suspend", "resume", "resume"};

	if (random_.one_in(6))
		return Operation(bad(base));
	switch (random_.below(habits_.rare ? 9 : 8)) {
	case 8:
		return Operation(
			"base " + std::string(random_.one_in(2) ? "a" : "b") + " resize " +
			std::to_string(random_.one_in(3) ? kVolume : random_.pick(kLengths)));
	case 0:
		return Operation("cpu " + std::to_string(1 + random_.below(kCpus)) +
				 (random_.one_in(2) ? " off" : " on"));
	case 1:
		return Operation(std::string(random_.one_in(2) ? "memory " : "pressure ") +
				 (random_.one_in(2) ? "off" : "on"));
	case 2:
		return Operation("threshold " +
				 std::to_string(random_.one_in(2) ? kThreshold : random_.below(5)));
	case 3:
		return Operation(
			"wipe " +
			(random_.one_in(4)
				 ? clones_[random_.below(clones_.size())].meta
				 : std::string(kCows.at(random_.below(kCows.size())).cow)));
	default:
		return Operation("base " + base + " " + std::string(random_.pick(states)));
	}
}

Operation Generator::anything(const Model &model)
{
	const std::size_t number = random_.below(random_.one_in(8) ? kMapped.size() : kVolumes);
	const std::string device = volume(number);

	if (!model.exists(device) && !random_.one_in(8))
		return Operation("create " + device);
	switch (random_.below(21)) {
	case 0:
		return Operation("create " + device);
	case 1:
		return Operation("remove " + device);
	case 2:
		return Operation("remove " + device + (random_.one_in(3) ? " deferred" : ""));
	case 3:
		return Operation("clear " + device);
	case 4:
		return Operation("rename " + device);
	case 5:
	case 6:
	case 7:
		return Operation("suspend " + device + (random_.one_in(3) ? " noflush" : ""));
	case 8:
	case 9:
	case 10:
	case 11:
	case 12:
	case 13:
		return Operation("resume " + device);
	case 14:
		if (habits_.commits && random_.one_in(6))
			return Operation("pause");
		return Operation(random_.one_in(2) ? "wait" : "finish");
	case 15:
		return Operation(message(device));
	default:
		return Operation(load(device) + table(number, model));
	}
}

Operation Generator::next(const Model &model)
{
	if (planned_.empty() && random_.one_in(12)) {
		if (random_.one_in(6))
			plan_bad();
		else if (random_.one_in(habits_.clones))
			plan_clone(model);
		else
			plan(model);
	}
	if (!planned_.empty() && random_.below(8) < 3) {
		Operation operation(planned_.front());

		planned_.pop_front();
		return operation;
	}
	if (random_.below(10) < 6)
		return io(model);
	// A sequence that has trouble all the time does not get far.
	if (random_.one_in(10))
		return trouble(model);
	return anything(model);
}

} // namespace dmsc
