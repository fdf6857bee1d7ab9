// SPDX-License-Identifier: GPL-2.0-only
// Damaged COW devices of persistent snapshots: each is opened as documented, as an invalid one if
// it is damaged, or refused; what is damaged or refused is left alone.
#ifndef DMSC_IMAGES_H
#define DMSC_IMAGES_H

#include "../common/disk.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <ostream>
#include <set>
#include <span>
#include <string>

namespace dmsc
{

// What must become of an image, judged by docs/design.md and the kernel's documentation of
// snapshots.
struct ImageVerdict {
	// Errors of which one is right; if there are none it is opened.
	std::set<int> errors;
	// Opened, but damaged, or marked as unusable.
	bool invalid = false;
	std::uint64_t chunk = 0; // sectors
	// Chunk of the origin, chunk of the COW device.
	std::map<std::uint64_t, std::uint64_t> exceptions;

	// As "dmsetup status" has it.
	[[nodiscard]] std::string status(std::uint64_t sectors) const;
};

ImageVerdict judge_image(std::span<const std::byte> image, std::uint64_t chunk);

struct ImageSettings {
	std::uint64_t seed = 0;
	std::uint64_t first = 0;
	std::uint64_t tries = 0;
	std::string origin;
	std::string cow;
};

// Tries images on the devices, whose contents are lost. Returns whether all went as it should.
bool try_images(const ImageSettings &settings, std::ostream &out);

} // namespace dmsc

#endif // DMSC_IMAGES_H
