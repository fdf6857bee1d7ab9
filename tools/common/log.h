// SPDX-License-Identifier: GPL-2.0-only
// A log that the kernel's dm-log-writes has made: all writes to a device, in an order in which a
// disk with a volatile cache may have made them durable.
#ifndef DMSC_COMMON_LOG_H
#define DMSC_COMMON_LOG_H

#include "file.h"
#include "sector.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dmsc
{

struct Entry {
	// Where it goes, and where its data is in the log, in bytes.
	std::uint64_t target = 0;
	std::uint64_t bytes = 0;
	std::uint64_t data = 0;
	// So many marks are in the log before it.
	std::uint64_t marks = 0;
	bool flush = false;
	bool fua = false;
	bool discard = false;

	// All that was written before is durable when this is.
	[[nodiscard]] bool barrier() const { return flush || fua; }
};

// Reads the whole list, but for marks; throws std::runtime_error if it is none.
std::vector<Entry> read_entries(const File &log);

// What an entry has written; zeroes if it has discarded something.
std::vector<std::byte> data_of(const File &log, const Entry &entry);

// Copies an entry's data to the device; what was discarded becomes zeroes.
void apply(const File &log, const Entry &entry, const File &device);
// Only those of its sectors for which the mask is true.
void apply_some(const File &log, const Entry &entry, const File &device,
		const std::vector<bool> &mask);

} // namespace dmsc

#endif // DMSC_COMMON_LOG_H
