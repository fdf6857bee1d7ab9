// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_ORACLE_H
#define DMSC_ORACLE_H

#include "devices.h"
#include "table.h"

#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

namespace dmsc
{

// What may be wrong with a table.
enum class Fault {
	// Device-mapper refuses it before a target of ours sees it.
	core,
	origin_arguments,
	arguments,
	origin_device,
	cow_device,
	same_device,
	store,
	store_options,
	store_persistent,
	cow_contents,
	cow_version,
	cow_corrupt,
	cow_end,
	cow_small,
	chunk_number,
	chunk_power,
	chunk_small,
	chunk_large,
	chunk_count,
	feature_count,
	feature_unknown,
	feature_left_over,
	feature_passdown,
	waiting,
};

constexpr Fault kLastFault = Fault::waiting;

// How the kernel log must put it; empty for core.
std::string_view sentence(Fault fault);
// Whether it depends on what a COW device contains, of which tables alone say nothing.
bool is_about_contents(Fault fault);
// Whether a refusal for that reason may have this errno value.
bool fits(Fault fault, int error);

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
// sources. No snapshot of the devices exists.
Verdict judge(const Table &table, const Devices &devices);

// A form of a message that a target accepts: words, of which <number> stands for any number.
struct MessageForm {
	std::string_view type;
	std::string_view form;
};

// What the targets accept that are under test. So far they accept none.
std::span<const MessageForm> message_forms();

// Judges a message to an active target.
Expect judge_message(std::string_view type, std::string_view message,
		     std::span<const MessageForm> forms);

} // namespace dmsc

#endif // DMSC_ORACLE_H
