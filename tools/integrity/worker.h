// SPDX-License-Identifier: GPL-2.0-only
// What one thread does: draw operations, perform them, compare what it reads with the model.
#ifndef DMSC_WORKER_H
#define DMSC_WORKER_H

#include "../common/random.h"
#include "checker.h"

#include <cstdlib>

namespace dmsc
{

// The part of a thread's state that others look at.
struct Checker::Thread {
	explicit Thread(unsigned number) : index(number) {}

	const unsigned index;
	std::uint64_t serial = 0; // of the next write
	History history;

	std::mutex mutex; // protects what follows
	KindCounters counters;
	std::optional<Operation> current; // in flight
};

class Worker
{
public:
	Worker(Checker &checker, Checker::Thread &thread);

	// Draws operations until it is told to stop or has done as many as it should.
	void run();
	// Both work on one slice of at most max_sectors of a device.
	void fill(const Range &slice);
	void verify(std::size_t device, const Range &slice);

private:
	struct FreeDeleter {
		void operator()(std::byte *memory) const { std::free(memory); }
	};

	std::optional<Operation> draw(std::uint64_t number);
	Range draw_range(std::uint64_t number, const Device &device);
	void perform(Operation operation);
	int submit(Subject &subject, const Operation &operation);
	void account(Subject &subject, const Operation &operation, bool dead_before);
	void do_read(Operation &operation);
	void do_change(Operation &operation);
	void do_passdown(Operation &operation);
	void compare(const Operation &operation);
	void propose(const Range &range, std::size_t device, Tag tag);
	Tag next_tag(const Subject &subject);
	[[nodiscard]] std::span<std::byte> bytes(const Range &range) const;
	Subject &subject(std::size_t device) { return *checker_.subjects_[device]; }

	Checker &checker_;
	Checker::Thread &thread_;
	Random random_;
	std::unique_ptr<std::byte, FreeDeleter> buffer_;
};

} // namespace dmsc

#endif // DMSC_WORKER_H
