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
constexpr std::array<std::string_view, 6> kChunks{"8", "8", "16", "16", "4", "64"};

std::string volume(std::size_t number)
{
	return std::string(kMapped.at(number));
}

std::string whole(const std::string &target)
{
	return "0 " + std::to_string(kVolume) + " " + target;
}

} // namespace

// Of a snapshot that a device may hold.
Generator::Snapshot Generator::snapshot(std::size_t device)
{
	std::vector<CowOf> possible;

	for (const CowOf &each : kCows)
		if ((each.origin != "v0" || device > 0) && (each.origin != "v1" || device > 1))
			possible.push_back(each);

	const CowOf chosen = possible[random_.below(possible.size())];

	return {std::string(chosen.origin), std::string(chosen.cow), random_.one_in(2) ? "P" : "N",
		std::string(random_.pick(kChunks))};
}

std::string Generator::target(std::size_t device, std::uint64_t start, std::uint64_t length)
{
	const std::string lead = std::to_string(start) + " " + std::to_string(length) + " ";
	const std::size_t below = random_.below(device + 2);
	const std::string origin = below < 2 ? (below == 0 ? "a" : "b") : volume(below - 2);

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
		return lead + "origin " + origin;
	default: {
		const Snapshot chosen = snapshot(device);
		const bool merge = random_.one_in(5);

		return lead + (merge ? "merge " : "snapshot ") + chosen.origin + " " + chosen.cow +
		       " " + (merge ? "P" : chosen.store) + " " + chosen.chunk;
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
	if (random_.one_in(6)) {
		const std::uint64_t first = 256 * (1 + random_.below(3));

		return target(device, 0, first) + " ; " + target(device, first, kVolume - first);
	}
	return target(device, 0, kVolume);
}

void Generator::ensure(const Model &model, const std::string &device)
{
	if (!model.exists(device))
		planned_.push_back("create " + device);
}

// What administrators do in a row.
void Generator::plan(const Model &model)
{
	const std::size_t upper = 1 + random_.below(kVolumes - 1);
	const std::string origin = volume(random_.below(2));
	const std::string snap = volume(upper);
	const Snapshot chosen = snapshot(upper);
	const std::string line = chosen.origin + " " + chosen.cow + " ";
	const std::string options = chosen.store + " " + chosen.chunk;
	const auto add = [this](const std::string &text) { planned_.push_back(text); };

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
	switch (random_.below(6)) {
	case 0:
	case 1:
		// A snapshot is taken.
		add("load " + origin + " " + whole("origin " + chosen.origin));
		add("resume " + origin);
		add("load " + snap + " " + whole("snapshot " + line + options));
		add("suspend " + origin);
		add("resume " + snap);
		add("resume " + origin);
		break;
	case 2:
		// A merge begins.
		add("load " + origin + " " + whole("merge " + line + "P " + chosen.chunk));
		add("suspend " + snap);
		add("suspend " + origin);
		add("resume " + origin);
		add("wait");
		add("remove " + snap);
		break;
	case 3:
		// A table is loaded again.
		add("load " + snap + " " + whole("snapshot " + line + options));
		add("suspend " + snap);
		add("resume " + snap);
		break;
	case 4:
		// It is removed and comes back.
		add("wait");
		add("remove " + snap);
		add("create " + snap);
		add("load " + snap + " " + whole("snapshot " + line + "P " + chosen.chunk));
		add("resume " + snap);
		break;
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

Operation Generator::io(const Model &model)
{
	std::vector<std::string> devices;

	for (std::size_t i = 0; i < kVolumes; i++)
		if (model.can_do_io(volume(i)))
			devices.push_back(volume(i));
	if (devices.empty())
		return anything(model);

	const std::string &device = devices[random_.below(devices.size())];

	if (random_.one_in(20))
		return Operation("flush " + device);

	const std::uint64_t unit = random_.one_in(3) ? 1 : 8;
	const std::uint64_t count = unit * (1 + random_.below(random_.one_in(4) ? 64 / unit : 2));
	// Some places are met again and again.
	const std::uint64_t place =
		random_.one_in(2) ? random_.below(4) * 64 : random_.below(kVolume);
	const std::uint64_t sector = std::min(place / unit * unit, kVolume - count);

	return Operation((random_.below(5) < 2 ? "read " : "write ") + device + " " +
			 std::to_string(sector) + " " + std::to_string(count));
}

Operation Generator::trouble(const Model &)
{
	const std::string base(kBases.at(random_.below(kBases.size())).name);
	constexpr std::array<std::string_view, 8> states{"ok",   "ok",      "ok",     "error",
							 "slow", "suspend", "resume", "resume"};

	switch (random_.below(8)) {
	case 0:
		return Operation("cpu " + std::to_string(1 + random_.below(3)) +
				 (random_.one_in(2) ? " off" : " on"));
	case 1:
		return Operation(random_.one_in(2) ? "memory off" : "memory on");
	case 2:
		return Operation("threshold " +
				 std::to_string(random_.one_in(2) ? 0 : 1 + random_.below(4)));
	case 3:
		return Operation("wipe " + std::string(kCows.at(random_.below(kCows.size())).cow));
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
	switch (random_.below(20)) {
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
		return Operation("wait");
	default:
		return Operation("load " + device + " " + table(number, model));
	}
}

Operation Generator::next(const Model &model)
{
	if (planned_.empty() && random_.one_in(12))
		plan(model);
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
