// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_SEQUENCE_SHRINK_H
#define DMSC_SEQUENCE_SHRINK_H

#include "operation.h"

#include <functional>

namespace dmsc
{

// A sequence that fails, as short as it was found; without any one of its operations it does not
// fail any more, in so many runs.
Operations shrink(Operations operations, unsigned int runs,
		  const std::function<bool(const Operations &)> &fails);

} // namespace dmsc

#endif // DMSC_SEQUENCE_SHRINK_H
