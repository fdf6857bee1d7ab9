// SPDX-License-Identifier: GPL-2.0-only
#include "operation.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <iomanip>
#include <sstream>
#include <stdexcept>

namespace dmsc
{

namespace
{

constexpr std::array<std::string_view, kKinds> kNames{"read",  "write",   "durable",
						      "flush", "discard", "zero"};

} // namespace

std::string_view kind_name(Kind kind)
{
	return kNames.at(static_cast<std::size_t>(kind));
}

Mix::Mix(const std::string &text)
{
	std::istringstream in(text);

	for (std::string item; std::getline(in, item, ',');) {
		const std::size_t equals = item.find('=');
		const auto *const name =
			std::ranges::find(kNames, std::string_view(item).substr(0, equals));
		unsigned weight = 0;

		if (equals == std::string::npos || name == kNames.end())
			throw std::runtime_error("--mix: no such kind: " + item);

		const char *const first = item.data() + equals + 1;
		const char *const last = item.data() + item.size();
		const auto parsed = std::from_chars(first, last, weight);

		if (parsed.ec != std::errc() || parsed.ptr != last || weight > 1000000)
			throw std::runtime_error("--mix: not a weight: " + item);
		weights_.at(static_cast<std::size_t>(name - kNames.begin())) = weight;
	}
	for (const unsigned weight : weights_)
		total_ += weight;
	if (total_ == 0)
		throw std::runtime_error("--mix: all weights are zero");
}

Kind Mix::draw(std::uint64_t number) const
{
	std::uint64_t left = number % total_;
	std::size_t kind = 0;

	while (left >= weights_.at(kind))
		left -= weights_.at(kind++);
	return static_cast<Kind>(kind);
}

std::string describe_operation(const Operation &operation, Clock::time_point origin)
{
	const auto since = [&](Clock::time_point when) {
		return std::chrono::duration<double>(when - origin).count();
	};
	std::ostringstream out;

	out << std::fixed << std::setprecision(6) << since(operation.started) << " to "
	    << since(operation.ended) << " s: " << kind_name(operation.kind) << " device "
	    << operation.device << " sectors " << operation.range.first << " + "
	    << operation.range.count;
	if (operation.kind != Kind::read)
		out << ": " << describe_tag(operation.tag);
	if (operation.result != 0)
		out << ": failed: "
		    << std::strerror(operation.result); // NOLINT(concurrency-mt-unsafe)
	return out.str();
}

void History::add(const Operation &operation)
{
	const std::lock_guard held(mutex_);

	if (ring_.size() < kDepth)
		ring_.push_back(operation);
	else
		ring_[next_ % kDepth] = operation;
	next_++;
}

void History::collect(std::vector<Operation> &out, const Range &range) const
{
	const std::lock_guard held(mutex_);

	std::ranges::copy_if(ring_, std::back_inserter(out), [&](const Operation &operation) {
		return operation.range.overlaps(range);
	});
}

Counters &Counters::operator+=(const Counters &other)
{
	done += other.done;
	sectors += other.sectors;
	errors += other.errors;
	unsupported += other.unsupported;
	longest = std::max(longest, other.longest);
	return *this;
}

} // namespace dmsc
