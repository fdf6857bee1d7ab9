// SPDX-License-Identifier: GPL-2.0-only
// The phases that were measured, and whether their numbers mean anything.
#ifndef PACER_REPORT_H
#define PACER_REPORT_H

#include "scheduler.h"
#include "settings.h"

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace pacer
{

class Report
{
public:
	Report(Settings settings, std::string qemu_version, unsigned cpus);

	void begin(unsigned phase, Scheduler &scheduler);
	void end(unsigned phase, const Scheduler &scheduler);
	void add_problem(std::string problem);
	// Writes what there is so far: QEMU may be killed.
	void write() const;
	// Adds what is wrong if nothing more comes.
	void finish();

private:
	struct Begin {
		unsigned phase;
		Progress progress;
		std::vector<Counters> counters;
	};

	Settings settings_;
	std::string qemu_version_;
	unsigned cpus_;
	std::optional<Begin> open_;
	nlohmann::ordered_json phases_ = nlohmann::ordered_json::array();
	std::vector<std::string> problems_;
};

} // namespace pacer

#endif // PACER_REPORT_H
