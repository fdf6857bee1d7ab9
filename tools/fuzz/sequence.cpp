// SPDX-License-Identifier: GPL-2.0-only
#include "sequence.h"

#include "../common/disk.h"
#include "../common/error_name.h"
#include "../common/sector.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace dmsc
{

namespace
{

// Devices for COW; the second pair is used less.
constexpr std::array<std::string_view, 3> kCows{"cow", "cow", "mapped"};
constexpr std::array<std::uint64_t, 4> kChunks{8, 8, 16, 2048};
constexpr std::array<std::string_view, 3> kFeatures{
	"", " 1 discard_zeroes_cow", " 2 discard_zeroes_cow discard_passdown_origin"};

// Clones; most are the same one. The background never copies, so that it is known how many regions
// are in the destination.
constexpr std::array<std::uint64_t, 4> kRegions{8, 8, 8, 64};
constexpr std::array<std::uint64_t, 4> kLengths{4096, 4096, 4096, 4001};
constexpr std::array<std::string_view, 4> kOptions{
	" 1 no_hydration",
	" 2 no_discard_passdown no_hydration 2 hydration_batch_size 3",
	" 0 2 hydration_threshold 0",
	" 1 no_hydration 4 hydration_batch_size 1 hydration_threshold 0",
};

} // namespace

Sequence::Sequence(Control &control, const Devices &devices, Random &random)
	: control_(control), devices_(devices), random_(random)
{
	for (std::size_t i = 0; i < mapped_.size(); i++)
		mapped_[i].name = "sequence" + std::to_string(i);
	clear_clone_metadata(devices_.find("meta")->path);
}

Sequence::~Sequence()
{
	for (const Mapped &mapped : mapped_)
		if (mapped.exists)
			(void)control_.remove(mapped.name);
}

std::size_t Sequence::index(const Mapped &mapped) const
{
	return static_cast<std::size_t>(&mapped - mapped_.data());
}

Sequence::Complaint Sequence::compare(const std::string &step, int error, int expected)
{
	history_ += (history_.empty() ? "" : "; ") + step;
	if (error == expected)
		return std::nullopt;
	return step + ": " + error_name(error) + ", not " + error_name(expected);
}

Sequence::Pair Sequence::pair_of(const std::string &cow) const
{
	Pair pair;

	for (const auto &line : lines_) {
		if (line->cow != cow || line->over)
			continue;
		(line->active ? pair.from : pair.to) = line;
	}
	return pair;
}

void Sequence::drop(std::optional<Loaded> &loaded)
{
	if (loaded && loaded->line) {
		std::erase(lines_, loaded->line);
		// Who waits for a snapshot that goes never gets one.
		const Pair pair = pair_of(loaded->line->cow);

		if (loaded->line->contents && pair.to)
			pair.to->over = true;
	}
	loaded.reset();
}

Sequence::Complaint Sequence::create(Mapped &mapped)
{
	DeviceNumber number;
	const int error = control_.create(mapped.name, number);

	if (error == 0)
		mapped.number = number;

	const bool existed = std::exchange(mapped.exists, true);

	return compare("create " + mapped.name, error, existed ? EBUSY : 0);
}

Sequence::Complaint Sequence::remove(Mapped &mapped)
{
	const int error = control_.remove(mapped.name);
	const bool existed = std::exchange(mapped.exists, false);

	drop(mapped.inactive);
	drop(mapped.live);
	mapped.suspended = false;
	mapped.cleared = false;
	return compare("remove " + mapped.name, error, existed ? 0 : ENXIO);
}

int Sequence::make_snapshot(const Mapped &mapped, Loaded &loaded)
{
	const BlockDevice &cow = *devices_.find(random_.pick(kCows));
	const Pair pair = pair_of(to_string(cow.number));

	loaded.line = std::make_shared<Line>();
	loaded.line->device = index(mapped);
	loaded.line->cow = to_string(cow.number);
	loaded.line->chunk = random_.pick(kChunks);
	loaded.line->features = random_.pick(kFeatures);
	loaded.target.type = kSnapshot;
	loaded.target.params += " " + loaded.line->cow + " N " +
				std::to_string(loaded.line->chunk) + loaded.line->features;
	if (!pair.from)
		loaded.line->contents = std::make_unique<Contents>(Contents{loaded.line->chunk});
	return pair.to ? EBUSY : 0;
}

// Only one device has clones of a metadata device, and what is on that tells of one clone.
int Sequence::make_clone(const Mapped &mapped, Loaded &loaded)
{
	const std::uint64_t meta_sectors = devices_.find("meta")->sectors;
	const std::string options =
		std::to_string(random_.pick(kRegions)) + std::string(random_.pick(kOptions));

	loaded.target.type = kClone;
	loaded.target.length = random_.pick(kLengths);
	loaded.target.params.clear();
	for (const std::string_view name : {"meta", "dest", "source"})
		loaded.target.params += to_string(devices_.find(name)->number) + " ";
	loaded.target.params += options;
	loaded.clone.emplace(loaded.target.length, split_arguments(options), meta_sectors);
	for (const Mapped &other : mapped_)
		if (&other != &mapped && ((other.live && other.live->clone) ||
					  (other.inactive && other.inactive->clone)))
			return EBUSY;
	if (metadata_.geometry && *metadata_.geometry != loaded.clone->geometry())
		return EINVAL;
	if (mapped.exists)
		metadata_.geometry = loaded.clone->geometry();
	return 0;
}

Sequence::Complaint Sequence::load(Mapped &mapped)
{
	const BlockDevice &origin = *devices_.find("origin");
	Loaded loaded;
	int expected = 0;

	loaded.target.length = random_.one_in(4) ? 8 : origin.sectors;
	loaded.target.type = kOrigin;
	loaded.target.params = to_string(origin.number);
	if (random_.one_in(3))
		expected = make_clone(mapped, loaded);
	else if (!random_.one_in(4))
		expected = make_snapshot(mapped, loaded);
	if (!mapped.exists)
		expected = ENXIO;

	const int error = control_.load(mapped.name, {{loaded.target}, false});
	Complaint complaint =
		compare("load " + mapped.name + " " + loaded.target.type + " " +
				std::to_string(loaded.target.length) + " " + loaded.target.params,
			error, expected);

	if (error == 0 && !complaint) {
		drop(mapped.inactive);
		if (loaded.line)
			lines_.push_back(loaded.line);
		mapped.inactive = std::move(loaded);
		mapped.cleared = false;
	}
	return complaint;
}

Sequence::Complaint Sequence::clear(Mapped &mapped)
{
	mapped.cleared = mapped.cleared || mapped.inactive;
	drop(mapped.inactive);
	return compare("clear " + mapped.name, control_.clear(mapped.name),
		       mapped.exists ? 0 : ENXIO);
}

Sequence::Complaint Sequence::suspend(Mapped &mapped)
{
	mapped.suspended = mapped.exists;
	return compare("suspend " + mapped.name, control_.suspend(mapped.name),
		       mapped.exists ? 0 : ENXIO);
}

// A snapshot cannot come back while another table waits for it, nor be taken from a device that is
// not suspended.
bool Sequence::may_resume(const Loaded &loaded)
{
	if (!loaded.line)
		return true;

	const Pair pair = pair_of(loaded.line->cow);

	if (!pair.from || !pair.to)
		return true;
	return pair.from != loaded.line && mapped_[pair.from->device].suspended;
}

void Sequence::activate(Loaded &loaded)
{
	// One that has lost its snapshot does not take it back.
	if (!loaded.line || loaded.line->over)
		return;

	Line &line = *loaded.line;
	const Pair pair = pair_of(line.cow);

	if (line.contents) {
		line.active = true;
	} else if (pair.from) {
		line.contents = std::move(pair.from->contents);
		line.chunk = line.contents->chunk;
		line.active = true;
		pair.from->active = false;
		pair.from->over = true;
	}
}

Sequence::Complaint Sequence::resume(Mapped &mapped)
{
	const int error = control_.resume(mapped.name);
	const std::string what = "resume " + mapped.name;
	std::optional<Loaded> old;

	if (!mapped.exists)
		return compare(what, error, ENXIO);
	if (mapped.inactive) {
		mapped.suspended = true;
		old = std::exchange(mapped.live, std::exchange(mapped.inactive, std::nullopt));
	}
	if (!mapped.suspended)
		return compare(what, error, 0);

	const bool good = mapped.live && may_resume(*mapped.live);

	if (good) {
		mapped.suspended = false;
		activate(*mapped.live);
	}
	drop(old);
	return compare(what, error, good ? 0 : EINVAL);
}

// Not between a clear and the next load: what device-mapper keeps for IMA of the live table is then
// also that of the inactive one, a rename frees it, and the next load frees it again.
Sequence::Complaint Sequence::rename(Mapped &mapped)
{
	if (mapped.cleared)
		return std::nullopt;

	const Mapped &other = mapped_[random_.below(mapped_.size())];
	const bool taken = other.exists && random_.one_in(2);
	std::string name = taken ? other.name : "renamed" + std::to_string(++renamed_);
	const int error = control_.rename(mapped.name, name);
	const int expected = !mapped.exists ? ENXIO : taken ? EBUSY : 0;
	Complaint complaint = compare("rename " + mapped.name + " " + name, error, expected);

	// A name that is taken is found first.
	if (complaint && !mapped.exists && taken && error == EBUSY)
		complaint.reset();
	if (error == 0)
		mapped.name = std::move(name);
	return complaint;
}

Sequence::Complaint Sequence::small_buffer(Mapped &mapped)
{
	constexpr std::array<std::uint32_t, 4> flags{
		0, DM_STATUS_TABLE_FLAG, DM_QUERY_INACTIVE_TABLE_FLAG,
		DM_STATUS_TABLE_FLAG | DM_QUERY_INACTIVE_TABLE_FLAG};
	const std::size_t size = random_.below(96);
	const std::uint32_t flag = random_.pick(flags);
	const Shown small = control_.show(mapped.name, flag, size);
	Complaint complaint = compare("show " + mapped.name + " in " + std::to_string(size),
				      small.error, mapped.exists ? 0 : ENXIO);

	// What fits must be whole.
	if (!complaint && small.error == 0 && !small.full &&
	    small.targets != control_.show(mapped.name, flag).targets)
		complaint = "a small buffer for a status holds something else than a large one";
	return complaint;
}

// A whole region of a clone, which then is in the destination.
Sequence::Complaint Sequence::write(Mapped &mapped)
{
	if (!mapped.live || !mapped.live->clone || mapped.suspended)
		return std::nullopt;

	const CloneGeometry &geometry = mapped.live->clone->geometry();
	const std::uint64_t region = random_.below(geometry.regions());
	const std::uint64_t first = region * geometry.region_size;
	const std::uint64_t count = std::min(geometry.region_size, geometry.target_size - first);
	const Disk disk("/dev/dm-" + std::to_string(mapped.number.minor));

	disk.write(first, Image(count * kSector));
	metadata_.hydrated.insert(region);
	return compare("write " + std::to_string(region) + " of " + mapped.name, 0, 0);
}

// To a clone, but not one that makes the background copy.
Sequence::Complaint Sequence::message(Mapped &mapped)
{
	if (!mapped.live || !mapped.live->clone)
		return std::nullopt;

	CloneState &clone = *mapped.live->clone;
	std::string text = "hydration_batch_size " + std::to_string(random_.below(9));

	if (random_.one_in(3))
		text = clone.enabled() ? "disable_hydration" : "hydration_threshold 0";
	else if (clone.threshold() == 0 && random_.one_in(2))
		text = "enable_hydration";

	const int error = control_.message(mapped.name, 0, text);

	clone.message(text);
	return compare("message " + mapped.name + " " + text, error, 0);
}

std::string Sequence::usage(const Line &line) const
{
	const Pair pair = pair_of(line.cow);

	// A table that waits shows what it is going to get.
	if (!line.contents && (pair.to.get() != &line || !pair.from))
		return "Invalid";
	for (const BlockDevice &device : devices_.list())
		if (to_string(device.number) == line.cow)
			return "0/" + std::to_string(device.sectors) + " 0";
	return "";
}

Sequence::Complaint Sequence::check_table(const Mapped &mapped, const Loaded &loaded,
					  std::uint32_t flags)
{
	const std::string kind = flags == 0 ? "active" : "loaded";
	Target target = loaded.target;

	if (loaded.line) {
		const std::string &params = loaded.target.params;

		target.params = params.substr(0, params.find(" N ") + 3) +
				std::to_string(loaded.line->chunk) + loaded.line->features;
	}

	const Shown table = control_.show(mapped.name, flags | DM_STATUS_TABLE_FLAG);

	if (table.targets != std::vector{target})
		return mapped.name + ": " + kind + " table is " +
		       (table.targets.empty() ? "missing" : table.targets[0].params) + ", not " +
		       target.params;

	const Shown status = control_.show(mapped.name, flags);

	if (status.targets.size() != 1)
		return mapped.name + ": " + kind + " status is missing";

	Complaint complaint = check_status(loaded, flags == 0, status.targets[0].params);

	if (complaint)
		complaint = mapped.name + ": " + kind + " " + *complaint;
	return complaint;
}

Sequence::Complaint Sequence::check_status(const Loaded &loaded, bool active,
					   const std::string &status) const
{
	const std::string wanted = loaded.line ? usage(*loaded.line) : "";

	if (loaded.clone) {
		CloneState clone = *loaded.clone;

		// It is told when it is resumed.
		clone.set_hydrated(active ? metadata_.hydrated.size() : 0);
		return clone.complain(status);
	}
	if (status == wanted)
		return std::nullopt;
	return "status is " + status + ", not " + wanted;
}

Sequence::Complaint Sequence::check(const Mapped &mapped)
{
	Complaint complaint;

	if (mapped.live)
		complaint = check_table(mapped, *mapped.live, 0);
	if (!complaint && mapped.inactive)
		complaint = check_table(mapped, *mapped.inactive, DM_QUERY_INACTIVE_TABLE_FLAG);
	return complaint;
}

Sequence::Complaint Sequence::step()
{
	Mapped &mapped = mapped_[random_.below(mapped_.size())];

	if (!mapped.exists && !random_.one_in(8))
		return create(mapped);
	switch (random_.below(24)) {
	case 20:
		return message(mapped);
	case 21:
	case 22:
	case 23:
		return write(mapped);
	case 0:
		return create(mapped);
	case 1:
		return remove(mapped);
	case 2:
		return clear(mapped);
	case 3:
		return rename(mapped);
	case 4:
	case 5:
		return small_buffer(mapped);
	case 6:
	case 7:
	case 8:
		return suspend(mapped);
	case 9:
	case 10:
	case 11:
	case 12:
	case 13:
		return resume(mapped);
	default:
		return load(mapped);
	}
}

std::optional<std::string> Sequence::run()
{
	for (std::uint64_t i = 0; i < kSteps; i++) {
		Complaint complaint = step();

		for (const Mapped &mapped : mapped_)
			if (!complaint && mapped.exists)
				complaint = check(mapped);
		if (complaint)
			return complaint;
	}
	for (Mapped &mapped : mapped_)
		if (Complaint complaint = remove(mapped); complaint && mapped.exists)
			return complaint;
	return std::nullopt;
}

} // namespace dmsc
