// SPDX-License-Identifier: GPL-2.0-only
// Numbers and strings in the model file, in the machine's byte order.
#ifndef DMSC_BINARY_IO_H
#define DMSC_BINARY_IO_H

#include <cstdint>
#include <istream>
#include <ostream>
#include <stdexcept>
#include <string>

namespace dmsc
{

inline void put_number(std::ostream &out, std::uint64_t value)
{
	out.write(reinterpret_cast<const char *>(&value), sizeof(value));
}

inline std::uint64_t get_number(std::istream &in)
{
	std::uint64_t value = 0;

	if (!in.read(reinterpret_cast<char *>(&value), sizeof(value)))
		throw std::runtime_error("the model file is cut short");
	return value;
}

inline void put_string(std::ostream &out, const std::string &text)
{
	put_number(out, text.size());
	out.write(text.data(), static_cast<std::streamsize>(text.size()));
}

inline std::string get_string(std::istream &in)
{
	std::string text(get_number(in), '\0');

	if (!in.read(text.data(), static_cast<std::streamsize>(text.size())))
		throw std::runtime_error("the model file is cut short");
	return text;
}

} // namespace dmsc

#endif // DMSC_BINARY_IO_H
