// SPDX-License-Identifier: GPL-2.0-only
// What may be on the metadata device of a clone, whole and damaged, and what must become of it:
// judged by docs/clone-format.md.
#ifndef DMSC_CLONE_IMAGE_H
#define DMSC_CLONE_IMAGE_H

#include "../common/clone_layout.h"
#include "../common/disk.h"
#include "../common/random.h"
#include "fault.h"

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string_view>

namespace dmsc
{

// Sectors of the device, and of the largest clone.
constexpr std::uint64_t kCloneImageSectors = 64;
constexpr std::uint64_t kCloneSectors = 327680;

struct CloneImage {
	CloneSuper super;
	RegionBits bits;
	Image bytes;

	[[nodiscard]] std::uint64_t sectors() const { return super.geometry.sectors(); }
	// Parts of the device.
	std::span<std::byte> block(std::size_t copy);
	std::span<std::byte> sector(std::uint64_t index); // of the bitmap
};

// Of a sound clone, with something else behind the end.
CloneImage make_clone_image(Random &random);
CloneGeometry random_clone_geometry(Random &random);

// A way to damage an image.
struct CloneDamage {
	std::string_view name;
	// Why an image with it alone is refused; core: it is not.
	Fault fault;
	// False if the image has no place for it.
	bool (*apply)(Random &random, CloneImage &image);
};

std::span<const CloneDamage> clone_damages();
// Damages an image in several ways, or leaves it as it is.
void damage_clone_image(Random &random, CloneImage &image);

struct CloneImageVerdict {
	// Of which one is named; if there are none it is opened.
	std::set<Fault> faults;
	// The damaged sector of the bitmap that is named.
	std::optional<std::uint64_t> sector;
	// It is a new clone: what is written has a UUID that nobody knows.
	bool fresh = false;
	// If it is opened, which superblock counts, and what is in the destination.
	CloneSuper super;
	RegionBits bits;
};

// A clone with that geometry is opened on a device that begins with these bytes, and ends with
// them.
CloneImageVerdict judge_clone_image(std::span<const std::byte> bytes,
				    const CloneGeometry &geometry);

// What is on a device when it has been opened, was not refused, and was not new.
Image open_clone_image(std::span<const std::byte> bytes, const CloneImageVerdict &verdict);

// Writes a block of the bitmap anew.
void write_clone_block(std::span<std::byte> bytes, const CloneSuper &super, const RegionBits &bits,
		       std::uint64_t region);

} // namespace dmsc

#endif // DMSC_CLONE_IMAGE_H
