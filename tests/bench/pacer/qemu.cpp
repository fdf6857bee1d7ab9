// SPDX-License-Identifier: GPL-2.0-only
#include "qemu.h"

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

namespace pacer
{

namespace
{

// The version whose functions were looked at.
constexpr std::int64_t kMajor = 7;
constexpr std::int64_t kMinor = 2;

// As QEMU's interface for management programs defines it.
struct VersionTriple {
	std::int64_t major;
	std::int64_t minor;
	std::int64_t micro;
};
struct VersionInfo {
	VersionTriple *qemu;
	char *package;
};

void *find_symbol(const char *name)
{
	void *const found = dlsym(RTLD_DEFAULT, name);

	if (found == nullptr)
		throw Error(std::string("this QEMU does not export ") + name +
			    "; the pacer needs Debian 12's QEMU 7.2");
	return found;
}

template <typename Pointer> void find(const char *name, Pointer &pointer)
{
	pointer = std::bit_cast<Pointer>(find_symbol(name));
}

std::string checked_version()
{
	VersionInfo *(*query)(void *error) = nullptr;
	void (*release)(VersionInfo *) = nullptr;

	find("qmp_query_version", query);
	find("qapi_free_VersionInfo", release);

	const std::unique_ptr<VersionInfo, decltype(release)> info(query(nullptr), release);
	const VersionTriple &is = *info->qemu;
	std::string version = std::to_string(is.major) + "." + std::to_string(is.minor) + "." +
			      std::to_string(is.micro);

	if (is.major != kMajor || is.minor != kMinor)
		throw Error("this is QEMU " + version + "; the pacer replaces functions of QEMU " +
			    std::to_string(kMajor) + "." + std::to_string(kMinor) +
			    " and may not be right for another one");
	return version;
}

// Overwrites the beginning of a function by a jump.
void redirect(const char *name, const void *target)
{
	// movabs $target,%r11; jmp *%r11
	std::array<std::uint8_t, 13> jump{0x49, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 0x41, 0xff, 0xe3};
	void *const code = find_symbol(name);
	const auto page_size = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
	const auto address = std::bit_cast<std::uintptr_t>(code);
	const std::uintptr_t start = address & ~(page_size - 1);
	const std::size_t size = address + jump.size() - start;
	void *const pages = std::bit_cast<void *>(start);

	std::memcpy(&jump[2], &target, sizeof(target));
	if (mprotect(pages, size, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
		throw Error(std::string("cannot replace ") + name + ": " +
			    std::system_category().message(errno));
	std::memcpy(code, jump.data(), jump.size());
	if (mprotect(pages, size, PROT_READ | PROT_EXEC) != 0)
		throw Error(std::string("cannot protect ") + name +
			    " again: " + std::system_category().message(errno));
}

} // namespace

Qemu::Qemu() : version_(checked_version())
{
	find("mttcg_enabled", many_threads_);
	find("qemu_get_cpu", get_cpu_);
	find("cpu_exit", cpu_exit_);
	find("all_cpu_threads_idle", all_idle_);
	find("qemu_clock_get_ns", clock_get_ns_);
	find("qemu_clock_deadline_ns_all", deadline_);
	find("qemu_clock_run_timers", run_timers_);
	find("qemu_mutex_lock_iothread_impl", lock_);
	find("qemu_mutex_unlock_iothread", unlock_);
	for (const char *name : {"cpu_get_ticks", "cpu_get_clock", "qemu_poll_ns"})
		find_symbol(name);
}

void Qemu::replace(const Replacements &replacements)
{
	redirect("cpu_get_ticks", std::bit_cast<void *>(replacements.ticks));
	redirect("cpu_get_clock", std::bit_cast<void *>(replacements.clock_ns));
	redirect("qemu_poll_ns", std::bit_cast<void *>(replacements.poll));
}

void Qemu::run_timers() const
{
	lock_(__FILE__, __LINE__);
	run_timers_(kVirtual);
	unlock_();
}

} // namespace pacer
