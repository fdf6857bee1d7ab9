// SPDX-License-Identifier: GPL-2.0-only
// One device under test, with all that is known of it.
#ifndef DMSC_SUBJECT_H
#define DMSC_SUBJECT_H

#include "device.h"
#include "model.h"
#include "range_lock.h"

#include <atomic>
#include <string>

namespace dmsc
{

enum class OnError : std::uint8_t {
	fail,      // no operation may fail
	transient, // any may fail; a write that failed leaves old or new data
	final,     // from the first failure on, all reads and writes must fail
};

struct Subject {
	Subject(const std::string &path, unsigned number, OnError policy, SectorModel contents)
		: device(path), id(number), on_error(policy), model(std::move(contents))
	{
	}

	Device device;
	unsigned id; // part of every tag that it writes; 1 is the origin
	OnError on_error;
	RangeLock lock;
	SectorModel model;                 // protected by lock
	std::atomic<bool> dead = false;    // one failed, with OnError::final
	std::atomic<bool> discards = true; // it has not refused one as unsupported
};

} // namespace dmsc

#endif // DMSC_SUBJECT_H
