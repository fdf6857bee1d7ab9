// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_GENERATOR_H
#define DMSC_GENERATOR_H

#include "../common/random.h"
#include "../common/table.h"
#include "devices.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dmsc
{

// Makes tables: valid ones by the grammar, and mutations of those and of the corpus.
class Generator
{
public:
	Generator(const Devices &devices, std::vector<Table> corpus)
		: devices_(devices), corpus_(std::move(corpus))
	{
	}

	// As the grammar says.
	[[nodiscard]] Table valid(Random &random) const;
	// Anything.
	[[nodiscard]] Table table(Random &random) const;
	// To an active target.
	[[nodiscard]] std::string message(Random &random) const;

private:
	[[nodiscard]] bool fits_behind(std::uint64_t start, const Target &target) const;
	[[nodiscard]] Target valid_target(Random &random, std::string_view type) const;
	void snapshot(Random &random, std::vector<std::string> &words) const;
	void clone(Random &random, std::vector<std::string> &words) const;
	[[nodiscard]] std::string device(Random &random, std::string_view name) const;
	[[nodiscard]] std::string word(Random &random) const;
	void mutate_words(Random &random, std::vector<std::string> &words) const;
	void mutate_target(Random &random, Target &target) const;
	[[nodiscard]] std::uint64_t sectors(Random &random) const;

	const Devices &devices_;
	std::vector<Table> corpus_;
};

} // namespace dmsc

#endif // DMSC_GENERATOR_H
