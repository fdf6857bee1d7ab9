// SPDX-License-Identifier: GPL-2.0-only
// How guest code speaks to the pacer: by a NOP with an operand that no compiler emits,
//   0f 1f 80 <command> <phase> 64 6d    nopl 0x6d64<phase><command>(%rax)
// Outside the simulator it does nothing.
#ifndef PACER_MARK_H
#define PACER_MARK_H

#include <array>
#include <cstddef>
#include <cstdint>

namespace pacer
{

enum class Command : std::uint8_t {
	on = 1,    // from here, equal CPUs and simulated time
	off = 2,   // from here, as fast as the host can
	begin = 3, // a phase that is measured
	end = 4,
};

constexpr std::size_t kMarkSize = 7;
constexpr std::array<std::uint8_t, 3> kMarkOpcode{0x0f, 0x1f, 0x80};
constexpr std::array<std::uint8_t, 2> kMarkSignature{0x64, 0x6d};
constexpr unsigned kMaxPhases = 64;

} // namespace pacer

#endif // PACER_MARK_H
