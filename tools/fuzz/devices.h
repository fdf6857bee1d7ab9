// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_DEVICES_H
#define DMSC_DEVICES_H

#include "../common/device_number.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dmsc
{

constexpr unsigned int kSectorShift = 9;

// A block device that lines may name.
struct BlockDevice {
	std::string name; // In the corpus: {name} for the path, {name#} for the number.
	std::string path;
	DeviceNumber number;
	std::uint64_t sectors = 0;
	std::uint64_t block_sectors = 1;
	bool read_only = false;
};

// What an argument that should be a device leads to.
struct DeviceLookup {
	enum class Kind {
		known,
		missing,
		// The kernel understands more than paths and MAJOR:MINOR, and there are other
		// devices.
		core,
	};
	Kind kind = Kind::missing;
	const BlockDevice *device = nullptr;
};

class Devices
{
public:
	// The number of the block device at a path, if there is one.
	using ByPath = std::function<std::optional<DeviceNumber>(const std::string &)>;
	// Whether there is a block device with that number.
	using ByNumber = std::function<bool(const DeviceNumber &)>;

	Devices(std::vector<BlockDevice> list, ByPath by_path, ByNumber by_number)
		: list_(std::move(list)), by_path_(std::move(by_path)),
		  by_number_(std::move(by_number))
	{
	}

	[[nodiscard]] const std::vector<BlockDevice> &list() const { return list_; }
	[[nodiscard]] const BlockDevice *find(std::string_view name) const;
	// The mapped device that tables are loaded into, which becomes one more device: "self".
	void set_self(const DeviceNumber &number);
	[[nodiscard]] DeviceLookup lookup(const std::string &argument) const;

private:
	[[nodiscard]] const BlockDevice *find(const DeviceNumber &number) const;

	std::vector<BlockDevice> list_;
	ByPath by_path_;
	ByNumber by_number_;
};

// NAME=PATH: of this machine.
BlockDevice open_block_device(const std::string &argument);
Devices real_devices(std::vector<BlockDevice> list);
// Devices that are not there, to try the generator and the oracle with.
Devices imagined_devices();

} // namespace dmsc

#endif // DMSC_DEVICES_H
