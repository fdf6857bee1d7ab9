// SPDX-License-Identifier: GPL-2.0-only
#include "clone_state.h"

#include "../common/table.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace dmsc
{

namespace
{

// What is copied at a time, and together, unless told otherwise.
constexpr std::uint64_t kThreshold = 32768; // sectors
constexpr std::uint64_t kBatch = 2048;      // sectors

std::string lower(std::string_view text)
{
	std::string out(text);

	for (char &byte : out)
		byte = static_cast<char>(std::tolower(static_cast<unsigned char>(byte)));
	return out;
}

// A number that is known to be one, as the kernel takes it.
std::uint64_t number_of(std::string_view text)
{
	std::uint64_t value = 0;

	if (text.starts_with('+'))
		text.remove_prefix(1);
	std::from_chars(text.data(), text.data() + text.size(), value);
	return value;
}

// Takes digits off the front.
std::optional<std::uint64_t> take_number(std::string_view &text)
{
	std::uint64_t value = 0;
	const auto taken = std::from_chars(text.data(), text.data() + text.size(), value);

	if (taken.ec != std::errc())
		return std::nullopt;
	text.remove_prefix(static_cast<std::size_t>(taken.ptr - text.data()));
	return value;
}

} // namespace

CloneState::CloneState(std::uint64_t length, std::span<const std::string> arguments,
		       std::uint64_t meta_sectors)
	: geometry_{.region_size = number_of(arguments[0]), .target_size = length},
	  meta_sectors_(meta_sectors)
{
	threshold_ = std::max<std::uint64_t>(kThreshold / geometry_.region_size, 1);
	batch_ = std::max<std::uint64_t>(kBatch / geometry_.region_size, 1);

	const std::size_t features = arguments.size() > 1 ? number_of(arguments[1]) : 0;

	for (std::size_t i = 2; i < 2 + features; i++)
		(lower(arguments[i]) == "no_hydration" ? enabled_ : passdown_) = false;
	for (std::size_t i = 3 + features; i + 1 < arguments.size(); i += 2)
		set(lower(arguments[i]), number_of(arguments[i + 1]));
	was_enabled_ = enabled_ && threshold_ != 0;
}

void CloneState::set(std::string_view name, std::uint64_t value)
{
	(name == "hydration_threshold" ? threshold_ : batch_) = value;
}

void CloneState::message(std::string_view text)
{
	const auto words = split_arguments(text);
	const std::string name = lower(words[0]);

	if (name == "enable_hydration")
		enabled_ = true;
	else if (name == "disable_hydration")
		enabled_ = false;
	else if (name.starts_with("hydration_"))
		set(name, number_of(words[1]));
	was_enabled_ |= enabled_ && threshold_ != 0;
}

std::string CloneState::tail(bool passdown) const
{
	std::string text = std::to_string((enabled_ ? 0 : 1) + (passdown ? 0 : 1));

	if (!enabled_)
		text += " no_hydration";
	if (!passdown)
		text += " no_discard_passdown";
	return text + " 4 hydration_threshold " + std::to_string(threshold_) +
	       " hydration_batch_size " + std::to_string(batch_) + " rw";
}

// "HYDRATED/ALL COPYING "
bool CloneState::is_progress(std::string_view text) const
{
	const auto hydrated = take_number(text);
	const std::string all = "/" + std::to_string(geometry_.regions()) + " ";

	if (!hydrated || !text.starts_with(all))
		return false;
	text.remove_prefix(all.size());

	const auto copying = take_number(text);

	if (!copying || text != " ")
		return false;
	if (!was_enabled_)
		return *hydrated == hydrated_ && *copying == 0;
	return *hydrated >= hydrated_ && *hydrated <= geometry_.regions() &&
	       *copying <= geometry_.regions();
}

std::optional<std::string> CloneState::complain(const std::string &status) const
{
	const std::string head = std::to_string(kCloneBlockSectors) + " " +
				 std::to_string(geometry_.needed() / kCloneBlockSectors) + "/" +
				 std::to_string(meta_sectors_ / kCloneBlockSectors) + " " +
				 std::to_string(geometry_.region_size) + " ";
	std::string end = tail(passdown_);

	if (may_lack_discards_ && !status.ends_with(end))
		end = tail(false);
	if (status.starts_with(head) && status.ends_with(end) &&
	    status.size() >= head.size() + end.size() &&
	    is_progress(std::string_view(status).substr(head.size(),
							status.size() - head.size() - end.size())))
		return std::nullopt;
	return "status is \"" + status + "\", not \"" + head + std::to_string(hydrated_) +
	       (was_enabled_ ? " or more" : "") + "/" + std::to_string(geometry_.regions()) + " " +
	       (was_enabled_ ? "some" : "0") + " " + end + "\"";
}

} // namespace dmsc
