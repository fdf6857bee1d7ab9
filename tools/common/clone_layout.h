// SPDX-License-Identifier: GPL-2.0-only
// What is on the metadata device of a clone, byte by byte: docs/clone-format.md.
#ifndef DMSC_COMMON_CLONE_LAYOUT_H
#define DMSC_COMMON_CLONE_LAYOUT_H

#include "sector.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dmsc
{

constexpr std::size_t kCloneBlock = 4096;
constexpr std::uint64_t kCloneBlockSectors = kCloneBlock / kSector;
// Copies of the superblock, a block each; the bitmap follows.
constexpr std::size_t kCloneSupers = 2;
constexpr std::uint64_t kCloneBitmap = kCloneSupers * kCloneBlockSectors; // its first sector
// Regions that a sector of the bitmap tells of.
constexpr std::uint64_t kCloneSectorRegions = 4032;
constexpr std::uint64_t kCloneMaxRegions = 1ULL << 31;

// Where these things are in a superblock, in a sector of the bitmap, in dm-clone's superblock.
constexpr std::size_t kCloneMagicAt = 8;
constexpr std::size_t kCloneIndexAt = 4;
constexpr std::size_t kCloneBitsAt = 8;
constexpr std::size_t kStockMagicAt = 32;
constexpr std::uint64_t kStockMagic = 0x8af27f64;

using CloneUuid = std::array<std::byte, 16>;

// What a clone is, whoever's format tells of it.
struct CloneGeometry {
	std::uint64_t region_size = 0; // sectors
	std::uint64_t target_size = 0; // sectors

	[[nodiscard]] std::uint64_t regions() const
	{
		return target_size / region_size + (target_size % region_size != 0 ? 1 : 0);
	}
	// Of the bitmap.
	[[nodiscard]] std::uint64_t sectors() const
	{
		return (regions() + kCloneSectorRegions - 1) / kCloneSectorRegions;
	}
	// Of the metadata device, at least.
	[[nodiscard]] std::uint64_t needed() const
	{
		const std::uint64_t blocks =
			(sectors() + kCloneBlockSectors - 1) / kCloneBlockSectors;

		return (kCloneSupers + blocks) * kCloneBlockSectors;
	}
	void check() const; // throws if there is no such clone

	friend bool operator==(const CloneGeometry &, const CloneGeometry &) = default;
};

// A bit for each region; true: in the destination.
using RegionBits = std::vector<bool>;

struct CloneSuper {
	std::uint64_t version = 1;
	CloneUuid uuid{};
	std::uint64_t generation = 1;
	CloneGeometry geometry;
	std::uint64_t regions = 0;
	std::uint64_t bitmap = kCloneBitmap;
	std::uint64_t bitmap_sectors = 0;
	std::uint64_t flags = 0;

	[[nodiscard]] bool is_known() const { return version == 1 && flags == 0; }
	// Whether all that follows from the geometry does; it must be possible.
	[[nodiscard]] bool is_consistent() const;

	friend bool operator==(const CloneSuper &, const CloneSuper &) = default;
};

// As it should be.
CloneSuper make_clone_super(const CloneGeometry &geometry, const CloneUuid &uuid,
			    std::uint64_t generation);

// What is where a superblock should be. A valid one has a right checksum, a damaged one has not.
enum class CloneSuperState { zero, valid, damaged, stock, foreign };

CloneSuperState look_at_clone_super(std::span<const std::byte> block);
CloneSuper load_clone_super(std::span<const std::byte> block);
// A superblock whose state is "stock"; not a valid one of dm-clone's.
void mark_as_stock(std::span<std::byte> block);
// With its checksum; the rest of the block is zero.
void store_clone_super(std::span<std::byte> block, const CloneSuper &super);

// A sector of the bitmap as it should be, with the bits of its regions.
std::vector<std::byte> make_clone_sector(const CloneUuid &uuid, std::uint64_t index,
					 const RegionBits &bits);
// Makes the checksum right.
void seal_clone_sector(std::span<std::byte> sector, const CloneUuid &uuid);
// Whether it is one of this format, in this place, and tells only of regions that exist.
bool is_clone_sector(std::span<const std::byte> sector, const CloneUuid &uuid, std::uint64_t index,
		     std::uint64_t regions);
// The bit of the sector's region with that number.
bool clone_sector_bit(std::span<const std::byte> sector, std::uint64_t number);

} // namespace dmsc

#endif // DMSC_COMMON_CLONE_LAYOUT_H
