// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints the frequency of the TSC in kHz.
 *
 * The TSC and the clock cannot be read at the same moment, and on a busy machine there may be long
 * between. Each reading of the clock is between two of the TSC; the one counts for which they are
 * closest to each other.
 */
#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct moment {
	unsigned long tsc;
	long ns;
};

static struct moment now(void)
{
	struct moment best = { 0 };
	unsigned long least = ULONG_MAX;

	for (int i = 0; i < 1000; i++) {
		struct timespec ts;
		unsigned long before, after;

		before = __rdtsc();
		clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
		after = __rdtsc();
		if (after - before < least) {
			least = after - before;
			best.tsc = before + least / 2;
			best.ns = ts.tv_sec * 1000000000L + ts.tv_nsec;
		}
	}
	return best;
}

int main(void)
{
	const struct timespec pause = { .tv_nsec = 200 * 1000 * 1000 };
	struct moment begin = now(), end;

	nanosleep(&pause, NULL);
	end = now();
	printf("%.0f\n", (double)(end.tsc - begin.tsc) * 1e6 / (double)(end.ns - begin.ns));
	return 0;
}
