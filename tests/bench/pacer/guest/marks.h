// SPDX-License-Identifier: GPL-2.0-only
// Marks for the pacer, to be executed in the guest.
#ifndef PACER_GUEST_MARKS_H
#define PACER_GUEST_MARKS_H

#include "../mark.h"

#include <array>
#include <stdexcept>
#include <utility>

namespace pacer
{

// Both numbers are part of the instruction, and so must be constants.
template <Command command, unsigned phase> void execute_mark()
{
	// Bytes as in mark.h.
	asm volatile(".byte 0x0f, 0x1f, 0x80, %c0, %c1, 0x64, 0x6d"
		     :
		     : "i"(static_cast<int>(command)), "i"(phase)
		     : "memory");
}

using Mark = void (*)();

template <Command command, unsigned... phases>
constexpr std::array<Mark, sizeof...(phases)> all_marks(std::integer_sequence<unsigned, phases...>)
{
	return {&execute_mark<command, phases>...};
}

template <Command command> void mark(unsigned phase)
{
	static constexpr auto kMarks =
		all_marks<command>(std::make_integer_sequence<unsigned, kMaxPhases>());

	if (phase >= kMaxPhases)
		throw std::out_of_range("phases go from 0 to 63");
	kMarks.at(phase)();
}

} // namespace pacer

#endif // PACER_GUEST_MARKS_H
