// SPDX-License-Identifier: GPL-2.0-only
#include "kernel.h"

#include "layout.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace dmsc
{

namespace
{

constexpr std::size_t kPage = 4096;
constexpr std::uint64_t kHeaderSectors = 8;
constexpr std::string_view kPrefix = "seq-";
constexpr std::string_view kBelowPrefix = "seq-below-";

struct FreeAligned {
	void operator()(std::byte *bytes) const { std::free(bytes); }
};
using Aligned = std::unique_ptr<std::byte, FreeAligned>;

Aligned make_aligned(std::size_t size)
{
	Aligned bytes(static_cast<std::byte *>(
		std::aligned_alloc(kPage, std::max(kPage, (size + kPage - 1) / kPage * kPage))));

	if (!bytes)
		throw std::bad_alloc();
	std::memset(bytes.get(), 0, size);
	return bytes;
}

std::uint64_t offset_of(const std::string &base)
{
	std::uint64_t offset = 0;

	for (const Base &each : kBases) {
		if (each.name == base)
			return offset;
		offset += (each.sectors + kHeaderSectors - 1) / kHeaderSectors * kHeaderSectors;
	}
	throw std::invalid_argument("no device " + base);
}

std::uint64_t sectors_of(const std::string &base)
{
	for (const Base &each : kBases)
		if (each.name == base)
			return each.sectors;
	throw std::invalid_argument("no device " + base);
}

int write_file(const std::string &path, const std::string &text)
{
	std::ofstream out(path);

	out << text << std::flush;
	return out ? 0 : EIO;
}

// Returns the bytes done, or an errno value below zero.
ssize_t transfer(int fd, bool is_write, std::byte *bytes, std::size_t size, std::uint64_t sector)
{
	const auto position = static_cast<off_t>(sector * kSectorBytes);
	const ssize_t done =
		is_write ? ::pwrite(fd, bytes, size, position) : ::pread(fd, bytes, size, position);

	return done < 0 ? -errno : done;
}

} // namespace

Kernel::Kernel(Subject subject, std::string pool) : subject_(subject), pool_(std::move(pool))
{
	struct stat info {
	};

	if (::stat(pool_.c_str(), &info) < 0 || !S_ISBLK(info.st_mode))
		throw std::runtime_error(pool_ + ": not a block device");
	pool_number_ = {major(info.st_rdev), minor(info.st_rdev)};
	for (const Base &base : kBases)
		devices_[std::string(base.name)].name =
			std::string(kBelowPrefix) + std::string(base.name);
	for (const std::string_view name : kMapped)
		devices_[std::string(name)].name = std::string(kPrefix) + std::string(name);
}

Kernel::~Kernel()
{
	release();
	(void)remove_all();
}

int Kernel::simple(unsigned long request, const std::string &name, std::uint32_t flags) const
{
	Buffer buffer = make_buffer(name, flags, 0);

	return control_.call(request, buffer);
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

std::string Kernel::type(const std::string &name) const
{
	const bool ours = subject_ == Subject::ours;

	if (name == "origin")
		return ours ? "origin-scaled" : "snapshot-origin";
	if (name == "snapshot")
		return ours ? "snapshot-scaled" : "snapshot";
	if (name == "merge")
		return ours ? "merge-scaled" : "snapshot-merge";
	return name;
}

// Devices by their numbers. The number of one that is gone may be another's now.
std::string Kernel::argument(const std::string &word) const
{
	const auto found = devices_.find(word);

	if (found == devices_.end())
		return word;
	if (simple(DM_DEV_STATUS, found->second.name, 0) != 0)
		return "0:0";
	return dmsc::to_string(found->second.number);
}

// From the kernel's names to ours.
ShownLine Kernel::translate(const Target &target) const
{
	ShownLine line{target.start, target.length, target.type, ""};

	for (const char *name : {"origin", "snapshot", "merge"})
		if (target.type == type(name))
			line.type = name;
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
	std::istringstream in(operation.rest(1));
	Table table;

	for (Target target; in >> target.start >> target.length >> target.type; target = {}) {
		target.type = type(target.type);
		for (std::string word; in >> word && word != ";";)
			target.params += (target.params.empty() ? "" : " ") + argument(word);
		table.targets.push_back(target);
	}
	return control_.load(devices_.at(operation.word(0)).name, table);
}

Table Kernel::below_table(const std::string &name, const std::string &what) const
{
	const std::string place =
		dmsc::to_string(pool_number_) + " " + std::to_string(offset_of(name));

	if (what == "error")
		return {{{0, sectors_of(name), "error", ""}}, false};
	if (what == "slow")
		return {{{0, sectors_of(name), "delay", place + " 20"}}, false};
	return {{{0, sectors_of(name), "linear", place}}, false};
}

int Kernel::base(const std::string &name, const std::string &what)
{
	const std::string &device = devices_.at(name).name;

	if (what == "suspend")
		return control_.suspend(device);
	if (what != "resume")
		if (const int error = control_.load(device, below_table(name, what)))
			return error;
	return control_.resume(device);
}

// Past the device, which may be one that is stacked, where its first sectors are.
int Kernel::wipe(const std::string &name) const
{
	const int fd = ::open(path(name).c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		return errno;

	constexpr std::size_t size = kHeaderSectors * kSectorBytes;
	const Aligned zeroes = make_aligned(size);
	const ssize_t done = transfer(fd, true, zeroes.get(), size, 0);

	::close(fd);
	return done == static_cast<ssize_t>(size) ? 0 : EIO;
}

int Kernel::cpu(std::uint64_t number, const std::string &what) const
{
	return write_file("/sys/devices/system/cpu/cpu" + std::to_string(number) + "/online",
			  what == "on" ? "1" : "0");
}

int Kernel::threshold(std::uint64_t value) const
{
	const std::string module = subject_ == Subject::ours ? "dm_scaled" : "dm_snapshot";

	return write_file("/sys/module/" + module + "/parameters/snapshot_cow_threshold",
			  std::to_string(value));
}

int Kernel::perform(const Operation &operation)
{
	const std::string &verb = operation.verb();
	const std::string name = operation.word(0);
	const std::string option = operation.word(1);

	if (verb == "base")
		return base(name, option);
	if (verb == "wipe")
		return wipe(name);
	if (verb == "cpu")
		return cpu(operation.number(0), option);
	if (verb == "memory")
		// Only a debug build of ours can run out of it.
		return write_file("/sys/kernel/debug/dm-scaled/no_memory",
				  name == "off" ? "Y" : "N"),
		       0;
	if (verb == "threshold")
		return threshold(operation.number(0));
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
	const int flags = operation.verb() == "read" ? O_RDONLY : O_RDWR;
	const int fd = ::open(path(operation.word(0)).c_str(), flags | O_DIRECT | O_CLOEXEC);

	threads_[number] = std::jthread(
		[this, number, operation, fd, tag] { do_io(number, operation, fd, tag); });
}

void Kernel::do_io(std::uint64_t number, const Operation &operation, int fd, Tag tag)
{
	const std::uint64_t sector = operation.number(1);
	const std::size_t size = operation.number(2) * kSectorBytes;
	const bool is_write = operation.verb() == "write";
	const Aligned bytes = make_aligned(size);
	Ended ended{number, fd < 0 ? EIO : 0, {}};

	for (std::size_t at = 0; is_write && at < size; at += kSectorBytes)
		fill_sector(std::span(bytes.get() + at, kSectorBytes).first<kSectorBytes>(), tag,
			    sector + at / kSectorBytes);
	if (fd >= 0 && operation.verb() == "flush") {
		ended.error = ::fsync(fd) < 0 ? errno : 0;
	} else if (fd >= 0) {
		const ssize_t done = transfer(fd, is_write, bytes.get(), size, sector);

		if (done != static_cast<ssize_t>(size))
			ended.error = done < 0 ? static_cast<int>(-done) : EIO;
	}
	if (operation.verb() == "read")
		ended.data.assign(bytes.get(), bytes.get() + size);
	if (fd >= 0)
		::close(fd);

	const std::lock_guard lock(mutex_);

	done_.push_back(std::move(ended));
	ended_.notify_one();
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

ShownLines Kernel::show(const std::string &device, bool inactive, bool table) const
{
	const Shown shown = control_.show(devices_.at(device).name,
					  (inactive ? DM_QUERY_INACTIVE_TABLE_FLAG : 0U) |
						  (table ? DM_STATUS_TABLE_FLAG : 0U));
	ShownLines lines;

	for (const Target &target : shown.targets)
		lines.push_back(translate(target));
	return lines;
}

bool Kernel::vanishes(const std::string &device) const
{
	for (int i = 0; i < 500; i++) {
		if (simple(DM_DEV_STATUS, devices_.at(device).name, 0) == ENXIO)
			return true;
		std::this_thread::sleep_for(std::chrono::milliseconds(10));
	}
	return false;
}

// False if one is left.
bool Kernel::remove_all()
{
	bool all = true;
	const auto remove = [&](const std::string_view device) {
		const int error = simple(DM_DEV_REMOVE, devices_.at(std::string(device)).name, 0);

		all = all && (error == 0 || error == ENXIO);
	};

	for (const std::string_view each : kMappedFromAbove)
		remove(each);
	for (const Base &base : kBases)
		remove(base.name);
	return all;
}

// What was left behind: nothing is held up any more, and all that is in flight ends.
void Kernel::release()
{
	const Table nothing{{{0, kVolume, "error", ""}}, false};

	for (const Base &each : kBases)
		if (simple(DM_DEV_STATUS, devices_.at(std::string(each.name)).name, 0) == 0)
			(void)base(std::string(each.name), "ok");
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
	const int fd = ::open(pool_.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
	Tag tag = 10;

	if (fd < 0)
		throw std::system_error(errno, std::generic_category(), pool_);
	for (const Base &base : kBases) {
		const std::uint64_t sectors = base.for_cow ? kHeaderSectors : base.sectors;
		const std::size_t size = sectors * kSectorBytes;
		const Aligned bytes = make_aligned(size);

		for (std::uint64_t i = 0; i < sectors && !base.for_cow; i++)
			fill_sector(std::span(bytes.get() + i * kSectorBytes, kSectorBytes)
					    .first<kSectorBytes>(),
				    tag, i);
		if (transfer(fd, true, bytes.get(), size, offset_of(std::string(base.name))) !=
		    static_cast<ssize_t>(size))
			throw std::runtime_error(pool_ + ": cannot be written, or is too small");
		tag++;
	}
	::close(fd);
}

bool Kernel::reset()
{
	release();
	if (!threads_.empty())
		return false;
	// One that has just vanished may keep those below it open for a moment.
	for (int i = 0; i < 500 && !remove_all(); i++)
		std::this_thread::sleep_for(std::chrono::milliseconds(10));
	for (const std::string_view name : kMapped)
		devices_.at(std::string(name)).name = std::string(kPrefix) + std::string(name);
	fill();
	for (const Base &each : kBases) {
		const std::string name(each.name);

		if (create(name) != 0 || base(name, "ok") != 0)
			return false;
	}
	return true;
}

} // namespace dmsc
