// SPDX-License-Identifier: GPL-2.0-only
#include "control.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <span>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace dmsc
{

namespace
{

constexpr std::size_t kHeader = sizeof(dm_ioctl);
constexpr std::size_t kAlignment = 8;
// Behind a buffer that is not the kernel's to write to.
constexpr std::size_t kGuard = 64;
constexpr std::byte kGuardByte{0xa5};

// Into a field that ends with a zero.
void copy_text(std::span<char> field, const std::string &text)
{
	std::memcpy(field.data(), text.data(), std::min(text.size(), field.size() - 1));
}

void append(Buffer &buffer, const void *data, std::size_t size)
{
	const auto *bytes = static_cast<const std::byte *>(data);

	buffer.insert(buffer.end(), bytes, bytes + size);
}

void append_text(Buffer &buffer, const std::string &text)
{
	append(buffer, text.c_str(), text.size() + 1);
}

std::string text_at(const Buffer &buffer, std::size_t from, std::size_t end)
{
	const auto *text = reinterpret_cast<const char *>(buffer.data()) + from;

	return {text, ::strnlen(text, end - from)};
}

} // namespace

dm_ioctl &header(Buffer &buffer)
{
	return *reinterpret_cast<dm_ioctl *>(buffer.data());
}

Buffer make_buffer(const std::string &name, std::uint32_t flags, std::size_t size)
{
	Buffer buffer(std::max(size, kHeader));
	dm_ioctl &head = header(buffer);

	head.version[0] = DM_VERSION_MAJOR;
	head.data_size = static_cast<std::uint32_t>(buffer.size());
	head.data_start = kHeader;
	head.flags = flags;
	copy_text(head.name, name);
	return buffer;
}

Buffer make_load(const std::string &name, const Table &table)
{
	Buffer buffer = make_buffer(name, table.read_only ? DM_READONLY_FLAG : 0, kHeader);

	for (const Target &target : table.targets) {
		dm_target_spec spec{};
		const std::size_t size = sizeof(spec) + target.params.size() + 1;
		const std::size_t padded = (size + kAlignment - 1) / kAlignment * kAlignment;

		spec.sector_start = target.start;
		spec.length = target.length;
		spec.next = static_cast<std::uint32_t>(padded);
		copy_text(spec.target_type, target.type);
		append(buffer, &spec, sizeof(spec));
		append_text(buffer, target.params);
		buffer.resize(buffer.size() + padded - size);
	}
	header(buffer).target_count = static_cast<std::uint32_t>(table.targets.size());
	header(buffer).data_size = static_cast<std::uint32_t>(buffer.size());
	return buffer;
}

Control::Control() : fd_(::open("/dev/mapper/control", O_RDWR | O_CLOEXEC))
{
	if (fd_ < 0)
		throw std::system_error(errno, std::generic_category(), "/dev/mapper/control");
}

Control::~Control()
{
	::close(fd_);
}

int Control::call(unsigned long request, Buffer &buffer) const
{
	return ::ioctl(fd_, request, buffer.data()) < 0 ? errno : 0;
}

int Control::simple(unsigned long request, const std::string &name, std::uint32_t flags) const
{
	Buffer buffer = make_buffer(name, flags, kHeader);

	return call(request, buffer);
}

int Control::create(const std::string &name, DeviceNumber &number) const
{
	Buffer buffer = make_buffer(name, 0, kHeader);
	const int error = call(DM_DEV_CREATE, buffer);

	number = {major(header(buffer).dev), minor(header(buffer).dev)};
	return error;
}

int Control::remove(const std::string &name) const
{
	constexpr int attempts = 50;
	int error = 0;

	for (int i = 0; i < attempts; i++) {
		error = simple(DM_DEV_REMOVE, name, 0);
		if (error != EBUSY)
			break;
		std::this_thread::sleep_for(std::chrono::milliseconds(20));
	}
	return error;
}

int Control::load(const std::string &name, const Table &table) const
{
	Buffer buffer = make_load(name, table);

	return call(DM_TABLE_LOAD, buffer);
}

int Control::clear(const std::string &name) const
{
	return simple(DM_TABLE_CLEAR, name, 0);
}

int Control::suspend(const std::string &name) const
{
	return simple(DM_DEV_SUSPEND, name, DM_SUSPEND_FLAG);
}

int Control::resume(const std::string &name) const
{
	return simple(DM_DEV_SUSPEND, name, 0);
}

int Control::rename(const std::string &from, const std::string &to) const
{
	Buffer buffer = make_buffer(from, 0, kHeader);

	append_text(buffer, to);
	header(buffer).data_size = static_cast<std::uint32_t>(buffer.size());
	return call(DM_DEV_RENAME, buffer);
}

int Control::message(const std::string &name, std::uint64_t sector, const std::string &text) const
{
	Buffer buffer = make_buffer(name, 0, kHeader);

	append(buffer, &sector, sizeof(sector));
	append_text(buffer, text);
	header(buffer).data_size = static_cast<std::uint32_t>(buffer.size());
	return call(DM_TARGET_MSG, buffer);
}

Shown Control::show(const std::string &name, std::uint32_t flags, std::size_t size) const
{
	Buffer buffer = make_buffer(name, flags, kHeader + size);
	const std::size_t end = buffer.size();
	Shown shown;

	buffer.resize(end + kGuard, kGuardByte);
	shown.error = call(DM_TABLE_STATUS, buffer);
	if (std::any_of(buffer.begin() + static_cast<std::ptrdiff_t>(end), buffer.end(),
			[](std::byte byte) { return byte != kGuardByte; }))
		throw std::runtime_error("the kernel wrote behind the buffer of a status");
	shown.full = (header(buffer).flags & DM_BUFFER_FULL_FLAG) != 0;
	if (shown.error != 0 || shown.full)
		return shown;

	const std::size_t first = header(buffer).data_start;
	std::size_t at = first;

	for (std::uint32_t i = 0; i < header(buffer).target_count; i++) {
		dm_target_spec spec{};

		if (at + sizeof(spec) > end)
			throw std::runtime_error("a status ends within a target");
		std::memcpy(&spec, buffer.data() + at, sizeof(spec));
		shown.targets.push_back(
			{spec.sector_start,
			 spec.length,
			 {spec.target_type, ::strnlen(spec.target_type, sizeof(spec.target_type))},
			 text_at(buffer, at + sizeof(spec), end)});
		at = first + spec.next;
	}
	return shown;
}

} // namespace dmsc
