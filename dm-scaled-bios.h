/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bios of a target, counted so that its background can give way to them.
 */
#ifndef DM_SCALED_BIOS_H
#define DM_SCALED_BIOS_H

#include <linux/percpu.h>

/**
 * struct dm_scaled_bios - bios as a CPU has counted them
 * @begun: bios that were mapped
 * @ended: bios that have ended; as each may do so elsewhere, only sums mean something
 */
struct dm_scaled_bios {
	unsigned long begun;
	unsigned long ended;
};

/**
 * dm_scaled_bios_begun() - number of bios that were mapped, ever
 * @bios:      of all CPUs
 * @under_way: set to whether some of them have not ended
 *
 * Context: any.
 */
static inline unsigned long dm_scaled_bios_begun(struct dm_scaled_bios __percpu *bios,
						 bool *under_way)
{
	unsigned long begun = 0, ended = 0;
	unsigned int cpu;

	/* In this order what ends meanwhile counts as under way. */
	for_each_possible_cpu(cpu)
		ended += READ_ONCE(per_cpu_ptr(bios, cpu)->ended);
	smp_rmb(); /* A bio is counted as begun long before it is as ended. */
	for_each_possible_cpu(cpu)
		begun += READ_ONCE(per_cpu_ptr(bios, cpu)->begun);
	*under_way = begun != ended;
	return begun;
}

#endif /* DM_SCALED_BIOS_H */
