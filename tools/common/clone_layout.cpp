// SPDX-License-Identifier: GPL-2.0-only
#include "clone_layout.h"

#include "crc32c.h"
#include "little_endian.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

namespace dmsc
{

namespace
{

constexpr std::string_view kMagic = "dm-clone-scaled\n";
constexpr std::uint64_t kMinRegion = 8;
constexpr std::uint64_t kMaxRegion = 2097152;

// Positions in a superblock.
constexpr std::size_t kVersionAt = 4;
constexpr std::size_t kUuidAt = 24;
constexpr std::size_t kGenerationAt = 40;
constexpr std::size_t kRegionSizeAt = 48;
constexpr std::size_t kTargetSizeAt = 56;
constexpr std::size_t kRegionsAt = 64;
constexpr std::size_t kBitmapAt = 72;
constexpr std::size_t kBitmapSectorsAt = 80;
constexpr std::size_t kFlagsAt = 88;

std::uint32_t super_csum(std::span<const std::byte> super)
{
	return ~crc32c(~0U, super.subspan(kVersionAt));
}

std::uint32_t sector_csum(std::span<const std::byte> sector, const CloneUuid &uuid)
{
	return ~crc32c(crc32c(~0U, uuid), sector.subspan(kCloneIndexAt));
}

} // namespace

void CloneGeometry::check() const
{
	if (!std::has_single_bit(region_size) || region_size < kMinRegion ||
	    region_size > kMaxRegion)
		throw std::runtime_error("regions of " + std::to_string(region_size) +
					 " sectors: must be a power of 2 from 8 to 2097152");
	if (target_size == 0 || regions() > kCloneMaxRegions)
		throw std::runtime_error("a clone of " + std::to_string(target_size) +
					 " sectors: must have from 1 to 2^31 regions");
}

CloneSuper make_clone_super(const CloneGeometry &geometry, const CloneUuid &uuid,
			    std::uint64_t generation)
{
	CloneSuper super;

	super.uuid = uuid;
	super.generation = generation;
	super.geometry = geometry;
	super.regions = geometry.regions();
	super.bitmap_sectors = geometry.sectors();
	return super;
}

bool CloneSuper::is_consistent() const
{
	return regions == geometry.regions() && bitmap == kCloneBitmap &&
	       bitmap_sectors == geometry.sectors();
}

CloneSuperState look_at_clone_super(std::span<const std::byte> block)
{
	const auto super = block.first(kSector);

	if (std::ranges::all_of(block, [](std::byte byte) { return byte == std::byte{0}; }))
		return CloneSuperState::zero;
	if (std::memcmp(super.data() + kCloneMagicAt, kMagic.data(), kMagic.size()) == 0)
		return load_little_endian(super, 0, 4) == super_csum(super)
			       ? CloneSuperState::valid
			       : CloneSuperState::damaged;
	return load_little_endian(super, kStockMagicAt, 8) == kStockMagic
		       ? CloneSuperState::stock
		       : CloneSuperState::foreign;
}

void mark_as_stock(std::span<std::byte> block)
{
	store_little_endian(block, kStockMagicAt, 8, kStockMagic);
}

CloneSuper load_clone_super(std::span<const std::byte> block)
{
	const auto field = [block](std::size_t at) { return load_little_endian(block, at, 8); };
	CloneSuper super;

	super.version = load_little_endian(block, kVersionAt, 4);
	std::ranges::copy(block.subspan(kUuidAt, super.uuid.size()), super.uuid.begin());
	super.generation = field(kGenerationAt);
	super.geometry = {.region_size = field(kRegionSizeAt), .target_size = field(kTargetSizeAt)};
	super.regions = field(kRegionsAt);
	super.bitmap = field(kBitmapAt);
	super.bitmap_sectors = field(kBitmapSectorsAt);
	super.flags = field(kFlagsAt);
	return super;
}

void store_clone_super(std::span<std::byte> block, const CloneSuper &super)
{
	const auto sector = block.first(kSector);
	const auto put = [block](std::size_t at, std::uint64_t value) {
		store_little_endian(block, at, 8, value);
	};

	std::ranges::fill(block, std::byte{0});
	store_little_endian(block, kVersionAt, 4, super.version);
	std::memcpy(block.data() + kCloneMagicAt, kMagic.data(), kMagic.size());
	std::ranges::copy(super.uuid, block.begin() + kUuidAt);
	put(kGenerationAt, super.generation);
	put(kRegionSizeAt, super.geometry.region_size);
	put(kTargetSizeAt, super.geometry.target_size);
	put(kRegionsAt, super.regions);
	put(kBitmapAt, super.bitmap);
	put(kBitmapSectorsAt, super.bitmap_sectors);
	put(kFlagsAt, super.flags);
	store_little_endian(block, 0, 4, super_csum(sector));
}

std::vector<std::byte> make_clone_sector(const CloneUuid &uuid, std::uint64_t index,
					 const RegionBits &bits)
{
	const auto first = index * kCloneSectorRegions;
	const auto end = std::min<std::uint64_t>(first + kCloneSectorRegions, bits.size());
	std::vector<std::byte> sector(kSector);

	store_little_endian(sector, kCloneIndexAt, 4, index);
	for (auto region = first; region < end; region++)
		if (bits[region])
			sector[kCloneBitsAt + (region - first) / 8] |= std::byte{1}
								       << ((region - first) % 8);
	seal_clone_sector(sector, uuid);
	return sector;
}

void seal_clone_sector(std::span<std::byte> sector, const CloneUuid &uuid)
{
	store_little_endian(sector, 0, 4, sector_csum(sector, uuid));
}

bool is_clone_sector(std::span<const std::byte> sector, const CloneUuid &uuid, std::uint64_t index,
		     std::uint64_t regions)
{
	const auto count = std::min(regions - index * kCloneSectorRegions, kCloneSectorRegions);

	if (load_little_endian(sector, 0, 4) != sector_csum(sector, uuid) ||
	    load_little_endian(sector, kCloneIndexAt, 4) != index)
		return false;
	for (auto number = count; number < kCloneSectorRegions; number++)
		if (clone_sector_bit(sector, number))
			return false;
	return true;
}

bool clone_sector_bit(std::span<const std::byte> sector, std::uint64_t number)
{
	return (sector[kCloneBitsAt + number / 8] >> (number % 8) & std::byte{1}) != std::byte{0};
}

} // namespace dmsc
