// SPDX-License-Identifier: GPL-2.0-only
#include "worker.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <list>
#include <new>

namespace dmsc
{

namespace
{

constexpr std::size_t kBufferAlignment = 4096;
constexpr std::uint64_t kHotOperations = 32; // drawn around one place, by all threads
constexpr unsigned kHotPercent = 60;

bool is_unsupported(int result)
{
	return result == EOPNOTSUPP || result == ENOTTY;
}

ConstSectorBytes sector_of(std::span<const std::byte> data, std::uint64_t index)
{
	return data.subspan(index << kSectorShift).first<kSectorBytes>();
}

} // namespace

Worker::Worker(Checker &checker, Checker::Thread &thread)
	: checker_(checker), thread_(thread),
	  random_(checker.settings_.seed * 1000003 + std::uint64_t{checker.run_} * 1009,
		  thread.index),
	  buffer_(static_cast<std::byte *>(std::aligned_alloc(
		  kBufferAlignment,
		  std::max<std::size_t>(checker.settings_.max_sectors << kSectorShift,
					kBufferAlignment))))
{
	if (!buffer_)
		throw std::bad_alloc();
}

std::span<std::byte> Worker::bytes(const Range &range) const
{
	return {buffer_.get(), static_cast<std::size_t>(range.count) << kSectorShift};
}

Tag Worker::next_tag(const Subject &subject)
{
	return make_tag(subject.id, checker_.run_, thread_.index, thread_.serial++);
}

void Worker::run()
{
	const std::uint64_t limit = checker_.settings_.ops;

	for (std::uint64_t number = 0; limit == 0 || number < limit; number++) {
		if (checker_.stop_)
			break;

		const Gate::Pass pass(checker_.gate_);

		if (auto operation = draw(number))
			perform(*operation);
	}
}

// Takes the same count of random numbers whatever the devices answer, so that a seed always gives
// the same operations.
std::optional<Operation> Worker::draw(std::uint64_t number)
{
	const std::uint64_t share = random_.below(100);
	const std::uint64_t choice = random_.next();
	const std::uint64_t kind = random_.next();
	const auto &snapshots = checker_.snapshots_;
	const bool origin = snapshots.empty() || share < checker_.settings_.origin_share;
	Operation operation;

	operation.device = origin ? 0 : snapshots[choice % snapshots.size()];
	operation.kind = (origin ? checker_.settings_.origin_mix : checker_.settings_.snapshot_mix)
				 .draw(kind);
	operation.range = draw_range(number, subject(operation.device).device);
	if (operation.range.count == 0)
		return std::nullopt;
	return operation;
}

// Most operations of all threads fall around one place, which moves: writes to the origin then meet
// reads of the snapshots. Half of the sizes are powers of two at their own alignment: whole chunks.
Range Worker::draw_range(std::uint64_t number, const Device &device)
{
	const std::uint64_t block = device.block_sectors();
	const std::uint64_t blocks = device.sectors() / block;
	const std::uint64_t max_blocks = std::min(
		std::max<std::uint64_t>(checker_.settings_.max_sectors / block, 1), blocks);
	const bool hot = random_.below(100) < kHotPercent;
	const bool aligned = random_.below(2) == 0;
	const auto magnitude = static_cast<unsigned>(random_.below(std::bit_width(max_blocks)));
	const std::uint64_t extra = random_.next();
	const std::uint64_t where = random_.next();
	Random place(checker_.settings_.seed, number / kHotOperations);

	if (blocks == 0)
		return {};

	std::uint64_t count = std::uint64_t{1} << magnitude;
	std::uint64_t first =
		hot ? (place.below(blocks) + where % (2 * max_blocks)) % blocks : where % blocks;

	if (aligned)
		first -= first % count;
	else
		count = std::min(count + extra % count, max_blocks);
	count = std::min(count, blocks - first);
	return {first * block, count * block};
}

void Worker::perform(Operation operation)
{
	if (operation.kind == Kind::read)
		do_read(operation);
	else if (operation.kind == Kind::discard && !subject(operation.device).discards)
		return;
	else if (operation.kind == Kind::discard && operation.device != 0 &&
		 checker_.settings_.discard_passdown)
		do_passdown(operation);
	else
		do_change(operation);
}

// Performs the operation with its bookkeeping; the caller holds the locks. Returns
// operation.result.
int Worker::submit(Subject &subject, const Operation &wanted)
{
	Operation operation = wanted;
	const bool dead_before = subject.dead;
	const std::span<std::byte> data = bytes(operation.range);

	operation.started = Clock::now();
	{
		const std::lock_guard held(thread_.mutex);

		thread_.current = operation;
	}
	switch (operation.kind) {
	case Kind::read:
		operation.result = subject.device.read(operation.range.first, data);
		break;
	case Kind::write:
	case Kind::durable:
	case Kind::flush:
		operation.result = subject.device.write(operation.range.first, data,
							operation.kind == Kind::durable);
		if (operation.kind == Kind::flush && operation.result == 0)
			operation.result = subject.device.flush();
		break;
	case Kind::discard:
		operation.result = subject.device.discard(operation.range);
		break;
	case Kind::zero:
		operation.result = subject.device.zero(operation.range);
		break;
	}
	operation.ended = Clock::now();
	account(subject, operation, dead_before);
	return operation.result;
}

void Worker::account(Subject &subject, const Operation &operation, bool dead_before)
{
	{
		const std::lock_guard held(thread_.mutex);
		Counters &counters = thread_.counters.at(static_cast<std::size_t>(operation.kind));

		thread_.current.reset();
		counters.done++;
		counters.longest = std::max(counters.longest, operation.ended - operation.started);
		if (operation.result == 0)
			counters.sectors += operation.range.count;
		else if (operation.kind == Kind::discard && is_unsupported(operation.result))
			counters.unsupported++;
		else
			counters.errors++;
	}
	thread_.history.add(operation);

	if (operation.result == 0) {
		if (dead_before)
			checker_.report_error(operation, "succeeded after an earlier failure");
		return;
	}
	if (operation.kind == Kind::discard && is_unsupported(operation.result)) {
		subject.discards = false;
		return;
	}
	switch (subject.on_error) {
	case OnError::fail:
		checker_.report_error(operation, "failed");
		break;
	case OnError::transient:
		break;
	case OnError::final:
		subject.dead = true;
		break;
	}
}

void Worker::do_read(Operation &operation)
{
	Subject &target = subject(operation.device);
	const RangeLock::Guard guard(target.lock, operation.range, false);

	if (submit(target, operation) == 0)
		compare(operation);
}

// While a snapshot of the origin comes into being its contents are open, see Checker::obey().
void Worker::propose(const Range &range, std::size_t device, Tag tag)
{
	if (device == 0 && checker_.cut_)
		checker_.cut_->add_candidate(range, tag);
}

void Worker::do_change(Operation &operation)
{
	Subject &target = subject(operation.device);
	const bool has_data = operation.kind != Kind::discard && operation.kind != Kind::zero;
	const RangeLock::Guard guard(target.lock, operation.range, true);

	operation.tag = has_data ? next_tag(target) : kZeroes;
	if (has_data) {
		const std::span<std::byte> data = bytes(operation.range);

		for (std::uint64_t i = 0; i < operation.range.count; i++)
			fill_sector(data.subspan(i << kSectorShift).first<kSectorBytes>(),
				    operation.tag, operation.range.first + i);
	}
	propose(operation.range, operation.device, operation.tag);

	const int result = submit(target, operation);

	if (operation.kind == Kind::discard) {
		if (!is_unsupported(result))
			target.model.add_candidate(operation.range, operation.tag);
	} else if (result == 0) {
		target.model.set(operation.range, operation.tag);
	} else {
		target.model.add_candidate(operation.range, operation.tag);
	}
}

// A discard that is passed down to the origin changes it without a copy: every snapshot that still
// shares the sectors sees that.
void Worker::do_passdown(Operation &operation)
{
	std::list<RangeLock::Guard> guards;

	operation.tag = kZeroes;
	for (const auto &other : checker_.subjects_)
		if (other)
			guards.emplace_back(other->lock, operation.range, true);
	if (is_unsupported(submit(subject(operation.device), operation)))
		return;
	for (const auto &other : checker_.subjects_) {
		if (!other)
			continue;

		const std::uint64_t sectors = other->device.sectors();
		const std::uint64_t first = std::min(operation.range.first, sectors);
		const std::uint64_t end = std::min(operation.range.end(), sectors);

		other->model.add_candidate({first, end - first}, kZeroes);
	}
	if (checker_.cut_)
		checker_.cut_->add_candidate(operation.range, kZeroes);
}

void Worker::compare(const Operation &operation)
{
	const std::span<const std::byte> data = bytes(operation.range);
	SectorModel &model = subject(operation.device).model;

	for (std::uint64_t i = 0; i < operation.range.count; i++)
		if (!model.matches(sector_of(data, i), operation.range.first + i))
			checker_.report_mismatch(operation.device, operation.range.first + i, data,
						 operation.range);
}

void Worker::fill(const Range &slice)
{
	Operation operation;

	operation.kind = Kind::write;
	operation.range = slice;
	do_change(operation);
}

void Worker::verify(std::size_t device, const Range &slice)
{
	Operation operation;

	operation.device = device;
	operation.range = slice;
	do_read(operation);
}

} // namespace dmsc
