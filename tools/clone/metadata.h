// SPDX-License-Identifier: GPL-2.0-only
// The metadata device of a clone: docs/clone-format.md.
#ifndef DMSC_CLONE_METADATA_H
#define DMSC_CLONE_METADATA_H

#include "../common/file.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dmsc
{

// What a clone is, whoever's format tells of it.
struct CloneGeometry {
	std::uint64_t region_size = 0; // sectors
	std::uint64_t target_size = 0; // sectors

	[[nodiscard]] std::uint64_t regions() const
	{
		return (target_size + region_size - 1) / region_size;
	}
	void check() const; // throws if there is no such clone
};

// A bit for each region; true: in the destination.
using RegionBits = std::vector<bool>;

class CloneMetadata
{
public:
	static constexpr std::size_t kBlock = 4096;
	static constexpr std::size_t kSupers = 2;
	static constexpr std::size_t kSectorRegions = 4032;

	// What is wrong with a device, in words; empty if nothing is.
	using Faults = std::vector<std::string>;

	// Reads a device. Throws if neither superblock is valid; all else that is wrong is kept.
	static CloneMetadata read(const File &device);
	// Makes metadata of a new format.
	CloneMetadata(const CloneGeometry &geometry, RegionBits bits);

	void write(const File &device) const;
	// Decides for the sectors that could not be read.
	void assume(bool hydrated);

	[[nodiscard]] const CloneGeometry &geometry() const { return geometry_; }
	[[nodiscard]] const RegionBits &bits() const { return bits_; }
	[[nodiscard]] const Faults &faults() const { return faults_; }
	// Sectors of the bitmap that are damaged.
	[[nodiscard]] const std::vector<std::uint64_t> &damaged() const { return damaged_; }
	[[nodiscard]] std::string uuid() const;
	[[nodiscard]] std::uint64_t generation() const { return generation_; }
	[[nodiscard]] std::uint64_t hydrated() const;
	[[nodiscard]] std::uint64_t sectors() const
	{
		return (geometry_.regions() + kSectorRegions - 1) / kSectorRegions;
	}

private:
	CloneMetadata() = default;

	void read_super(std::span<const std::byte> block, std::size_t copy);
	void read_sector(std::span<const std::byte> sector, std::uint64_t index);
	[[nodiscard]] std::uint32_t sector_csum(std::span<const std::byte> sector) const;
	[[nodiscard]] std::vector<std::byte> super() const;
	[[nodiscard]] std::vector<std::byte> sector(std::uint64_t index) const;

	CloneGeometry geometry_;
	RegionBits bits_;
	std::array<std::byte, 16> uuid_{};
	std::uint64_t generation_ = 0;
	Faults faults_;
	std::vector<std::uint64_t> damaged_;
};

} // namespace dmsc

#endif // DMSC_CLONE_METADATA_H
