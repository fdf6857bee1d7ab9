// SPDX-License-Identifier: GPL-2.0-only
// The metadata of a clone as a whole, read from a device or made for one.
#ifndef DMSC_COMMON_CLONE_METADATA_H
#define DMSC_COMMON_CLONE_METADATA_H

#include "clone_layout.h"
#include "file.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace dmsc
{

class CloneMetadata
{
public:
	// What is wrong with a device, in words; empty if nothing is.
	using Faults = std::vector<std::string>;
	// Reads bytes at a position.
	using Reader = std::function<void(std::uint64_t position, std::span<std::byte> out)>;

	// Reads a device. Throws if neither superblock is valid; all else that is wrong is kept.
	static CloneMetadata read(const Reader &reader);
	static CloneMetadata read(const File &device);
	// Makes metadata of a new format.
	CloneMetadata(const CloneGeometry &geometry, RegionBits bits);

	void write(const File &device) const;
	// Writes it to a device that has other contents. While it is half done, clones of either
	// kind are refused with it: ours say that it has to be converted.
	void create(const File &device) const;
	// Decides for the sectors that could not be read.
	void assume(bool hydrated);

	[[nodiscard]] const CloneGeometry &geometry() const { return super_.geometry; }
	[[nodiscard]] const RegionBits &bits() const { return bits_; }
	[[nodiscard]] const Faults &faults() const { return faults_; }
	// Sectors of the bitmap that are damaged.
	[[nodiscard]] const std::vector<std::uint64_t> &damaged() const { return damaged_; }
	[[nodiscard]] std::string uuid() const;
	[[nodiscard]] std::uint64_t generation() const { return super_.generation; }
	[[nodiscard]] std::uint64_t hydrated() const;

private:
	CloneMetadata() = default;

	void read_supers(const Reader &reader);
	void read_sector(std::span<const std::byte> sector, std::uint64_t index);

	CloneSuper super_;
	RegionBits bits_;
	Faults faults_;
	std::vector<std::uint64_t> damaged_;
};

} // namespace dmsc

#endif // DMSC_COMMON_CLONE_METADATA_H
