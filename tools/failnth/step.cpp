// SPDX-License-Identifier: GPL-2.0-only
#include "step.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace dmsc
{

namespace
{

constexpr std::size_t kBufferSize = 16384;

class File
{
public:
	File(const std::string &path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC))
	{
		if (fd_ < 0)
			throw std::system_error(errno, std::generic_category(), path);
	}
	~File() { ::close(fd_); }
	File(const File &) = delete;
	File &operator=(const File &) = delete;

	[[nodiscard]] int get() const { return fd_; }

private:
	int fd_;
};

struct Command {
	std::string_view name;
	unsigned long request;
	std::uint32_t flags;
};

constexpr std::array kCommands{
	Command{"create", DM_DEV_CREATE, 0},
	Command{"load", DM_TABLE_LOAD, 0},
	Command{"resume", DM_DEV_SUSPEND, 0},
	Command{"suspend", DM_DEV_SUSPEND, DM_SUSPEND_FLAG},
	Command{"clear", DM_TABLE_CLEAR, 0},
	Command{"remove", DM_DEV_REMOVE, 0},
	Command{"status", DM_TABLE_STATUS, 0},
	Command{"table", DM_TABLE_STATUS, DM_STATUS_TABLE_FLAG},
};

// A device-mapper ioctl. There is no static libdevmapper, and it would do more than the call.
class DeviceStep : public Step
{
public:
	DeviceStep(const Command &command, std::string device, const std::string &table)
		: command_(command), device_(std::move(device))
	{
		std::istringstream words(table);

		if (table.empty())
			return;
		has_target_ = true;
		words >> target_.sector_start >> target_.length >> type_ >> std::ws;
		std::getline(words, arguments_);
		if (type_.empty() || type_.size() >= sizeof(target_.target_type))
			throw std::runtime_error("not a table: " + table);
	}

	void prepare() override
	{
		dm_ioctl header{};

		buffer_.fill(0);
		header.version[0] = DM_VERSION_MAJOR;
		header.data_size = kBufferSize;
		header.data_start = sizeof(header);
		header.flags = command_.flags;
		header.target_count = has_target_ ? 1 : 0;
		if (device_.size() >= sizeof(header.name))
			throw std::runtime_error("too long: " + device_);
		device_.copy(std::data(header.name), device_.size());
		std::memcpy(buffer_.data(), &header, sizeof(header));
		if (has_target_)
			put_target();
	}

	int call() override
	{
		return ::ioctl(control_.get(), command_.request, buffer_.data()) < 0 ? errno : 0;
	}

private:
	void put_target()
	{
		char *to = buffer_.data() + sizeof(dm_ioctl);

		if (sizeof(dm_ioctl) + sizeof(target_) + arguments_.size() >= kBufferSize)
			throw std::runtime_error("too long: " + arguments_);
		type_.copy(std::data(target_.target_type), type_.size());
		target_.next = static_cast<std::uint32_t>(kBufferSize - sizeof(dm_ioctl));
		std::memcpy(to, &target_, sizeof(target_));
		arguments_.copy(to + sizeof(target_), arguments_.size());
	}

	Command command_;
	std::string device_;
	bool has_target_ = false;
	dm_target_spec target_{};
	std::string type_;
	std::string arguments_;
	File control_{"/dev/mapper/control", O_RDWR};
	alignas(dm_ioctl) std::array<char, kBufferSize> buffer_{};
};

class LoadStep : public Step
{
public:
	explicit LoadStep(const std::string &path) : file_(path, O_RDONLY) {}

	void prepare() override {}
	int call() override
	{
		return ::syscall(SYS_finit_module, file_.get(), "", 0) < 0 ? errno : 0;
	}

private:
	File file_;
};

class UnloadStep : public Step
{
public:
	explicit UnloadStep(std::string name) : name_(std::move(name)) {}

	void prepare() override {}
	int call() override
	{
		return ::syscall(SYS_delete_module, name_.c_str(), O_NONBLOCK) < 0 ? errno : 0;
	}

private:
	std::string name_;
};

} // namespace

std::unique_ptr<Step> make_step(const std::string &line)
{
	std::istringstream words(line);
	std::string verb;
	std::string object;
	std::string rest;

	words >> verb >> object >> std::ws;
	std::getline(words, rest);
	if (object.empty())
		throw std::runtime_error("not a step: " + line);
	if (verb == "insmod")
		return std::make_unique<LoadStep>(object);
	if (verb == "rmmod")
		return std::make_unique<UnloadStep>(object);
	for (const Command &command : kCommands)
		if (command.name == verb)
			return std::make_unique<DeviceStep>(command, object, rest);
	throw std::runtime_error("no such step: " + line);
}

} // namespace dmsc
