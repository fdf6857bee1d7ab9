// SPDX-License-Identifier: GPL-2.0-only
#include "clone_metadata.h"

#include <algorithm>
#include <optional>
#include <random>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace dmsc
{

namespace
{

// What is wrong with a superblock.
std::string_view fault_of(CloneSuperState state)
{
	switch (state) {
	case CloneSuperState::zero:
		return " is missing";
	case CloneSuperState::damaged:
		return " has a wrong checksum";
	case CloneSuperState::stock:
		return " is one of dm-clone's";
	default:
		return " is something else";
	}
}

CloneUuid random_uuid()
{
	std::random_device random;
	CloneUuid uuid;

	for (auto &byte : uuid)
		byte = static_cast<std::byte>(random() & 0xff);
	uuid[6] = (uuid[6] & std::byte{0x0f}) | std::byte{0x40};
	uuid[8] = (uuid[8] & std::byte{0x3f}) | std::byte{0x80};
	return uuid;
}

// Of the regions that a sector of the bitmap tells of: the first, and the one behind the last.
std::pair<std::uint64_t, std::uint64_t> regions_of(std::uint64_t index, std::uint64_t regions)
{
	const auto first = index * kCloneSectorRegions;

	return {first, std::min(first + kCloneSectorRegions, regions)};
}

} // namespace

CloneMetadata::CloneMetadata(const CloneGeometry &geometry, RegionBits bits)
	: bits_(std::move(bits))
{
	geometry.check();
	super_ = make_clone_super(geometry, random_uuid(), 1);
	bits_.resize(geometry.regions());
}

// The valid one with the largest generation counts, of equal ones the first.
void CloneMetadata::read_supers(const Reader &reader)
{
	std::vector<std::byte> block(kCloneBlock);
	std::optional<CloneSuper> best;
	std::string best_name;

	for (std::size_t copy = 0; copy < kCloneSupers; copy++) {
		const auto name = "superblock " + std::to_string(copy);

		reader(copy * kCloneBlock, block);

		const auto state = look_at_clone_super(block);
		const auto super = load_clone_super(block);

		if (state != CloneSuperState::valid) {
			faults_.push_back(name + std::string(fault_of(state)));
		} else if (!best || super.generation > best->generation) {
			best = super;
			best_name = name;
		}
	}
	if (!best)
		throw std::runtime_error("no metadata of a clone: " + faults_.front());
	if (!best->is_known())
		throw std::runtime_error(best_name + " is of a newer version");
	best->geometry.check();
	if (!best->is_consistent())
		throw std::runtime_error(best_name + " contradicts itself");
	super_ = *best;
}

void CloneMetadata::read_sector(std::span<const std::byte> sector, std::uint64_t index)
{
	const auto [first, end] = regions_of(index, bits_.size());

	if (!is_clone_sector(sector, super_.uuid, index, bits_.size())) {
		faults_.push_back("sector " + std::to_string(index) +
				  " of the bitmap is damaged: regions " + std::to_string(first) +
				  " to " + std::to_string(end - 1));
		damaged_.push_back(index);
		return;
	}
	for (auto region = first; region < end; region++)
		bits_[region] = clone_sector_bit(sector, region - first);
}

CloneMetadata CloneMetadata::read(const Reader &reader)
{
	CloneMetadata metadata;
	std::vector<std::byte> block(kCloneBlock);

	metadata.read_supers(reader);
	metadata.bits_.resize(metadata.geometry().regions());
	for (std::uint64_t index = 0; index < metadata.geometry().sectors(); index++) {
		const auto position = index % kCloneBlockSectors * kSector;

		if (position == 0)
			reader((kCloneBitmap + index) * kSector, block);
		metadata.read_sector(std::span(block).subspan(position, kSector), index);
	}
	return metadata;
}

CloneMetadata CloneMetadata::read(const File &device)
{
	return read([&device](std::uint64_t position, std::span<std::byte> out) {
		device.read(position, out);
	});
}

// The superblocks come last: half of it is nothing.
void CloneMetadata::write(const File &device) const
{
	const auto sectors = geometry().sectors();
	std::vector<std::byte> block(kCloneBlock);

	for (std::uint64_t index = 0; index < geometry().needed() - kCloneBitmap; index++)
		device.write((kCloneBitmap + index) * kSector,
			     index < sectors ? make_clone_sector(super_.uuid, index, bits_)
					     : std::vector<std::byte>(kSector));
	device.sync();
	store_clone_super(block, super_);
	for (std::size_t copy = kCloneSupers; copy-- > 0;) {
		device.write(copy * kCloneBlock, block);
		device.sync();
	}
}

// A device that was zeroed must not begin a new clone halfway, nor one with another clone's
// superblock go on as that one. dm-clone refuses the superblock, too, for its checksum.
void CloneMetadata::create(const File &device) const
{
	std::vector<std::byte> block(kCloneBlock);

	mark_as_stock(block);
	for (std::size_t copy = 0; copy < kCloneSupers; copy++)
		device.write(copy * kCloneBlock, block);
	device.sync();
	write(device);
}

void CloneMetadata::assume(bool hydrated)
{
	for (const auto index : damaged_) {
		const auto [first, end] = regions_of(index, bits_.size());

		for (auto region = first; region < end; region++)
			bits_[region] = hydrated;
	}
	damaged_.clear();
	faults_.clear();
	super_.generation++;
}

std::string CloneMetadata::uuid() const
{
	constexpr std::string_view digits = "0123456789abcdef";
	std::string text;

	for (std::size_t i = 0; i < super_.uuid.size(); i++) {
		const auto byte = std::to_integer<unsigned>(super_.uuid.at(i));

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
