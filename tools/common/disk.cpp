// SPDX-License-Identifier: GPL-2.0-only
#include "disk.h"

#include "clone_layout.h"
#include "little_endian.h"
#include "sector.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <mutex>
#include <new>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

namespace dmsc
{

namespace
{

constexpr std::size_t kAlignment = 4096;

struct Free {
	void operator()(std::byte *memory) const { std::free(memory); }
};
using Aligned = std::unique_ptr<std::byte, Free>;

Aligned aligned(std::size_t size)
{
	const std::size_t whole = (size + kAlignment - 1) / kAlignment * kAlignment;
	Aligned memory(static_cast<std::byte *>(std::aligned_alloc(kAlignment, whole)));

	if (!memory)
		throw std::bad_alloc();
	return memory;
}

// Of asynchronous requests, of which there is one at a time.
class Queue
{
public:
	Queue()
	{
		if (::syscall(SYS_io_setup, 1, &context_) < 0)
			throw std::system_error(errno, std::generic_category(), "io_setup");
	}
	~Queue() { ::syscall(SYS_io_destroy, context_); }
	Queue(const Queue &) = delete;
	Queue &operator=(const Queue &) = delete;

	// Returns how many bytes, or a negative errno value.
	[[nodiscard]] ssize_t perform(iocb &request) const
	{
		std::array<iocb *, 1> requests{&request};
		io_event event{};

		if (::syscall(SYS_io_submit, context_, 1, requests.data()) != 1 ||
		    ::syscall(SYS_io_getevents, context_, 1, 1, &event, nullptr) != 1)
			return -errno;
		return event.res;
	}

private:
	aio_context_t context_ = 0;
};

// As many as there are requests at a time: the kernel takes long to destroy one.
class Queues
{
public:
	[[nodiscard]] ssize_t perform(iocb &request)
	{
		std::unique_ptr<Queue> queue = take();
		const ssize_t done = queue->perform(request);
		const std::lock_guard lock(mutex_);

		idle_.push_back(std::move(queue));
		return done;
	}

private:
	std::unique_ptr<Queue> take()
	{
		const std::lock_guard lock(mutex_);

		if (idle_.empty())
			return std::make_unique<Queue>();

		std::unique_ptr<Queue> queue = std::move(idle_.back());

		idle_.pop_back();
		return queue;
	}

	std::mutex mutex_;
	std::vector<std::unique_ptr<Queue>> idle_;
};

off_t position(std::uint64_t sector)
{
	return static_cast<off_t>(sector * kSector);
}

} // namespace

Disk::Disk(const std::string &path)
	: path_(path), fd_(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC))
{
	if (fd_ < 0)
		fail();
}

Disk::~Disk()
{
	::close(fd_);
}

Image Disk::read(std::uint64_t sector, std::uint64_t count) const
{
	const std::size_t size = count * kSector;
	const auto buffer = aligned(size);

	check(::pread(fd_, buffer.get(), size, position(sector)), size);
	return {buffer.get(), buffer.get() + size};
}

void Disk::write(std::uint64_t sector, std::span<const std::byte> data) const
{
	const auto buffer = aligned(data.size());

	std::ranges::copy(data, buffer.get());
	check(::pwrite(fd_, buffer.get(), data.size(), position(sector)), data.size());
}

// By an asynchronous request: after a synchronous one the kernel flushes the device.
void Disk::write_durably(std::uint64_t sector, std::span<const std::byte> data) const
{
	const auto buffer = aligned(data.size());
	static Queues queues;
	iocb request{};

	std::ranges::copy(data, buffer.get());
	request.aio_fildes = static_cast<std::uint32_t>(fd_);
	request.aio_lio_opcode = IOCB_CMD_PWRITE;
	request.aio_rw_flags = RWF_DSYNC;
	request.aio_buf = reinterpret_cast<std::uintptr_t>(buffer.get());
	request.aio_nbytes = data.size();
	request.aio_offset = position(sector);

	const ssize_t done = queues.perform(request);

	errno = done < 0 ? static_cast<int>(-done) : 0;
	check(done, data.size());
}

void Disk::zero(std::uint64_t sector, std::uint64_t count) const
{
	std::array<std::uint64_t, 2> range{sector * kSector, count * kSector};

	if (::ioctl(fd_, BLKZEROOUT, range.data()) < 0)
		fail();
}

void Disk::flush() const
{
	if (::fsync(fd_) < 0)
		fail();
}

void Disk::discard(std::uint64_t sector, std::uint64_t count) const
{
	std::array<std::uint64_t, 2> range{sector * kSector, count * kSector};

	if (::ioctl(fd_, BLKDISCARD, range.data()) < 0)
		fail();
}

void Disk::check(ssize_t done, std::size_t size) const
{
	if (done != static_cast<ssize_t>(size))
		fail();
}

void Disk::fail() const
{
	throw std::system_error(errno != 0 ? errno : EIO, std::generic_category(), path_);
}

Image stamped(std::uint64_t first, std::uint64_t sectors, std::uint64_t device)
{
	Image image(sectors * kSector);

	for (std::uint64_t i = 0; i < sectors; i++)
		for (std::size_t word = 0; word < kSector; word += 8)
			store_little_endian(image, i * kSector + word, 8,
					    device << 32 | (first + i));
	return image;
}

void clear_clone_metadata(const std::string &path)
{
	Disk(path).write(0, Image(kCloneSupers * kCloneBlock));
}

} // namespace dmsc
