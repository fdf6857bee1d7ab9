// SPDX-License-Identifier: GPL-2.0-only
#include "crash.h"

#include "../common/cow_layout.h"
#include "../common/error_name.h"
#include "../common/power_cut.h"
#include "cache.h"
#include "layout.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <thread>
#include <utility>

#include <linux/dm-ioctl.h>

namespace dmsc
{

namespace
{

constexpr std::string_view kLogged = "seq-logged";
constexpr std::string_view kPartPrefix = "seq-left-";
// Of the log's head, so that an old one is not taken for the new one.
constexpr std::uint64_t kHeadSectors = 8;
constexpr std::uint64_t kPiece = 256;

std::string path_of(DeviceNumber number)
{
	return "/dev/dm-" + std::to_string(number.minor);
}

// The device below that a COW device of the sequence is made of.
std::string base_of(std::string_view cow)
{
	return std::string(cow == kGrowing ? "z" : cow);
}

bool is_there(Subject subject)
{
	return std::filesystem::exists("/sys/module/" + module_of(subject));
}

} // namespace

void Crash::must(int error, const std::string &what) const
{
	if (error != 0)
		throw std::runtime_error(what + ": " + error_name(error));
}

Crash::Crash(Disks disks, Subject subject) : disks_(std::move(disks)), subject_(subject)
{
	const std::string logged(kLogged);
	const std::string looked(kLooked);

	refuse_same(disks_.pool, disks_.log);
	refuse_same(disks_.pool, disks_.replay);
	refuse_same(disks_.log, disks_.replay);
	must(control_.create(logged, logged_), logged);
	become("linear", to_string(number_of(disks_.pool)) + " 0");
	for (const Base &base : kBases)
		make(std::string(base.name));
	must(control_.create(looked, looked_at_), looked);
}

Crash::~Crash()
{
	(void)control_.remove(std::string(kLooked));
	for (const auto &each : parts_)
		(void)control_.remove(std::string(kPartPrefix) + each.first);
	(void)control_.remove(std::string(kLogged));
}

// A part of what is left.
void Crash::make(const std::string &base)
{
	const std::string name = std::string(kPartPrefix) + base;
	const std::string place =
		to_string(number_of(disks_.replay)) + " " + std::to_string(offset_of(base));

	must(control_.create(name, parts_[base]), name);
	must(control_.load(name, {{{0, sectors_of(base), "linear", place}}, false}), name);
	must(control_.resume(name), name);
}

std::string Crash::pool() const
{
	return path_of(logged_);
}

// The table of the device below all others.
void Crash::become(const std::string &table_type, const std::string &params)
{
	const std::string name(kLogged);

	must(control_.load(name, {{{0, kPoolSectors, table_type, params}}, false}), name);
	must(control_.resume(name), name);
}

void Crash::begin()
{
	const std::string pool = to_string(number_of(disks_.pool));

	survivors_.clear();
	operations_.clear();
	image_.assign(kPoolSectors * kSector, std::byte{0});
	Disk(disks_.pool).write(0, image_);
	Disk(disks_.log).write(0, Image(kHeadSectors * kSector));
	become("log-writes", pool + " " + to_string(number_of(disks_.log)));
}

void Crash::mark(const Operation &operation, const Model &model)
{
	survivors_.record(model);
	operations_.push_back(operation.to_string());
	must(control_.message(std::string(kLogged), 0,
			      "mark " + std::to_string(operations_.size())),
	     "mark");
}

/*
 * What is left
 */

Image Crash::part_of(const std::string &base) const
{
	const auto begin = image_.begin() + static_cast<std::ptrdiff_t>(offset_of(base) * kSector);

	return {begin, begin + static_cast<std::ptrdiff_t>(sectors_of(base) * kSector)};
}

Disk Crash::part(const std::string &base) const
{
	return Disk(path_of(parts_.at(base)));
}

void Crash::put(const std::string &base) const
{
	Disk(disks_.replay).write(offset_of(base), part_of(base));
}

Image Crash::read(std::uint64_t sectors) const
{
	const Disk disk(path_of(looked_at_));
	Image all;

	for (std::uint64_t at = 0; at < sectors; at += kPiece) {
		const Image piece = disk.read(at, std::min(kPiece, sectors - at));

		all.insert(all.end(), piece.begin(), piece.end());
	}
	return all;
}

std::string Crash::status() const
{
	const Shown shown = control_.show(std::string(kLooked), 0);

	return shown.targets.empty() ? "nothing" : shown.targets[0].params;
}

// Nobody has the snapshot any more.
void Crash::drop()
{
	const std::string name(kLooked);

	must(control_.load(name, {{{0, kVolume, "error", ""}}, false}), name);
	must(control_.resume(name), name);
}

int Crash::activate(const CowOf &cow, Subject subject, const std::string &type)
{
	const std::string name(kLooked);
	const std::string params = to_string(parts_.at(std::string(cow.origin))) + " " +
				   to_string(parts_.at(base_of(cow.cow))) + " P 8";

	drop();
	if (const int error =
		    control_.load(name, {{{0, kVolume, type_of(subject, type), params}}, false}))
		return error;
	return control_.resume(name);
}

// A snapshot with a target.
Crash::Complaint Crash::open(const CowOf &cow, Subject subject, Period period, Image &contents)
{
	const std::string what = type_of(subject, "snapshot") + ": ";
	const Model::Survival survival = survivors_.survival(std::string(cow.cow), period);

	counts_.opened++;
	if (const int error = activate(cow, subject, "snapshot"))
		return what + "cannot be loaded: " + error_name(error);
	if (const std::string text = status(); text == "Invalid")
		return survival.may_be_invalid ? std::nullopt : Complaint(what + "is Invalid");
	contents = read(kVolume);
	if (const std::string wrong = survivors_.compare(std::string(cow.cow), period, contents);
	    !wrong.empty())
		return what + wrong;
	return std::nullopt;
}

// By either target, and perhaps the second goes on with what the first has not done.
Crash::Complaint Crash::merge(const CowOf &cow, const Image &contents)
{
	std::vector<Subject> subjects{Subject::ours, Subject::stock};
	const auto end = std::chrono::steady_clock::now() + kPatience;
	const std::string origin(cow.origin);
	std::string what = "after a merge by";

	std::ranges::shuffle(subjects, *random_);
	std::erase_if(subjects, [](Subject subject) { return !is_there(subject); });
	if (((*random_)() & 1) != 0)
		subjects.resize(1);
	counts_.merged++;
	for (const Subject subject : subjects) {
		what += " " + type_of(subject, "merge");
		if (const int error = activate(cow, subject, "merge"))
			return what + ": cannot be loaded: " + error_name(error);
		if (read(kVolume) != contents)
			return what + ": shows something else than the snapshot";
	}
	for (;;) {
		const std::string text = status();
		const std::optional<Usage> usage = parse_usage(text);

		if (!usage)
			return what.append(": is ").append(text);
		if (usage->used == usage->metadata)
			break;
		if (std::chrono::steady_clock::now() > end)
			return what.append(": does not end: ").append(text);
		std::this_thread::sleep_for(std::chrono::milliseconds(5));
	}
	drop();
	if (part(origin).read(0, kVolume) != contents)
		return what + ": the origin is not what the snapshot was";
	return std::nullopt;
}

Crash::Complaint Crash::look(const CowOf &cow, Period period)
{
	const std::string name(cow.cow);
	const Image now = part_of(base_of(name));
	const Model::Survival survival = survivors_.survival(name, period);
	Image contents;

	counts_.looks++;
	if (!survival.known) {
		counts_.unknown++;
		return std::nullopt;
	}
	if (load_little_endian(now, 0, 4) != kCowMagic)
		return survival.sure ? Complaint("there is no snapshot") : std::nullopt;
	drop();
	put(std::string(cow.origin));
	put(base_of(name));
	for (const Subject subject : {Subject::ours, Subject::stock})
		if (is_there(subject))
			if (Complaint complaint = open(cow, subject, period, contents))
				return complaint;
	if (!survival.may_be_invalid && (*random_)() % 4 == 0)
		if (Complaint complaint = merge(cow, contents))
			return complaint;
	drop();
	return std::nullopt;
}

Crash::Complaint Crash::look(Period period)
{
	for (const std::string &name : crash_origins()) {
		const std::string wrong = survivors_.compare(name, period, part_of(name));

		if (!wrong.empty())
			return std::string(name).append(": ").append(wrong);
	}
	for (const CowOf &cow : crash_cows())
		if (Complaint complaint = look(cow, period))
			return std::string(cow.cow) + ", " + *complaint;
	for (const CloneOf &clone : kClones)
		if (Complaint complaint = look(clone, period))
			return std::string(clone.meta) + ", " + *complaint;
	return std::nullopt;
}

// Between that mark and the next one. The first mark is 1.
Crash::Period Crash::period(std::size_t mark) const
{
	return {std::max<std::size_t>(mark, 1) - 1, std::min(mark + 1, operations_.size()) - 1};
}

Crash::Complaint Crash::check(std::size_t moments, std::uint64_t seed)
{
	become("linear", to_string(number_of(disks_.pool)) + " 0");

	const File log(disks_.log, File::Mode::read);
	std::vector<Entry> entries = read_entries(log);

	// These have only put the log in order.
	std::erase_if(entries, [](const Entry &each) {
		return each.marks > 0 && each.bytes == 0 && each.target == 0;
	});

	// Before the first operation the devices below are filled.
	const auto first =
		std::ranges::find_if(entries, [](const Entry &e) { return e.marks > 0; });
	Cache cache(log, entries);

	random_.emplace(seed);
	for (const std::size_t moment :
	     cut_moments(entries, static_cast<std::size_t>(first - entries.begin()) + 1, moments,
			 *random_)) {
		cache.advance(moment);

		Cache::Cut cut = cache.cut(*random_);
		const auto next = std::find_if(
			entries.begin() + static_cast<std::ptrdiff_t>(moment), entries.end(),
			[](const Entry &each) { return each.barrier(); });
		std::vector<Period> periods{next == entries.end() ? period(operations_.size())
								  : period(next->marks)};

		if (cut.at_once)
			periods.push_back(period(entries[moment - 1].marks));
		image_ = std::move(cut.pool);
		counts_.moments++;
		for (const Period &each : periods)
			if (const Complaint complaint = look(each))
				return "power cut after entry " + std::to_string(moment) + " of " +
				       std::to_string(entries.size()) + ", after \"" +
				       operations_[each.first] + "\" and before the end of \"" +
				       operations_[each.last] + "\": " + *complaint;
	}
	return std::nullopt;
}

} // namespace dmsc
