// SPDX-License-Identifier: GPL-2.0-only
#include "fault.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <sstream>
#include <sys/utsname.h>
#include <utility>

namespace dmsc
{

namespace
{

constexpr std::array kSentences{
	std::pair{Fault::core, std::string_view{}},
	std::pair{Fault::origin_arguments,
		  std::string_view{"Wrong number of arguments: needs one, the origin device"}},
	std::pair{Fault::arguments,
		  std::string_view{
			  "Too few arguments: needs origin, COW device, P, PO or N, chunk size"}},
	std::pair{Fault::origin_device, std::string_view{"Cannot open the origin device"}},
	std::pair{Fault::cow_device, std::string_view{"Cannot open the COW device"}},
	std::pair{Fault::same_device, std::string_view{"COW device must not be the origin device"}},
	std::pair{Fault::store,
		  std::string_view{"Unknown type of exception store: must be P, PO or N"}},
	std::pair{Fault::store_options, std::string_view{"Exception store N takes no options"}},
	std::pair{Fault::store_persistent,
		  std::string_view{"Unknown option of exception store P: must be P or PO"}},
	std::pair{Fault::cow_contents,
		  std::string_view{
			  "COW device holds no snapshot: zero its first sectors to make one"}},
	std::pair{Fault::cow_version,
		  std::string_view{"COW device's format has an unknown version: must be 1"}},
	std::pair{Fault::cow_corrupt,
		  std::string_view{"COW device is corrupt: see the kernel's log"}},
	std::pair{Fault::cow_end,
		  std::string_view{"COW device is corrupt: its list of exceptions does not end"}},
	std::pair{Fault::cow_small, std::string_view{"COW device too small: must hold two chunks"}},
	std::pair{Fault::chunk_number,
		  std::string_view{"Invalid chunk size: must be a number of sectors"}},
	std::pair{Fault::chunk_power, std::string_view{"Invalid chunk size: must be a power of 2"}},
	std::pair{Fault::chunk_small,
		  std::string_view{
			  "Chunk size too small: must be a multiple of the logical block sizes"}},
	std::pair{Fault::chunk_large,
		  std::string_view{"Chunk size too large: must be at most 2097152 sectors"}},
	std::pair{Fault::chunk_count,
		  std::string_view{"COW device has too many chunks: chunk size must be larger"}},
	std::pair{Fault::feature_count, std::string_view{"Wrong number of features: must be 0 to "
							 "2, one more with commit=, as follow"}},
	std::pair{Fault::feature_unknown, std::string_view{"Unknown feature"}},
	std::pair{Fault::feature_left_over,
		  std::string_view{"Arguments left over after the features"}},
	std::pair{Fault::feature_passdown,
		  std::string_view{"Feature discard_passdown_origin needs discard_zeroes_cow"}},
	std::pair{Fault::feature_commit_store,
		  std::string_view{"Feature commit= needs exception store P or PO"}},
	std::pair{Fault::feature_commit_twice, std::string_view{"Feature commit= is there twice"}},
	std::pair{Fault::waiting,
		  std::string_view{"Another table for this COW device is waiting to be resumed"}},
	std::pair{Fault::clone_arguments,
		  std::string_view{
			  "Too few arguments: needs metadata, destination, source, region size"}},
	std::pair{Fault::meta_device, std::string_view{"Cannot open the metadata device"}},
	std::pair{Fault::dest_device, std::string_view{"Cannot open the destination device"}},
	std::pair{Fault::source_device, std::string_view{"Cannot open the source device"}},
	std::pair{Fault::dest_small,
		  std::string_view{"Destination device is smaller than the clone"}},
	std::pair{Fault::source_small, std::string_view{"Source device is smaller than the clone"}},
	std::pair{Fault::three_devices,
		  std::string_view{"Metadata, destination and source must be three devices"}},
	std::pair{Fault::region_size,
		  std::string_view{
			  "Invalid region size: must be a power of 2 from 8 to 2097152 sectors"}},
	std::pair{Fault::region_blocks,
		  std::string_view{
			  "Invalid region size: must be a multiple of the devices' block sizes"}},
	std::pair{
		Fault::region_count,
		std::string_view{"Too many regions, more than 2^31: make the region size larger"}},
	std::pair{Fault::clone_feature_count,
		  std::string_view{
			  "Wrong number of features: must be 0 to 2, and as many must follow"}},
	std::pair{Fault::clone_feature_unknown,
		  std::string_view{"Unknown feature: must be no_hydration or no_discard_passdown"}},
	std::pair{Fault::core_count,
		  std::string_view{
			  "Wrong number of core arguments: must be 0, 2 or 4, and so many follow"}},
	std::pair{Fault::core_value,
		  std::string_view{"Invalid core argument: its value must be a number of regions"}},
	std::pair{Fault::core_unknown,
		  std::string_view{
			  "Unknown argument: not hydration_threshold or hydration_batch_size"}},
	std::pair{Fault::core_left_over,
		  std::string_view{"Arguments left over after the core arguments"}},
	std::pair{Fault::begin,
		  std::string_view{
			  "Target begins within a chunk: must be a multiple of the chunk size"}},
	std::pair{Fault::origin_in_use,
		  std::string_view{"Origin device is in use already: see the kernel's log"}},
	std::pair{Fault::cow_in_use,
		  std::string_view{"COW device is in use already: see the kernel's log"}},
	std::pair{Fault::meta_in_use,
		  std::string_view{"Metadata device is in use already: see the kernel's log"}},
	std::pair{Fault::dest_in_use,
		  std::string_view{"Destination device is in use already: see the kernel's log"}},
	std::pair{Fault::source_in_use,
		  std::string_view{"Source device is in use already: see the kernel's log"}},
	std::pair{
		Fault::meta_small,
		std::string_view{
			"Metadata device is too small: see the kernel log for the size it needs"}},
	std::pair{Fault::meta_contents,
		  std::string_view{
			  "Metadata device holds something else: zero its first 8 KiB to use it"}},
	std::pair{Fault::meta_half_zero, std::string_view{"Zero 8 KiB of metadata, not 4, for a "
							  "new clone; or use dmsc-clone repair"}},
	std::pair{Fault::meta_stock,
		  std::string_view{
			  "Metadata device is one of dm-clone's: convert it with dmsc-clone"}},
	std::pair{Fault::meta_damaged,
		  std::string_view{"Metadata device's superblocks are damaged"}},
	std::pair{Fault::meta_version,
		  std::string_view{
			  "Metadata device's format is not known: made by a newer dm-scaled"}},
	std::pair{Fault::meta_region,
		  std::string_view{"Region size is not that of the metadata device"}},
	std::pair{Fault::meta_size,
		  std::string_view{"Size of the clone is not that of the metadata device"}},
	std::pair{Fault::meta_contradiction,
		  std::string_view{"Metadata device's superblock contradicts itself"}},
	std::pair{Fault::meta_bitmap,
		  std::string_view{"Metadata device's bitmap cannot be read, or is damaged"}},
};

} // namespace

std::string_view sentence(Fault fault)
{
	return std::ranges::find(kSentences, fault, [](const auto &pair) { return pair.first; })
		->second;
}

bool is_about_contents(Fault fault)
{
	switch (fault) {
	case Fault::cow_contents:
	case Fault::cow_version:
	case Fault::cow_corrupt:
	case Fault::cow_end:
	case Fault::cow_small:
	case Fault::meta_contents:
	case Fault::meta_half_zero:
	case Fault::meta_stock:
	case Fault::meta_damaged:
	case Fault::meta_version:
	case Fault::meta_region:
	case Fault::meta_size:
	case Fault::meta_contradiction:
	case Fault::meta_bitmap:
		return true;
	default:
		return false;
	}
}

bool is_possible(Fault fault)
{
	return fault != Fault::region_blocks;
}

bool is_later_kernel()
{
	utsname name{};
	int version = 0;
	int patchlevel = 0;

	if (uname(&name) != 0)
		return false;

	std::istringstream in(name.release);
	char dot = 0;

	in >> version >> dot >> patchlevel;
	return std::pair(version, patchlevel) > std::pair(6, 1);
}

bool fits(Fault fault, int error)
{
	switch (fault) {
	case Fault::origin_device:
	case Fault::cow_device:
	case Fault::meta_device:
	case Fault::dest_device:
	case Fault::source_device:
		// Later kernels say EINVAL of what is no device, and what is wrong with a path.
		if (error == EINVAL || error == ENOENT || error == ENAMETOOLONG ||
		    error == ENOTDIR || error == ELOOP)
			return is_later_kernel();
		return error == ENODEV || error == ENXIO || error == EOVERFLOW ||
		       error == ENOTBLK || error == EACCES || error == EROFS || error == EBUSY;
	case Fault::waiting:
	case Fault::origin_in_use:
	case Fault::cow_in_use:
	case Fault::meta_in_use:
	case Fault::dest_in_use:
	case Fault::source_in_use:
		return error == EBUSY;
	case Fault::cow_contents:
		return error == ENXIO;
	case Fault::cow_corrupt:
	case Fault::cow_end:
		return error == EUCLEAN;
	case Fault::cow_small:
	case Fault::meta_small:
		return error == ENOSPC;
	case Fault::meta_bitmap:
		return error == EILSEQ;
	default:
		return error == EINVAL;
	}
}

} // namespace dmsc
