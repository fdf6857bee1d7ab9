// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reference counts kept by CPUs, which end without waiting for a normal grace period of RCU.
 */
#include <linux/cpumask.h>

#include "compat.h"
#include "dm-scaled-refs.h"

int dm_scaled_refs_init(struct dm_scaled_refs *refs)
{
	refs->counts = alloc_percpu(long);
	if (!refs->counts)
		return -ENOMEM;
	init_completion(&refs->drained);
	dm_scaled_refs_reinit(refs);
	return 0;
}

void dm_scaled_refs_exit(struct dm_scaled_refs *refs)
{
	free_percpu(refs->counts);
}

void dm_scaled_refs_reinit(struct dm_scaled_refs *refs)
{
	long *count;
	int cpu;

	for_each_possible_cpu(cpu) {
		count = per_cpu_ptr(refs->counts, cpu);
		*count = 0;
	}
	reinit_completion(&refs->drained);
	/* Whoever finds @draining set finds @left biased: it is so from the beginning. */
	atomic_long_set(&refs->left, DM_SCALED_REFS_BIAS);
	WRITE_ONCE(refs->draining, false);
}

void dm_scaled_refs_stop(struct dm_scaled_refs *refs)
{
	long counted = 0;
	int cpu;

	WRITE_ONCE(refs->draining, true);
	/* Pairs with the read sections of get and put: @counts do not change any more. */
	synchronize_rcu_expedited();
	for_each_possible_cpu(cpu)
		counted += *per_cpu_ptr(refs->counts, cpu);
	/* Until here @left cannot have become 0. */
	if (!atomic_long_add_return(counted - DM_SCALED_REFS_BIAS, &refs->left))
		complete_all(&refs->drained);
}

void dm_scaled_refs_drain(struct dm_scaled_refs *refs)
{
	dm_scaled_refs_stop(refs);
	wait_for_completion(&refs->drained);
}
