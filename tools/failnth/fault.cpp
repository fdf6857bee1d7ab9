// SPDX-License-Identifier: GPL-2.0-only
#include "fault.h"

#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace dmsc
{

namespace
{

constexpr const char *kFile = "/proc/thread-self/fail-nth";
constexpr unsigned kNever = 1000000000;

std::string fault_file(const char *name)
{
	return std::string("/sys/kernel/debug/fail_callers/") + name;
}

// Without the module dm-scaled-fault there is nothing to set.
void set(const char *name, unsigned value)
{
	std::ofstream(fault_file(name)) << value;
}

} // namespace

Fault::Fault() : fd_(::open(kFile, O_RDWR | O_CLOEXEC))
{
	if (fd_ < 0)
		throw std::system_error(errno, std::generic_category(), kFile);
}

Fault::~Fault()
{
	::close(fd_);
}

void Fault::arm(unsigned nth) const
{
	const std::string text = std::to_string(nth);

	if (::pwrite(fd_, text.data(), text.size(), 0) < 0)
		throw std::system_error(errno, std::generic_category(), kFile);
}

bool Fault::inject(const Target &target, const std::function<void()> &call)
{
	const unsigned nth = target.stack != 0 ? kNever : target.nth;
	std::array<char, 16> text{};

	set("site", 0);
	set("nr_stacks", 0);
	set("skip", target.skip);
	set("stack", target.stack);
	arm(nth);
	call();

	const ssize_t length = ::pread(fd_, text.data(), text.size() - 1, 0);

	arm(0);
	if (length <= 0)
		throw std::runtime_error(std::string("cannot read ") + kFile);

	const auto left = static_cast<unsigned>(std::stoul(text.data()));

	total_ = target.stack != 0 ? static_cast<unsigned>(stacks().size()) : nth - left;
	return target.stack != 0 ? !site().empty() : left == 0;
}

std::string Fault::site()
{
	std::string symbol;

	std::getline(std::ifstream(fault_file("symbol")), symbol);
	return symbol.substr(0, symbol.find(' '));
}

std::vector<unsigned> Fault::stacks()
{
	std::ifstream file(fault_file("stacks"));

	return {std::istream_iterator<unsigned>(file), {}};
}

} // namespace dmsc
