// SPDX-License-Identifier: GPL-2.0-only
// The few x86 instructions that the pacer has to know.
#ifndef PACER_DECODE_H
#define PACER_DECODE_H

#include <cstdint>
#include <span>

namespace pacer
{

using Bytes = std::span<const std::uint8_t>;

enum class Kind : std::uint8_t {
	plain,
	pause,    // the hint of a loop that waits
	halt,     // until the next interrupt
	mark,     // a message from guest code to the pacer
	rep_move, // REP MOVS or REP STOS
};

struct Instruction {
	Kind kind = Kind::plain;
	unsigned width = 0;   // rep_move: bytes per iteration
	unsigned command = 0; // mark
	unsigned phase = 0;   // mark
};

Instruction decode(Bytes bytes);

} // namespace pacer

#endif // PACER_DECODE_H
