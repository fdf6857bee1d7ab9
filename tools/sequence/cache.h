// SPDX-License-Identifier: GPL-2.0-only
// What is durable of a log, if each device below had a cache of its own.
#ifndef DMSC_SEQUENCE_CACHE_H
#define DMSC_SEQUENCE_CACHE_H

#include "../common/disk.h"
#include "../common/log.h"

#include <cstddef>
#include <random>
#include <vector>

namespace dmsc
{

// dm-log-writes has one pool below all devices, and does not know them; but dm-flakey sends a flush
// to the sector where the device begins, and that is in the log.
class Cache
{
public:
	// Both must live as long as this.
	Cache(const File &log, const std::vector<Entry> &entries);

	// Up to a moment, which is not before the last one.
	void advance(std::size_t moment);
	// A pool after a power cut at that moment or later, but before the next barrier has ended.
	struct Cut {
		Image pool;
		// At that moment already.
		bool at_once = false;
	};
	[[nodiscard]] Cut cut(std::mt19937_64 &random) const;

private:
	void write(const Entry &entry, const std::vector<bool> &sectors, Image &image) const;
	template <typename Which> void make_durable(const Which &which);

	const File &log_;
	const std::vector<Entry> &entries_;
	std::size_t moment_ = 0;
	Image durable_;
	// Entries that are not durable.
	std::vector<std::size_t> cached_;
};

} // namespace dmsc

#endif // DMSC_SEQUENCE_CACHE_H
