// SPDX-License-Identifier: GPL-2.0-only
// What stock's targets do otherwise than the model says: found by running the same sequences on
// them. docs/design.md says of each what it is, and why ours does not do it.
#ifndef DMSC_SEQUENCE_DIFFERENCES_H
#define DMSC_SEQUENCE_DIFFERENCES_H

#include "subject.h"

namespace dmsc
{

struct Differences {
	// Stock's have all of them, ours none.
	bool is_stock = false;
	// A table that waits for a snapshot shows a chunk size of 0, and the status of a new one,
	// also when it can never get it any more. One whose snapshot another table has got shows
	// what that one asked for.
	bool waiting_shows_nothing = is_stock;
	// An origin or merge target learns the smallest chunk size when it is resumed. Writes that
	// come before, and are longer than a chunk of a newer snapshot, have only their first chunk
	// copied for it.
	bool origin_learns_chunks_when_resumed = is_stock;
	// A table that has lost its snapshot, or waits in vain, stands in the way of another one
	// for the COW device, or gives it nothing.
	bool lost_is_in_the_way = is_stock;
	// A merge that has lost its snapshot lets I/O through to the origin.
	bool lost_merge_shows_origin = is_stock;
	// Two targets may change one device. What becomes of it nobody says.
	bool devices_are_shared = is_stock;
	// A second merge to an origin is accepted if its snapshot is in no table.
	bool merges_twice = is_stock;
	// After an error of the metadata device of a clone, what it was not told reads as the
	// source again.
	bool metadata_error_forgets = is_stock;
	// If a sector cannot be copied, others that are copied at the same time are not hydrated,
	// and writes to their regions fail.
	bool batch_fails_together = is_stock;
	// The kernel crashes if a line of a table opens a device for more than a line before it
	// did: the origin of a snapshot is opened for reads only, for a merge for writes only.
	bool more_access_crashes = is_stock;
	// So it may if a COW device is in two lines of a table.
	bool cow_again_crashes = is_stock;
	// Where a target begins does not count when it is asked whether its origin is long enough.
	bool only_lengths_are_checked = is_stock;
	// Words behind those of a message to a clone, or of a snapshot's features, do not count.
	bool more_words_are_taken = is_stock;
	// What is written to a persistent snapshot is in it durably when the write has ended: there
	// is no commit=.
	bool writes_are_committed = is_stock;
};

constexpr Differences differences_of(Subject subject)
{
	return {subject == Subject::stock};
}

} // namespace dmsc

#endif // DMSC_SEQUENCE_DIFFERENCES_H
