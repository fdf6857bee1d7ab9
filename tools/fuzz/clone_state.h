// SPDX-License-Identifier: GPL-2.0-only
// What a clone's status must say.
#ifndef DMSC_CLONE_STATE_H
#define DMSC_CLONE_STATE_H

#include "../common/clone_layout.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace dmsc
{

class CloneState
{
public:
	// The table line's arguments behind the devices; the line is a valid one.
	CloneState(std::uint64_t length, std::span<const std::string> arguments,
		   std::uint64_t meta_sectors);

	// An accepted message.
	void message(std::string_view text);
	// The destination may be one that does not discard.
	void may_lack_discards() { may_lack_discards_ = true; }
	// So many regions are in the destination, if the background copies nothing.
	void set_hydrated(std::uint64_t regions) { hydrated_ = regions; }

	[[nodiscard]] const CloneGeometry &geometry() const { return geometry_; }
	[[nodiscard]] bool enabled() const { return enabled_; }
	[[nodiscard]] std::uint64_t threshold() const { return threshold_; }
	// What is wrong with a status. Nobody has written to it but those who set the number of
	// regions.
	[[nodiscard]] std::optional<std::string> complain(const std::string &status) const;

private:
	void set(std::string_view name, std::uint64_t value);
	[[nodiscard]] std::string tail(bool passdown) const;
	[[nodiscard]] bool is_progress(std::string_view text) const;

	CloneGeometry geometry_;
	std::uint64_t meta_sectors_;
	std::uint64_t threshold_ = 0;
	std::uint64_t batch_ = 0;
	std::uint64_t hydrated_ = 0;
	bool enabled_ = true;
	bool passdown_ = true;
	bool may_lack_discards_ = false;
	// Whether the background has had its chance.
	bool was_enabled_ = true;
};

} // namespace dmsc

#endif // DMSC_CLONE_STATE_H
