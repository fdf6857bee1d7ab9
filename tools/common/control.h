// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_COMMON_CONTROL_H
#define DMSC_COMMON_CONTROL_H

#include "device_number.h"
#include "table.h"

#include <cstddef>
#include <string>
#include <vector>

#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>

namespace dmsc
{

// What an ioctl gets and returns: struct dm_ioctl and what follows it.
using Buffer = std::vector<std::byte>;

// Without a name the caller sets it, and the flags.
Buffer make_buffer(const std::string &name, std::uint32_t flags, std::size_t size);
dm_ioctl &header(Buffer &buffer);
// A table to be loaded.
Buffer make_load(const std::string &name, const Table &table);

// What a device shows: its targets, and whether the buffer was too small for them.
struct Shown {
	int error = 0;
	bool full = false;
	std::vector<Target> targets;
};

// Device-mapper's control device. Functions return 0 or an errno value.
class Control
{
public:
	Control();
	~Control();
	Control(const Control &) = delete;
	Control &operator=(const Control &) = delete;

	// As the ioctl's number says, with the buffer as it is.
	[[nodiscard]] int call(unsigned long request, Buffer &buffer) const;

	[[nodiscard]] int create(const std::string &name, DeviceNumber &number) const;
	// Also if somebody has it open for a moment.
	[[nodiscard]] int remove(const std::string &name) const;
	[[nodiscard]] int load(const std::string &name, const Table &table) const;
	[[nodiscard]] int clear(const std::string &name) const;
	[[nodiscard]] int suspend(const std::string &name) const;
	[[nodiscard]] int resume(const std::string &name) const;
	[[nodiscard]] int rename(const std::string &from, const std::string &to) const;
	[[nodiscard]] int message(const std::string &name, std::uint64_t sector,
				  const std::string &text) const;
	// Flags: DM_STATUS_TABLE_FLAG, DM_QUERY_INACTIVE_TABLE_FLAG. Throws if the kernel wrote
	// behind the buffer.
	[[nodiscard]] Shown show(const std::string &name, std::uint32_t flags,
				 std::size_t size = 16384) const;

private:
	[[nodiscard]] int simple(unsigned long request, const std::string &name,
				 std::uint32_t flags) const;

	int fd_;
};

} // namespace dmsc

#endif // DMSC_COMMON_CONTROL_H
