// SPDX-License-Identifier: GPL-2.0-only
#include "decode.h"

#include "mark.h"

namespace pacer
{

namespace
{

constexpr std::uint8_t kOperandSize = 0x66;
constexpr std::uint8_t kRepNe = 0xf2;
constexpr std::uint8_t kRep = 0xf3;
constexpr std::uint8_t kRexMask = 0xf0;
constexpr std::uint8_t kRex = 0x40;
constexpr std::uint8_t kRexW = 0x08;

// Prefixes, then the opcode as the last byte.
unsigned rep_move_width(Bytes bytes)
{
	bool rep = false;
	unsigned width = 4;

	for (const std::uint8_t byte : bytes.first(bytes.size() - 1)) {
		if (byte == kRep || byte == kRepNe)
			rep = true;
		else if (byte == kOperandSize)
			width = 2;
		else if ((byte & kRexMask) == kRex)
			width = (byte & kRexW) != 0 ? 8 : width;
		else
			return 0;
	}
	if (!rep)
		return 0;
	switch (bytes.back()) {
	case 0xa4: // MOVSB
	case 0xaa: // STOSB
		return 1;
	case 0xa5: // MOVS of the operand's size
	case 0xab: // STOS
		return width;
	default:
		return 0;
	}
}

} // namespace

Instruction decode(Bytes bytes)
{
	if (bytes.empty())
		return {};
	if (bytes.size() == 1 && bytes[0] == 0xf4)
		return {.kind = Kind::halt};
	if (bytes.size() == 2 && bytes[0] == kRep && bytes[1] == 0x90)
		return {.kind = Kind::pause};
	if (bytes.size() == kMarkSize && bytes[0] == kMarkOpcode[0] && bytes[1] == kMarkOpcode[1] &&
	    bytes[2] == kMarkOpcode[2] && bytes[5] == kMarkSignature[0] &&
	    bytes[6] == kMarkSignature[1])
		return {.kind = Kind::mark, .command = bytes[3], .phase = bytes[4]};
	if (const unsigned width = rep_move_width(bytes))
		return {.kind = Kind::rep_move, .width = width};
	return {};
}

} // namespace pacer
