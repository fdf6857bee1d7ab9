// SPDX-License-Identifier: GPL-2.0-only
#include "pattern.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iomanip>
#include <sstream>

namespace dmsc
{

namespace
{

constexpr std::size_t kWords = kSectorBytes / sizeof(std::uint64_t);
constexpr std::uint64_t kMagic = 0x31544e4943534d44; // "DMSCINT1"
constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;

using Words = std::array<std::uint64_t, kWords>;

constexpr unsigned kSerialBits = 36;
constexpr unsigned kThreadShift = kSerialBits;
constexpr unsigned kRunShift = kThreadShift + 8;
constexpr unsigned kDeviceShift = kRunShift + 12;

std::uint64_t mix(std::uint64_t value)
{
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
	value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
	return value ^ (value >> 31);
}

// Three words of identity, then a stream that depends on all of them. One multiplication per word:
// the checker runs on emulated CPUs.
Words make_words(Tag tag, std::uint64_t sector)
{
	Words words{};

	if (tag == kZeroes)
		return words;
	words[0] = kMagic;
	words[1] = tag;
	words[2] = sector;

	std::uint64_t state = mix(tag) ^ mix(sector + kGolden);

	for (std::size_t i = 3; i < kWords; i++) {
		state += kGolden;
		words[i] = (state ^ (state >> 29)) * 0xbf58476d1ce4e5b9;
	}
	return words;
}

Words load_words(ConstSectorBytes data)
{
	Words words;

	std::memcpy(words.data(), data.data(), kSectorBytes);
	return words;
}

} // namespace

Tag make_tag(unsigned device, unsigned run, unsigned thread, std::uint64_t serial)
{
	return (static_cast<Tag>(device) << kDeviceShift) | (static_cast<Tag>(run) << kRunShift) |
	       (static_cast<Tag>(thread) << kThreadShift) | serial;
}

std::string describe_tag(Tag tag)
{
	if (tag == kZeroes)
		return "zeroes";
	if (tag == kAny)
		return "anything";
	if (tag == kAmbiguous)
		return "one of several";

	std::ostringstream out;

	out << "device " << (tag >> kDeviceShift) << " run " << (tag >> kRunShift & 0xfff)
	    << " thread " << (tag >> kThreadShift & 0xff) << " write "
	    << (tag & ((Tag{1} << kSerialBits) - 1));
	return out.str();
}

void fill_sector(SectorBytes out, Tag tag, std::uint64_t sector)
{
	const Words words = make_words(tag, sector);

	std::memcpy(out.data(), words.data(), kSectorBytes);
}

bool sector_holds(ConstSectorBytes data, Tag tag, std::uint64_t sector)
{
	if (tag == kAny)
		return true;

	const Words words = make_words(tag, sector);

	return std::memcmp(data.data(), words.data(), kSectorBytes) == 0;
}

std::optional<Tag> read_tag(ConstSectorBytes data, std::uint64_t sector)
{
	const Words words = load_words(data);
	const Tag tag = words[0] == kMagic ? words[1] : kZeroes;

	if (!sector_holds(data, tag, sector))
		return std::nullopt;
	return tag;
}

std::string describe_sector(ConstSectorBytes data, std::uint64_t sector)
{
	const Words found = load_words(data);

	if (std::ranges::all_of(found, [](std::uint64_t word) { return word == 0; }))
		return "zeroes";

	std::ostringstream out;

	if (found[0] != kMagic) {
		out << "no pattern, starts with " << std::hex << std::setfill('0');
		for (std::size_t i = 0; i < 4; i++)
			out << std::setw(16) << found[i] << (i < 3 ? " " : "");
		return out.str();
	}
	out << describe_tag(found[1]);
	if (found[2] != sector)
		out << ", but of sector " << found[2];

	const Words whole = make_words(found[1], found[2]);
	const auto differing = std::ranges::mismatch(found, whole);

	if (differing.in1 != found.end())
		out << ", damaged from byte " << (differing.in1 - found.begin()) * sizeof(found[0]);
	return out.str();
}

} // namespace dmsc
