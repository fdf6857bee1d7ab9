// SPDX-License-Identifier: GPL-2.0-only
#include "metadata.h"

#include "../common/crc32c.h"
#include "../common/little_endian.h"
#include "../common/sector.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace dmsc
{

namespace
{

constexpr std::string_view kMagic = "dm-clone-scaled\n";
constexpr std::uint64_t kVersion = 1;

// Positions in a superblock.
constexpr std::size_t kVersionAt = 4;
constexpr std::size_t kMagicAt = 8;
constexpr std::size_t kUuidAt = 24;
constexpr std::size_t kGenerationAt = 40;
constexpr std::size_t kRegionSizeAt = 48;
constexpr std::size_t kTargetSizeAt = 56;
constexpr std::size_t kRegionsAt = 64;
constexpr std::size_t kBitmapAt = 72;
constexpr std::size_t kBitmapSectorsAt = 80;
constexpr std::size_t kFlagsAt = 88;

// In a sector of the bitmap.
constexpr std::size_t kIndexAt = 4;
constexpr std::size_t kBitsAt = 8;

constexpr std::uint64_t kBitmapStart = CloneMetadata::kSupers * CloneMetadata::kBlock / kSector;
constexpr std::uint64_t kMaxRegions = 1ULL << 31;

bool is_zero(std::span<const std::byte> bytes)
{
	return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

} // namespace

void CloneGeometry::check() const
{
	if (!std::has_single_bit(region_size) || region_size < 8 || region_size > 2097152)
		throw std::runtime_error("regions of " + std::to_string(region_size) +
					 " sectors: must be a power of 2 from 8 to 2097152");
	if (target_size == 0 || regions() > kMaxRegions)
		throw std::runtime_error("a clone of " + std::to_string(target_size) +
					 " sectors: must have from 1 to 2^31 regions");
}

CloneMetadata::CloneMetadata(const CloneGeometry &geometry, RegionBits bits)
	: geometry_(geometry), bits_(std::move(bits)), generation_(1)
{
	std::random_device random;

	geometry_.check();
	bits_.resize(geometry_.regions());
	for (auto &byte : uuid_)
		byte = static_cast<std::byte>(random() & 0xff);
	uuid_[6] = (uuid_[6] & std::byte{0x0f}) | std::byte{0x40};
	uuid_[8] = (uuid_[8] & std::byte{0x3f}) | std::byte{0x80};
}

void CloneMetadata::read_super(std::span<const std::byte> block, std::size_t copy)
{
	const auto name = "superblock " + std::to_string(copy);
	const auto super = block.first(kSector);
	const auto field = [super](std::size_t at) { return load_little_endian(super, at, 8); };

	if (std::memcmp(super.data() + kMagicAt, kMagic.data(), kMagic.size()) != 0) {
		faults_.push_back(name + (is_zero(block) ? " is missing" : " is something else"));
		return;
	}
	if (load_little_endian(super, 0, 4) != (~crc32c(~0U, super.subspan(4)) & 0xffffffff)) {
		faults_.push_back(name + " has a wrong checksum");
		return;
	}
	if (load_little_endian(super, kVersionAt, 4) != kVersion || field(kFlagsAt) != 0)
		throw std::runtime_error(name + " is of a newer version");
	if (generation_ >= field(kGenerationAt) && generation_ != 0)
		return;

	geometry_ = {.region_size = field(kRegionSizeAt), .target_size = field(kTargetSizeAt)};
	geometry_.check();
	if (field(kRegionsAt) != geometry_.regions() || field(kBitmapAt) != kBitmapStart ||
	    field(kBitmapSectorsAt) != sectors())
		throw std::runtime_error(name + " contradicts itself");
	std::ranges::copy(super.subspan(kUuidAt, uuid_.size()), uuid_.begin());
	generation_ = field(kGenerationAt);
}

std::uint32_t CloneMetadata::sector_csum(std::span<const std::byte> sector) const
{
	return ~crc32c(crc32c(~0U, uuid_), sector.subspan(kIndexAt));
}

void CloneMetadata::read_sector(std::span<const std::byte> sector, std::uint64_t index)
{
	const auto first = index * kSectorRegions;
	const auto end = std::min(first + kSectorRegions, geometry_.regions());
	const auto bit = [sector](std::uint64_t i) {
		return (sector[kBitsAt + i / 8] >> (i % 8) & std::byte{1}) != std::byte{0};
	};
	bool valid = load_little_endian(sector, 0, 4) == sector_csum(sector) &&
		     load_little_endian(sector, kIndexAt, 4) == index;

	for (auto i = end - first; i < kSectorRegions; i++)
		valid = valid && !bit(i);
	if (!valid) {
		faults_.push_back("sector " + std::to_string(index) +
				  " of the bitmap is damaged: regions " + std::to_string(first) +
				  " to " + std::to_string(end - 1));
		damaged_.push_back(index);
		return;
	}
	for (auto region = first; region < end; region++)
		bits_[region] = bit(region - first);
}

CloneMetadata CloneMetadata::read(const File &device)
{
	CloneMetadata metadata;
	std::vector<std::byte> block(kBlock);

	for (std::size_t copy = 0; copy < kSupers; copy++) {
		device.read(copy * kBlock, block);
		metadata.read_super(block, copy);
	}
	if (metadata.generation_ == 0)
		throw std::runtime_error("no metadata of a clone: " + metadata.faults_.front());

	metadata.bits_.resize(metadata.geometry_.regions());
	for (std::uint64_t index = 0; index < metadata.sectors(); index++) {
		const auto position = index % 8 * kSector;

		if (position == 0)
			device.read((kSupers + index / 8) * kBlock, block);
		metadata.read_sector(std::span(block).subspan(position, kSector), index);
	}
	return metadata;
}

std::vector<std::byte> CloneMetadata::super() const
{
	std::vector<std::byte> block(kBlock);
	const auto super = std::span(block).first(kSector);
	const auto put = [super](std::size_t at, std::uint64_t value) {
		store_little_endian(super, at, 8, value);
	};

	store_little_endian(super, kVersionAt, 4, kVersion);
	std::memcpy(super.data() + kMagicAt, kMagic.data(), kMagic.size());
	std::ranges::copy(uuid_, super.begin() + kUuidAt);
	put(kGenerationAt, generation_);
	put(kRegionSizeAt, geometry_.region_size);
	put(kTargetSizeAt, geometry_.target_size);
	put(kRegionsAt, geometry_.regions());
	put(kBitmapAt, kBitmapStart);
	put(kBitmapSectorsAt, sectors());
	store_little_endian(super, 0, 4, ~crc32c(~0U, super.subspan(4)));
	return block;
}

std::vector<std::byte> CloneMetadata::sector(std::uint64_t index) const
{
	std::vector<std::byte> sector(kSector);
	const auto first = index * kSectorRegions;
	const auto end = std::min(first + kSectorRegions, geometry_.regions());

	store_little_endian(sector, kIndexAt, 4, index);
	for (auto region = first; region < end; region++)
		if (bits_[region])
			sector[kBitsAt + (region - first) / 8] |= std::byte{1}
								  << ((region - first) % 8);
	store_little_endian(sector, 0, 4, sector_csum(sector));
	return sector;
}

// The superblocks come last: half of it is nothing.
void CloneMetadata::write(const File &device) const
{
	for (std::uint64_t index = 0; index < (sectors() + 7) / 8 * 8; index++)
		device.write(kSupers * kBlock + index * kSector,
			     index < sectors() ? sector(index) : std::vector<std::byte>(kSector));
	device.sync();
	for (std::size_t copy = kSupers; copy-- > 0;) {
		device.write(copy * kBlock, super());
		device.sync();
	}
}

void CloneMetadata::assume(bool hydrated)
{
	for (const auto index : damaged_) {
		const auto first = index * kSectorRegions;
		const auto end = std::min(first + kSectorRegions, geometry_.regions());

		for (auto region = first; region < end; region++)
			bits_[region] = hydrated;
	}
	damaged_.clear();
	faults_.clear();
	generation_++;
}

std::string CloneMetadata::uuid() const
{
	constexpr std::string_view digits = "0123456789abcdef";
	std::string text;

	for (std::size_t i = 0; i < uuid_.size(); i++) {
		const auto byte = std::to_integer<unsigned>(uuid_.at(i));

		if (i == 4 || i == 6 || i == 8 || i == 10)
			text += '-';
		text += digits[byte >> 4];
		text += digits[byte & 15];
	}
	return text;
}

std::uint64_t CloneMetadata::hydrated() const
{
	return static_cast<std::uint64_t>(std::ranges::count(bits_, true));
}

} // namespace dmsc
