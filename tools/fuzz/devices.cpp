// SPDX-License-Identifier: GPL-2.0-only
#include "devices.h"

#include "../common/file.h"
#include "../common/table.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace dmsc
{

namespace
{

constexpr unsigned int kMaxMajor = (1U << 12) - 1;
constexpr unsigned int kMaxMinor = (1U << 20) - 1;
// Opening a number of these makes a device.
constexpr std::array kProbed{1U, 7U, 9U};

// Takes digits off the front.
std::string take_digits(std::string_view &text)
{
	const std::size_t count = std::min(text.find_first_not_of("0123456789"), text.size());
	std::string digits(text.substr(0, count));

	text.remove_prefix(count);
	return digits;
}

void skip_spaces(std::string_view &text)
{
	text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
}

bool take(std::string_view &text, char byte)
{
	if (!text.starts_with(byte))
		return false;
	text.remove_prefix(1);
	return true;
}

// MAJOR:MINOR as it is documented, in numbers that cannot overflow.
std::optional<DeviceNumber> plain_number(std::string_view text)
{
	const std::string major = take_digits(text);

	if (!take(text, ':'))
		return std::nullopt;

	const std::string minor = take_digits(text);

	if (!text.empty() || major.empty() || minor.empty() || major.size() > 9 || minor.size() > 9)
		return std::nullopt;
	return DeviceNumber{static_cast<unsigned int>(std::stoul(major)),
			    static_cast<unsigned int>(std::stoul(minor))};
}

// Numbers may overflow, have space before them, which a backslash brings there, and an offset
// behind them.
bool like_two_numbers(std::string_view text)
{
	skip_spaces(text);
	if (take_digits(text).empty() || !take(text, ':'))
		return false;
	skip_spaces(text);
	if (take_digits(text).empty())
		return false;
	if (text.empty())
		return true;
	if (!take(text, ':'))
		return false;
	skip_spaces(text);
	return !take_digits(text).empty() && take(text, ':');
}

// Major and minor in one hexadecimal number, as the boot parameter root= allows it.
std::optional<DeviceNumber> packed_number(std::string_view text)
{
	std::uint32_t packed = 0;

	if (text.starts_with("0x") || text.starts_with("0X"))
		text.remove_prefix(2);
	if (text.empty() ||
	    text.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
		return std::nullopt;
	// Digits beyond those that fit are lost.
	if (text.size() > 8)
		text.remove_prefix(text.size() - 8);
	std::from_chars(text.data(), text.data() + text.size(), packed, 16);
	return DeviceNumber{(packed & 0xfff00) >> 8, (packed & 0xff) | (packed >> 12 & 0xfff00)};
}

// Whether the rest of a path might be the number of a partition.
bool like_partition(std::string_view rest)
{
	return rest.find_first_not_of("p0123456789") == std::string_view::npos;
}

template <typename Value> Value ask(int fd, unsigned long request, const std::string &path)
{
	Value value{};

	if (::ioctl(fd, request, &value) < 0)
		throw std::system_error(errno, std::generic_category(), path);
	return value;
}

} // namespace

const BlockDevice *Devices::find(std::string_view name) const
{
	const auto found = std::ranges::find(list_, name, &BlockDevice::name);

	return found == list_.end() ? nullptr : &*found;
}

const BlockDevice *Devices::find(const DeviceNumber &number) const
{
	const auto found = std::ranges::find(list_, number, &BlockDevice::number);

	return found == list_.end() ? nullptr : &*found;
}

void Devices::set_self(const DeviceNumber &number)
{
	std::erase_if(list_, [](const BlockDevice &device) { return device.name == "self"; });
	list_.push_back({"self", "/dev/dm-" + std::to_string(number.minor), number, 0, 1, false});
}

DeviceLookup Devices::lookup(const std::string &argument) const
{
	using Kind = DeviceLookup::Kind;

	const auto there = [this](const DeviceNumber &number) {
		return by_number_(number) ||
		       std::ranges::find(kProbed, number.major) != kProbed.end();
	};
	std::optional<DeviceNumber> number = by_path_(argument);

	if (!number)
		number = plain_number(argument);
	if (number) {
		if (number->major > kMaxMajor || number->minor > kMaxMinor || !there(*number))
			return {};

		const BlockDevice *device = find(*number);

		return {device == nullptr ? Kind::core : Kind::known, device};
	}

	// The name of a disk, or of a partition of it, is enough for the kernel behind /dev/.
	for (const BlockDevice &device : list_)
		if (argument.starts_with(device.path) &&
		    like_partition(std::string_view(argument).substr(device.path.size())))
			return {Kind::core, nullptr};

	const auto packed = packed_number(argument);

	if (argument == "/dev/ram" || like_two_numbers(argument) || (packed && there(*packed)))
		return {Kind::core, nullptr};
	return {};
}

BlockDevice open_block_device(const std::string &argument)
{
	const std::size_t equals = argument.find('=');

	if (equals == std::string::npos)
		throw std::runtime_error("not NAME=PATH: " + argument);

	BlockDevice device{
		argument.substr(0, equals), argument.substr(equals + 1), {}, 0, 1, false};
	const auto number = number_at(device.path);

	if (!number)
		throw std::runtime_error("not a block device: " + device.path);
	device.number = *number;

	// What is mounted or in a table is not for the fuzzer.
	const int fd = open_unused(device.path, O_RDONLY);

	device.sectors = ask<std::uint64_t>(fd, BLKGETSIZE64, device.path) >> kSectorShift;
	device.block_sectors =
		static_cast<std::uint64_t>(ask<int>(fd, BLKSSZGET, device.path)) >> kSectorShift;
	device.read_only = ask<int>(fd, BLKROGET, device.path) != 0;
	::close(fd);
	return device;
}

Devices real_devices(std::vector<BlockDevice> list)
{
	return {std::move(list), number_at, [](const DeviceNumber &number) {
			const std::string path = "/sys/dev/block/" + to_string(number);

			return ::access(path.c_str(), F_OK) == 0;
		}};
}

Devices imagined_devices()
{
	std::vector<BlockDevice> list{
		{"origin", "/dev/nullb0", {250, 0}, 131072, 1, false},
		{"cow", "/dev/nullb1", {250, 1}, 65536, 1, false},
		{"block", "/dev/nullb2", {250, 2}, 131072, 8, false},
		{"readonly", "/dev/nullb3", {250, 3}, 65536, 1, true},
		{"zero", "/dev/loop0", {7, 0}, 0, 1, false},
		{"huge", "/dev/nullb4", {250, 4}, std::uint64_t{1} << 48, 1, false},
		{"mapped", "/dev/dm-0", {253, 0}, 65536, 1, false},
		{"vast", "/dev/nullb5", {250, 5}, std::uint64_t{1} << 48, 1, false},
		{"meta", "/dev/nullb6", {250, 6}, 8192, 1, false},
		{"dest", "/dev/nullb7", {250, 7}, 131072, 1, false},
		{"source", "/dev/nullb8", {250, 8}, 131072, 1, false},
	};
	auto numbers = list;

	numbers.push_back({"self", "/dev/dm-1", {253, 1}, 0, 1, false});

	Devices devices(
		std::move(list),
		[numbers](const std::string &path) -> std::optional<DeviceNumber> {
			const std::string normal =
				std::filesystem::path(path).lexically_normal().string();
			const auto found = std::ranges::find(numbers, normal, &BlockDevice::path);

			if (found == numbers.end())
				return std::nullopt;
			return found->number;
		},
		[numbers](const DeviceNumber &number) {
			return std::ranges::find(numbers, number, &BlockDevice::number) !=
			       numbers.end();
		});

	devices.set_self({253, 1});
	return devices;
}

} // namespace dmsc
