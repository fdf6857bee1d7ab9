// SPDX-License-Identifier: GPL-2.0-only
// Damaged metadata devices of clones: each is opened as documented, or refused and left alone.
#ifndef DMSC_CLONE_IMAGES_H
#define DMSC_CLONE_IMAGES_H

#include "devices.h"

#include <cstdint>
#include <ostream>
#include <string>

namespace dmsc
{

struct CloneImageSettings {
	std::uint64_t seed = 0;
	std::uint64_t first = 0;
	std::uint64_t tries = 0;
	std::string trouble; // file of patterns that the kernel log must not match
	std::string source;
	std::string dest;
	std::string meta;
};

// Tries images on the devices, whose contents are lost. Returns whether all went as it should.
bool try_clone_images(const CloneImageSettings &settings, std::ostream &out);

} // namespace dmsc

#endif // DMSC_CLONE_IMAGES_H
