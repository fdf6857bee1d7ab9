// SPDX-License-Identifier: GPL-2.0-only
/* 6.13 and later: a timer is initialised with its function. Only tests have one. */
#include <linux/hrtimer.h>

static void __maybe_unused probe(struct hrtimer *timer,
				 enum hrtimer_restart (*function)(struct hrtimer *timer))
{
	hrtimer_setup(timer, function, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	hrtimer_setup_on_stack(timer, function, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
}
