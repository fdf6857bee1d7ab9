// SPDX-License-Identifier: GPL-2.0-only
// One system call that changes devices or modules, prepared so that nothing but the call is left.
#ifndef DMSC_STEP_H
#define DMSC_STEP_H

#include <memory>
#include <string>

namespace dmsc
{

class Step
{
public:
	Step() = default;
	virtual ~Step() = default;
	Step(const Step &) = delete;
	Step &operator=(const Step &) = delete;

	// Whatever may allocate memory and is not the call.
	virtual void prepare() = 0;
	// Returns 0 or an errno value.
	virtual int call() = 0;
};

// From a line: create|resume|suspend|clear|remove|status|table DEVICE, load DEVICE TABLE,
// insmod FILE or rmmod MODULE.
std::unique_ptr<Step> make_step(const std::string &line);

} // namespace dmsc

#endif // DMSC_STEP_H
