// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_FAULT_H
#define DMSC_FAULT_H

#include <string_view>

namespace dmsc
{

// What may be wrong with a table.
enum class Fault {
	// Device-mapper refuses it before a target of ours sees it.
	core,
	origin_arguments,
	arguments,
	origin_device,
	cow_device,
	same_device,
	store,
	store_options,
	store_persistent,
	cow_contents,
	cow_version,
	cow_corrupt,
	cow_end,
	cow_small,
	chunk_number,
	chunk_power,
	chunk_small,
	chunk_large,
	chunk_count,
	feature_count,
	feature_unknown,
	feature_left_over,
	feature_passdown,
	feature_commit_store,
	feature_commit_twice,
	waiting,
	begin,
	origin_in_use,
	cow_in_use,
	// Of clones.
	clone_arguments,
	meta_device,
	dest_device,
	source_device,
	dest_small,
	source_small,
	three_devices,
	region_size,
	region_blocks,
	region_count,
	clone_feature_count,
	clone_feature_unknown,
	core_count,
	core_value,
	core_unknown,
	core_left_over,
	meta_in_use,
	dest_in_use,
	source_in_use,
	meta_small,
	meta_contents,
	meta_half_zero,
	meta_stock,
	meta_damaged,
	meta_version,
	meta_region,
	meta_size,
	meta_contradiction,
	meta_bitmap,
};

constexpr Fault kLastFault = Fault::meta_bitmap;

// How the kernel log must put it; empty for core.
std::string_view sentence(Fault fault);
// Whether it depends on what a COW or metadata device contains, of which tables alone say nothing.
bool is_about_contents(Fault fault);
// Whether there are devices with which it can happen: blocks are not larger than pages.
bool is_possible(Fault fault);
// Whether a refusal for that reason may have this errno value.
bool fits(Fault fault, int error);
// Whether the kernel is later than 6.1: device-mapper's core says other things there.
bool is_later_kernel();

} // namespace dmsc

#endif // DMSC_FAULT_H
