// SPDX-License-Identifier: GPL-2.0-only
#include "kernel.h"

#include "../common/sector.h"
#include "fault.h"
#include "layout.h"

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include <linux/dm-ioctl.h>

namespace dmsc
{

namespace
{

constexpr std::uint64_t kHeaderSectors = 16;
constexpr std::string_view kPrefix = "seq-";
constexpr std::string_view kBelowPrefix = "seq-below-";
constexpr const char *kBad = "seq-bad";
// What was written to a snapshot is durable after about a second.
constexpr auto kPause = std::chrono::seconds(2);

// What a write with a tag writes.
Image tagged(std::uint64_t sector, std::uint64_t count, Tag tag)
{
	Image image(count * kSector);

	for (std::uint64_t i = 0; i < count; i++)
		fill_sector(std::span(image).subspan(i * kSector).first<kSectorBytes>(), tag,
			    sector + i);
	return image;
}

int write_file(const std::string &path, const std::string &text)
{
	std::ofstream out(path);

	out << text << std::flush;
	return out ? 0 : EIO;
}

} // namespace

Kernel::Kernel(Subject subject, std::string pool, bool logged)
	: subject_(subject), pool_(std::move(pool)), logged_(logged), pool_number_(number_of(pool_))
{
	for (const Base &base : kBases)
		devices_[std::string(base.name)].name =
			std::string(kBelowPrefix) + std::string(base.name);
	for (const std::string_view name : kMapped)
		devices_[std::string(name)].name = std::string(kPrefix) + std::string(name);
}

Kernel::~Kernel()
{
	release();
	(void)remove_all(true);
}

int Kernel::simple(unsigned long request, const std::string &name, std::uint32_t flags) const
{
	Buffer buffer = make_buffer(name, flags, 0);

	return control_.call(request, buffer);
}

bool Kernel::exists(const std::string &device) const
{
	return simple(DM_DEV_STATUS, devices_.at(device).name, 0) == 0;
}

bool Kernel::is_suspended(const std::string &name) const
{
	Buffer buffer = make_buffer(name, 0, 0);

	return control_.call(DM_DEV_STATUS, buffer) == 0 &&
	       (header(buffer).flags & DM_SUSPEND_FLAG) != 0;
}

std::string Kernel::path(const std::string &device) const
{
	return "/dev/dm-" + std::to_string(devices_.at(device).number.minor);
}

// Devices by their numbers. The number of one that is gone may be another's now.
std::string Kernel::argument(const std::string &word) const
{
	const auto found = devices_.find(word);

	if (found == devices_.end())
		return word;
	if (!exists(word))
		return "0:0";
	return dmsc::to_string(found->second.number);
}

// From the kernel's names to ours.
ShownLine Kernel::translate(const Target &target) const
{
	ShownLine line{target.start, target.length, name_of(subject_, target.type), ""};
	std::istringstream in(target.params);

	for (std::string word; in >> word;) {
		for (const auto &[name, device] : devices_)
			if (word == dmsc::to_string(device.number) &&
			    word.find(':') != std::string::npos)
				word = name;
		line.text += (line.text.empty() ? "" : " ") + word;
	}
	return line;
}

/*
 * Operations
 */

int Kernel::create(const std::string &device)
{
	DeviceNumber number;
	const int error = control_.create(devices_.at(device).name, number);

	if (error != 0)
		return error;
	// The number was another device's, perhaps.
	for (auto &[other, named] : devices_)
		if (named.number == number)
			named.number = {};
	devices_.at(device).number = number;
	return 0;
}

int Kernel::load(const Operation &operation)
{
	Table table;

	table.read_only = dmsc::is_read_only(operation);
	for (const TableLine &line : table_of(operation)) {
		Target target{line.start, line.length, type_of(subject_, line.type), ""};

		for (const std::string &word : line.arguments)
			target.params += (target.params.empty() ? "" : " ") + argument(word);
		table.targets.push_back(target);
	}
	return control_.load(devices_.at(operation.word(0)).name, table);
}

Table Kernel::below_table(const Operation &base) const
{
	const std::string name = base.word(0);
	const std::uint64_t end = sectors_of(name);
	const Fault fault = fault_of(base);
	const auto place = [&](std::uint64_t sector) {
		return dmsc::to_string(pool_number_) + " " +
		       std::to_string(offset_of(name) + sector);
	};
	// What is not disturbed. The log tells by the sector of a flush for which device it was;
	// from 6.12 on, device-mapper sends flushes past dm-linear, without a sector.
	const auto straight = [&](std::uint64_t begin, std::uint64_t sectors) -> Target {
		if (logged_)
			return {begin, sectors, "flakey", place(begin) + " 3600 0"};
		return {begin, sectors, "linear", place(begin)};
	};
	Table table;

	if (base.word(1) == "slow")
		return {{{0, end, "delay", place(0) + " 20"}}, false};
	if (base.word(1) == "resize")
		return {{straight(0, base.number(2))}, false};
	if (fault.begin > 0 || !fault.is_any())
		table.targets.push_back(straight(0, fault.is_any() ? fault.begin : end));
	if (!fault.is_any())
		return table;
	if (fault.reads && fault.writes) {
		table.targets.push_back({fault.begin, fault.end - fault.begin, "error", ""});
	} else {
		const std::string good = place(fault.begin) + " 0";
		const std::string bad = dmsc::to_string(bad_) + " 0 0";

		table.targets.push_back(
			{fault.begin, fault.end - fault.begin, "delay",
			 (fault.reads ? bad + " " + good : good + " " + bad) + " " + good});
	}
	if (fault.end < end)
		table.targets.push_back(straight(fault.end, end - fault.end));
	return table;
}

int Kernel::make_bad()
{
	if (bad_ != DeviceNumber{})
		return 0;
	if (const int error = control_.create(kBad, bad_))
		return error;
	if (const int error = control_.load(kBad, {{{0, kRoomy, "error", ""}}, false}))
		return error;
	return control_.resume(kBad);
}

int Kernel::base(const Operation &operation)
{
	const std::string name = operation.word(0);
	const std::string what = operation.word(1);
	const std::string &device = devices_.at(name).name;

	disturbed_.insert(name);
	if (what == "suspend")
		return control_.suspend(device);
	if (what != "resume")
		if (const int error = control_.load(device, below_table(operation)))
			return error;

	const int error = control_.resume(device);

	if (error == 0 && what == "ok")
		disturbed_.erase(name);
	return error;
}

// dm-log-writes puts what was not flushed into the log when it is, behind writes with FUA that came
// later. A flush of the pool, which is none of any device below, does that now.
void Kernel::order_log() const
{
	if (logged_)
		Disk(pool_).flush();
}

int Kernel::wipe(const std::string &name) const
{
	try {
		Disk(path(name)).write(0, Image(kHeaderSectors * kSector));
		order_log();
	} catch (const std::system_error &error) {
		return error.code().value();
	}
	return 0;
}

int Kernel::cpu(std::uint64_t number, const std::string &what) const
{
	return write_file("/sys/devices/system/cpu/cpu" + std::to_string(number) + "/online",
			  what == "on" ? "1" : "0");
}

// Only a debug build of ours can run out of it.
int Kernel::memory(const std::string &what)
{
	(void)write_file("/sys/kernel/debug/dm-scaled/no_memory", what == "off" ? "Y" : "N");
	return 0;
}

int Kernel::pressure(const std::string &what)
{
	if (what == "on")
		pressure_.begin();
	else
		pressure_.end();
	return 0;
}

int Kernel::threshold(std::uint64_t value) const
{
	return write_file("/sys/module/" + module_of(subject_) +
				  "/parameters/snapshot_cow_threshold",
			  std::to_string(value));
}

int Kernel::perform(const Operation &operation)
{
	const std::string &verb = operation.verb();
	const std::string name = operation.word(0);
	const std::string option = operation.word(1);

	if (verb == "base")
		return base(operation);
	if (verb == "wipe")
		return wipe(name);
	if (verb == "cpu")
		return cpu(operation.number(0), option);
	if (verb == "memory")
		return memory(name);
	if (verb == "pressure")
		return pressure(name);
	if (verb == "threshold")
		return threshold(operation.number(0));
	if (verb == "pause") {
		std::this_thread::sleep_for(kPause);
		return 0;
	}
	if (verb == "create")
		return create(name);
	if (verb == "load")
		return load(operation);

	std::string &device = devices_.at(name).name;

	if (verb == "clear")
		return control_.clear(device);
	if (verb == "resume")
		return control_.resume(device);
	if (verb == "suspend")
		return simple(DM_DEV_SUSPEND, device,
			      DM_SUSPEND_FLAG | (option == "noflush" ? DM_NOFLUSH_FLAG : 0));
	if (verb == "message")
		return control_.message(device, 0, operation.rest(1));
	if (verb == "remove")
		return simple(DM_DEV_REMOVE, device, option == "deferred" ? DM_DEFERRED_REMOVE : 0);
	if (verb == "rename") {
		const std::string other =
			device.ends_with('x') ? device.substr(0, device.size() - 1) : device + "x";
		const int error = control_.rename(device, other);

		if (error == 0)
			device = other;
		return error;
	}
	throw std::invalid_argument("unknown operation: " + operation.to_string());
}

/*
 * I/O
 */

void Kernel::submit(std::uint64_t number, const Operation &operation, Tag tag)
{
	std::unique_ptr<Disk> disk;
	int error = 0;

	if (operation.verb() == "fua")
		order_log();

	// Now, as it is in use from now on.
	try {
		disk = std::make_unique<Disk>(path(operation.word(0)));
	} catch (const std::system_error &failure) {
		error = failure.code().value();
	}
	threads_[number] = std::jthread(
		[this, number, operation, tag, error, disk = std::move(disk)]() mutable {
			Ended ended{number, error, {}};

			if (disk)
				do_io(*disk, operation, tag, ended);
			disk.reset();

			const std::lock_guard lock(mutex_);

			done_.push_back(std::move(ended));
			ended_.notify_one();
		});
}

void Kernel::do_io(const Disk &disk, const Operation &operation, Tag tag, Ended &ended)
{
	const std::uint64_t sector = operation.number(1);
	const std::uint64_t count = operation.number(2);

	try {
		if (operation.verb() == "flush")
			disk.flush();
		else if (operation.verb() == "write")
			disk.write(sector, tagged(sector, count, tag));
		else if (operation.verb() == "fua")
			disk.write_durably(sector, tagged(sector, count, tag));
		else if (operation.verb() == "zero")
			disk.zero(sector, count);
		else if (operation.verb() == "discard")
			disk.discard(sector, count);
		else
			ended.data = disk.read(sector, count);
	} catch (const std::system_error &error) {
		ended.error = error.code().value();
	}
}

std::vector<Ended> Kernel::reap(unsigned int milliseconds)
{
	std::unique_lock lock(mutex_);
	std::vector<Ended> done;

	if (milliseconds != 0)
		ended_.wait_for(lock, std::chrono::milliseconds(milliseconds),
				[this] { return !done_.empty(); });
	done.swap(done_);
	lock.unlock();
	for (const Ended &ended : done)
		threads_.erase(ended.number);
	return done;
}

/*
 * What devices show, and where sequences begin
 */

ShownLines Kernel::show(const std::string &device, bool inactive, bool table, bool commit) const
{
	const Shown shown = control_.show(devices_.at(device).name,
					  (inactive ? DM_QUERY_INACTIVE_TABLE_FLAG : 0U) |
						  (table ? DM_STATUS_TABLE_FLAG : 0U) |
						  (commit ? 0U : DM_NOFLUSH_FLAG));
	ShownLines lines;

	for (const Target &target : shown.targets)
		lines.push_back(translate(target));
	return lines;
}

bool Kernel::is_read_only(const std::string &device, bool inactive) const
{
	Buffer buffer = make_buffer(devices_.at(device).name,
				    inactive ? DM_QUERY_INACTIVE_TABLE_FLAG : 0, 0);

	return control_.call(DM_DEV_STATUS, buffer) == 0 &&
	       (header(buffer).flags & DM_READONLY_FLAG) != 0;
}

// First its name is gone, then its tables, which keep other devices open, then its disk.
bool Kernel::vanishes(const std::string &device)
{
	Named &named = devices_.at(device);

	for (int i = 0; i < 500; i++) {
		if (simple(DM_DEV_STATUS, named.name, 0) == ENXIO &&
		    (named.number == DeviceNumber{} ||
		     !std::filesystem::exists("/sys/dev/block/" + dmsc::to_string(named.number)))) {
			named.number = {};
			return true;
		}
		std::this_thread::sleep_for(std::chrono::milliseconds(10));
	}
	return false;
}

// False if one is left.
bool Kernel::remove_all(bool below_too)
{
	bool all = true;
	const auto remove = [&](const std::string_view device) {
		const int error = simple(DM_DEV_REMOVE, devices_.at(std::string(device)).name, 0);

		all = all && (error == 0 || error == ENXIO);
	};

	for (const std::string_view each : kMappedFromAbove)
		remove(each);
	if (!below_too)
		return all;
	for (const Base &base : kBases)
		remove(base.name);
	(void)control_.remove(kBad);
	bad_ = {};
	return all;
}

// What was left behind: nothing is held up any more, and all that is in flight ends.
void Kernel::release()
{
	const Table nothing{{{0, kVolume, "error", ""}}, false};

	for (const std::string &name : std::set(disturbed_))
		if (exists(name))
			(void)base(Operation("base " + name + " ok"));
	for (int round = 0; round < 2; round++) {
		for (const std::string_view each : kMapped) {
			const std::string &name = devices_.at(std::string(each)).name;

			(void)control_.clear(name);
			(void)control_.resume(name);
		}
	}
	// A suspended device changes its table without waiting for anything.
	for (const std::string_view each : kMapped) {
		const std::string &name = devices_.at(std::string(each)).name;

		if (is_suspended(name) && control_.load(name, nothing) == 0)
			(void)control_.resume(name);
	}
	for (int i = 0; i < 100 && !threads_.empty(); i++)
		(void)reap(100);
}

void Kernel::fill() const
{
	const Disk pool(pool_);
	Tag tag = 10;

	for (const Base &base : kBases) {
		pool.write(offset_of(base.name), base.for_cow ? Image(kHeaderSectors * kSector)
							      : tagged(0, base.sectors, tag));
		tag++;
	}
	pool.flush();
}

bool Kernel::clear(bool below_too)
{
	release();
	if (!threads_.empty())
		return false;
	// One that is vanishing may keep those below it open for a moment.
	for (int i = 0; i < 500; i++) {
		if (remove_all(below_too))
			return true;
		std::this_thread::sleep_for(std::chrono::milliseconds(10));
	}
	return false;
}

bool Kernel::reset()
{
	// Those below stay from one sequence to the next: to make them takes as long as a sequence.
	if (!clear(false))
		return false;
	for (const std::string_view name : kMapped)
		devices_.at(std::string(name)).name = std::string(kPrefix) + std::string(name);
	fill();
	(void)memory("on");
	(void)pressure("off");
	(void)threshold(kThreshold);
	for (std::uint64_t number = 1; number <= kCpus; number++)
		(void)cpu(number, "on");
	if (make_bad() != 0)
		return false;
	for (const Base &each : kBases) {
		const std::string name(each.name);

		if (!exists(name) &&
		    (create(name) != 0 || base(Operation("base " + name + " ok")) != 0))
			return false;
	}
	return true;
}

} // namespace dmsc
