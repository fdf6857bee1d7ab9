// SPDX-License-Identifier: GPL-2.0-only
#include "log.h"

#include "little_endian.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <stdexcept>

namespace dmsc
{

namespace
{

constexpr std::uint64_t kMagic = 0x6a736677736872;
constexpr std::uint64_t kVersion = 1;

// Bits of an entry's flags.
constexpr std::uint64_t kFlush = 1;
constexpr std::uint64_t kFua = 2;
constexpr std::uint64_t kDiscard = 4;
constexpr std::uint64_t kMark = 8;

constexpr std::uint64_t kMaxBlock = 65536;

} // namespace

std::vector<Entry> read_entries(const File &log)
{
	std::array<std::byte, 32> head{};

	log.read(0, head);
	if (load_little_endian(head, 0, 8) != kMagic || load_little_endian(head, 8, 8) != kVersion)
		throw std::runtime_error("this is no log of dm-log-writes");

	const std::uint64_t count = load_little_endian(head, 16, 8);
	const std::uint64_t block = load_little_endian(head, 24, 4);
	std::uint64_t position = block;
	std::uint64_t marks = 0;
	std::vector<Entry> entries;

	if (block < kSector || block > kMaxBlock)
		throw std::runtime_error("the log's sector size is impossible");
	for (std::uint64_t i = 0; i < count; i++) {
		Entry entry;

		log.read(position, head);
		// QEMU was killed before it wrote this one, which it counts already.
		if (std::ranges::all_of(head, [](std::byte byte) { return byte == std::byte{0}; }))
			break;
		const std::uint64_t flags = load_little_endian(head, 16, 8);

		entry.target = load_little_endian(head, 0, 8) * block;
		entry.bytes = load_little_endian(head, 8, 8) * block;
		entry.flush = (flags & kFlush) != 0;
		entry.fua = (flags & kFua) != 0;
		entry.discard = (flags & kDiscard) != 0;
		position += block;
		entry.data = position;
		if (!entry.discard)
			position += entry.bytes;
		entry.marks = marks;
		if ((flags & kMark) != 0)
			marks++;
		else
			entries.push_back(entry);
	}
	return entries;
}

std::vector<std::byte> data_of(const File &log, const Entry &entry)
{
	std::vector<std::byte> data(entry.bytes);

	if (!entry.discard)
		log.read(entry.data, data);
	return data;
}

void apply(const File &log, const Entry &entry, const File &device)
{
	if (entry.bytes > 0)
		device.write(entry.target, data_of(log, entry));
}

void apply_some(const File &log, const Entry &entry, const File &device,
		const std::vector<bool> &mask)
{
	const std::vector<std::byte> data = data_of(log, entry);

	for (std::size_t i = 0; i < mask.size(); i++)
		if (mask[i])
			device.write(entry.target + i * kSector,
				     std::span(data).subspan(i * kSector, kSector));
}

} // namespace dmsc
