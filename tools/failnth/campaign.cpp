// SPDX-License-Identifier: GPL-2.0-only
#include "campaign.h"

#include <algorithm>
#include <ostream>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace dmsc
{

namespace
{

constexpr unsigned kNever = 1000000000;

std::vector<std::unique_ptr<Step>> make_steps(const std::vector<std::string> &lines)
{
	std::vector<std::unique_ptr<Step>> steps;

	steps.reserve(lines.size());
	for (const std::string &line : lines)
		steps.push_back(make_step(line));
	return steps;
}

void perform(Step &step, const std::string &line)
{
	step.prepare();

	const int error = step.call();

	if (error != 0)
		throw std::system_error(error, std::generic_category(), line);
}

void perform_all(const std::vector<std::unique_ptr<Step>> &steps,
		 const std::vector<std::string> &lines)
{
	for (std::size_t i = 0; i < steps.size(); i++)
		perform(*steps[i], lines[i]);
}

} // namespace

Campaign::Campaign(Settings settings, std::ostream &out)
	: settings_(std::move(settings)), out_(out), test_(make_step(settings_.test)),
	  before_(make_steps(settings_.before)), after_(make_steps(settings_.after)),
	  cleanup_(make_steps(settings_.cleanup))
{
}

// Returns how many allocations there were, if less than that.
bool Campaign::attempt(const Target &target)
{
	int error = 0;

	perform_all(before_, settings_.before);

	test_->prepare();
	log_.skip();

	const bool failed = fault_.inject(target, [&] { error = test_->call(); });

	if (failed)
		outcomes_[target] = Fault::site() + ": " +
				    (error == 0 ? "no harm"
						: std::generic_category().message(error) + "; " +
							  log_.device_mapper_lines());
	if (error != 0 && (!failed || !settings_.errors.contains(error)))
		throw std::system_error(error, std::generic_category(), settings_.test);
	if (error != 0 && settings_.again) {
		perform(*test_, "again, without a fault: " + settings_.test);
		error = 0;
	}
	if (error == 0)
		perform_all(after_, settings_.after);
	perform_all(cleanup_, settings_.cleanup);
	return failed;
}

// Which of the allocations that the last call made are to fail. If the stacks that they were made
// from are known: from each the first and the last, and with a stride some in between; so it does
// not matter that some are not made each time. Otherwise all, by number.
std::vector<Target> Campaign::choose() const
{
	const std::vector<unsigned> stacks = Fault::stacks();
	std::map<unsigned, unsigned> counts;
	std::vector<Target> chosen;

	if (stacks.size() != fault_.total()) {
		for (unsigned nth = 1; nth <= fault_.total(); nth++)
			chosen.push_back({.nth = nth});
		return chosen;
	}
	for (const unsigned stack : stacks)
		counts[stack]++;
	for (const auto &[stack, count] : counts)
		for (unsigned skip = 0; skip < count; skip++)
			if (skip % settings_.stride == 0 || skip + 1 == count)
				chosen.push_back({.stack = stack, .skip = skip});
	return chosen;
}

void Campaign::run()
{
	// The first time some is allocated that is there later.
	attempt({.nth = kNever});
	attempt({.nth = kNever});

	const unsigned total = fault_.total();

	for (const Target &target : choose())
		attempt(target);
	report(total);
}

void Campaign::report(unsigned total) const
{
	std::vector<std::pair<Outcome, unsigned>> counts;

	for (const auto &[nth, outcome] : outcomes_) {
		const auto found =
			std::ranges::find(counts, outcome, &std::pair<Outcome, unsigned>::first);

		if (found == counts.end())
			counts.emplace_back(outcome, 1);
		else
			found->second++;
	}
	for (const auto &[outcome, count] : counts)
		out_ << count << "x " << outcome << '\n';
	out_ << outcomes_.size() << " of " << total << " allocations failed: " << settings_.test
	     << std::endl;
}

} // namespace dmsc
