// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_ORACLE_H
#define DMSC_ORACLE_H

#include "../common/table.h"
#include "devices.h"
#include "fault.h"

#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

namespace dmsc
{

enum class Expect {
	accept,
	refuse,
	// The kernel's core decides, not we.
	either,
};

std::string_view to_string(Expect expect);

struct Verdict {
	Expect load = Expect::accept;
	// What may be named as the reason of a refusal.
	std::set<Fault> faults;
	Expect resume = Expect::accept;
	// It stands on itself.
	bool self = false;
	// How an accepted table must be shown, unless the kernel's core decides.
	std::optional<Table> shown;
};

// Judges a table by README.md and the kernel's documentation of device-mapper, and not by our
// sources. No snapshot or clone of the devices exists, and a device called "meta" begins with
// zeroes.
Verdict judge(const Table &table, const Devices &devices);

// A form of a message that a target knows: words, of which <number> stands for any number.
struct MessageForm {
	std::string_view type;
	std::string_view form;
	// With which it is refused all the same; 0: it is accepted.
	int error = 0;
	// Upper case is not lower case.
	bool exact = false;
};

// What the targets know that are under test.
std::span<const MessageForm> message_forms();

struct MessageVerdict {
	Expect expect = Expect::accept;
	// Of a refusal.
	int error = 0;
};

// Judges a message to an active target.
MessageVerdict judge_message(std::string_view type, std::string_view message,
			     std::span<const MessageForm> forms);

} // namespace dmsc

#endif // DMSC_ORACLE_H
