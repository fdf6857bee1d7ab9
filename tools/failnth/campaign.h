// SPDX-License-Identifier: GPL-2.0-only
// Fails the allocations of a system call one after another, and sees to it that the failures are
// clean.
#ifndef DMSC_CAMPAIGN_H
#define DMSC_CAMPAIGN_H

#include "fault.h"
#include "kernel_log.h"
#include "step.h"

#include <iosfwd>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace dmsc
{

struct Settings {
	std::vector<std::string> before;
	std::string test;
	std::vector<std::string> after;
	std::vector<std::string> cleanup;
	bool again = false;
	unsigned stride = 1;
	std::set<int> errors;
};

class Campaign
{
public:
	Campaign(Settings settings, std::ostream &out);

	void run();

private:
	// Where an allocation failed, and what became of it.
	using Outcome = std::string;

	bool attempt(const Target &target);
	[[nodiscard]] std::vector<Target> choose() const;
	void report(unsigned total) const;

	Settings settings_;
	std::ostream &out_;
	Fault fault_;
	KernelLog log_;
	std::unique_ptr<Step> test_;
	std::vector<std::unique_ptr<Step>> before_;
	std::vector<std::unique_ptr<Step>> after_;
	std::vector<std::unique_ptr<Step>> cleanup_;
	std::map<Target, Outcome> outcomes_;
};

} // namespace dmsc

#endif // DMSC_CAMPAIGN_H
