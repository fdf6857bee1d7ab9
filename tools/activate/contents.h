// SPDX-License-Identifier: GPL-2.0-only
// What is on COW and metadata devices, before the kernel makes something of it.
//
// To the kernel a COW device that begins with four bytes of zero is a new one, and clone metadata
// that begin with some KiB of zeroes are. File systems of others begin so, ext4 with 1 KiB and
// btrfs with 64. When the machine starts nobody is there who would know: a new one must have zeroes
// for as long as kBlank.
#ifndef DMSC_ACTIVATE_CONTENTS_H
#define DMSC_ACTIVATE_CONTENTS_H

#include <cstddef>
#include <string>

namespace dmsc
{

constexpr std::size_t kBlank = 131072;

// A snapshot has been on the COW device. Whether it is a good one is not ours to judge.
bool has_snapshot(const std::string &cow);
// Throws std::runtime_error if the device begins with so many bytes of zero, but something follows
// before kBlank.
void check_blank(const std::string &path, std::size_t begin);
// How to make a device a new one.
std::string blank_command(const std::string &path);

} // namespace dmsc

#endif // DMSC_ACTIVATE_CONTENTS_H
