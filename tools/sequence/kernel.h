// SPDX-License-Identifier: GPL-2.0-only
// The kernel under test: does what operations say, and tells what devices show.
#ifndef DMSC_SEQUENCE_KERNEL_H
#define DMSC_SEQUENCE_KERNEL_H

#include "../common/control.h"
#include "../common/device_number.h"
#include "../common/disk.h"
#include "model.h"
#include "operation.h"
#include "pressure.h"
#include "subject.h"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace dmsc
{

// An I/O that has ended.
struct Ended {
	std::uint64_t number = 0;
	int error = 0;
	// What was read.
	Image data;
};

// All functions that return an int return 0 or an errno value.
class Kernel
{
public:
	// The pool is a device of which the devices below are made; what it holds is lost. If it is
	// logged, what has been written when a write with FUA is submitted is in the log before it.
	Kernel(Subject subject, std::string pool, bool logged);
	~Kernel();
	Kernel(const Kernel &) = delete;
	Kernel &operator=(const Kernel &) = delete;
	[[nodiscard]] Subject subject() const { return subject_; }

	// All devices are as at the begin of a sequence, whatever became of the one before. Returns
	// false if some cannot be removed, or I/O does not end.
	bool reset();
	// No devices are left, but perhaps those below; false if some cannot be removed.
	bool clear(bool below_too = true);

	int perform(const Operation &operation);
	// Begins an I/O; a write writes the tag.
	void submit(std::uint64_t number, const Operation &operation, Tag tag);
	// What has ended since the last call; waits for a first one for so long.
	std::vector<Ended> reap(unsigned int milliseconds);

	// A clone commits before it shows its status, unless it is told not to.
	[[nodiscard]] ShownLines show(const std::string &device, bool inactive, bool table,
				      bool commit) const;
	[[nodiscard]] bool is_read_only(const std::string &device, bool inactive) const;
	// Whether a device that is to vanish by itself has done so, and uses no others any more.
	[[nodiscard]] bool vanishes(const std::string &device);

private:
	struct Named {
		std::string name;
		DeviceNumber number;
	};

	int create(const std::string &device);
	int load(const Operation &operation);
	int base(const Operation &operation);
	int make_bad();
	[[nodiscard]] int wipe(const std::string &name) const;
	void order_log() const;
	[[nodiscard]] int cpu(std::uint64_t number, const std::string &what) const;
	static int memory(const std::string &what);
	int pressure(const std::string &what);
	[[nodiscard]] int threshold(std::uint64_t value) const;
	[[nodiscard]] bool exists(const std::string &device) const;
	[[nodiscard]] bool is_suspended(const std::string &name) const;
	[[nodiscard]] int simple(unsigned long request, const std::string &name,
				 std::uint32_t flags) const;
	[[nodiscard]] Table below_table(const Operation &base) const;
	[[nodiscard]] std::string argument(const std::string &word) const;
	[[nodiscard]] ShownLine translate(const Target &target) const;
	[[nodiscard]] std::string path(const std::string &device) const;
	bool remove_all(bool below_too);
	void release();
	void fill() const;
	static void do_io(const Disk &disk, const Operation &operation, Tag tag, Ended &ended);

	Control control_;
	Subject subject_;
	std::string pool_;
	bool logged_;
	DeviceNumber pool_number_;
	// Of a device all of whose sectors are bad.
	DeviceNumber bad_;
	std::map<std::string, Named> devices_;
	// Devices below that may not be as they were at first.
	std::set<std::string> disturbed_;

	Pressure pressure_;

	std::mutex mutex_;
	std::condition_variable ended_;
	std::vector<Ended> done_;
	std::map<std::uint64_t, std::jthread> threads_;
};

} // namespace dmsc

#endif // DMSC_SEQUENCE_KERNEL_H
