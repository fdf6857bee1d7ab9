// SPDX-License-Identifier: GPL-2.0-only
// Arguments of the programs for the guest.
#ifndef PACER_GUEST_ARGUMENTS_H
#define PACER_GUEST_ARGUMENTS_H

#include "../number.h"

#include <stdexcept>
#include <string>
#include <string_view>

namespace pacer
{

inline unsigned parse(std::string_view text)
{
	if (const auto value = to_number<unsigned>(text))
		return *value;
	throw std::invalid_argument("not a number: " + std::string(text));
}

} // namespace pacer

#endif // PACER_GUEST_ARGUMENTS_H
