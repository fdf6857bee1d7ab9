// SPDX-License-Identifier: GPL-2.0-only
// The plugin's arguments.
#ifndef PACER_SETTINGS_H
#define PACER_SETTINGS_H

#include "clock.h"

#include <span>
#include <string>

namespace pacer
{

struct Settings {
	std::string out;     // out=FILE: where the report goes
	double mips = 100;   // mips=X: instructions per microsecond of each CPU
	Cycles window = 100; // window=N: instructions per turn
	unsigned rep = 16;   // rep=N: bytes that REP MOVS and REP STOS move per instruction charged
	double sample = 4000; // sample=N: mean cycles between samples of the profile; 0: no profile
};

// Throws Error.
Settings parse_settings(std::span<char *> arguments);

} // namespace pacer

#endif // PACER_SETTINGS_H
