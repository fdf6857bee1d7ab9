// SPDX-License-Identifier: GPL-2.0-only
#include "runner.h"

#include "../common/error_name.h"
#include "layout.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

namespace dmsc
{

namespace
{

constexpr std::size_t kMostIos = 8;
// A read of the whole of a device is made of so large ones.
constexpr std::uint64_t kPiece = 128;
// Tags below are what devices begin with.
constexpr Tag kFirstTag = 100;
constexpr auto kTick = std::chrono::milliseconds(10);

} // namespace

Runner::Complaint Runner::reap(unsigned int milliseconds)
{
	for (const Ended &ended : kernel_.reap(milliseconds)) {
		const std::string what = in_flight_.at(ended.number);

		in_flight_.erase(ended.number);
		if (Complaint complaint = model_->end(ended.number, ended.error == 0, ended.data))
			return what + ": " + *complaint +
			       (ended.error != 0 ? " (" + error_name(ended.error) + ")" : "");
	}
	return std::nullopt;
}

// For all I/O that no suspended device holds up.
Runner::Complaint Runner::wait()
{
	const auto end = std::chrono::steady_clock::now() + patience_;

	for (;;) {
		std::string waits;

		if (Complaint complaint = reap(0))
			return complaint;
		for (const auto &[number, what] : in_flight_)
			if (!model_->is_held_up(number))
				waits = what;
		if (waits.empty())
			return std::nullopt;
		if (std::chrono::steady_clock::now() > end)
			return waits + ": does not end";
		if (Complaint complaint = reap(100))
			return complaint;
	}
}

Runner::Complaint Runner::step_io(const Operation &operation)
{
	if (in_flight_.size() >= kMostIos)
		if (Complaint complaint = wait())
			return complaint;
	if (in_flight_.size() >= kMostIos)
		return std::nullopt;

	if (operation.verb() == "burst") {
		for (std::uint64_t i = 0; i < operation.number(2); i++)
			submit(Operation("write " + operation.word(0) + " " +
					 std::to_string(operation.number(1) + i) + " 1"));
	} else {
		submit(operation);
	}
	return std::nullopt;
}

void Runner::submit(const Operation &operation)
{
	const std::uint64_t number = serial_++;
	const Tag tag = (operation.verb() == "zero" ? kZeroing : 0) + kFirstTag + number;

	in_flight_[number] = operation.to_string() + " (tag " + std::to_string(tag) + ")";
	model_->begin(number, operation, tag);
	kernel_.submit(number, operation, tag);
	counts_.ios++;
}

Runner::Complaint Runner::control(const Operation &operation)
{
	const std::optional<Answer> expected = model_->expect(operation);

	if (!expected) {
		counts_.skipped++;
		if (log_ != nullptr)
			*log_ << "(not now)" << std::endl;
		return std::nullopt;
	}

	const int error = kernel_.perform(operation);

	model_->apply(operation, error == 0);
	if (Complaint complaint = reap(0))
		return complaint;
	if (*expected == Answer::bad)
		counts_.refused++;
	if (error == 0 ? *expected == Answer::bad : *expected == Answer::good)
		return operation.to_string() + ": " + error_name(error) +
		       (error == 0 ? ", but it has to fail" : "");
	return std::nullopt;
}

// Devices that were to be removed as soon as nobody uses them are gone now.
Runner::Complaint Runner::settle()
{
	for (const std::string_view name : kMapped) {
		const std::string device(name);

		if (!model_->exists(device) && !kernel_.vanishes(device))
			return device + ": is still there";
	}
	return std::nullopt;
}

// Whether a status may commit: not if that would wait, or do what a flush before it has left out.
bool Runner::commits(const std::string &device) const
{
	return !observer_ && !model_->is_stuck(device);
}

Runner::Complaint Runner::check()
{
	for (const std::string_view name : kMapped) {
		const std::string device(name);

		if (!model_->exists(device) || model_->may_be_gone(device))
			continue;
		for (const bool inactive : {false, true}) {
			if (inactive && !model_->has_inactive(device))
				continue;

			const bool commit = commits(device);
			const ShownLines table = kernel_.show(device, inactive, true, commit);
			const ShownLines status = kernel_.show(device, inactive, false, commit);

			if (Complaint complaint = model_->check(device, inactive, table, status))
				return device + (inactive ? " (inactive): " : ": ") + *complaint;
			if (kernel_.is_read_only(device, inactive) !=
			    model_->is_read_only(device, inactive))
				return device + (inactive ? " (inactive)" : "") +
				       (model_->is_read_only(device, inactive)
						? ": is not read-only"
						: ": is read-only");
		}
	}
	return std::nullopt;
}

Runner::Complaint Runner::step(const Operation &operation)
{
	Complaint complaint = do_step(operation);

	if (!complaint && observer_)
		observer_(operation, *model_);
	return complaint;
}

Runner::Complaint Runner::do_step(const Operation &operation)
{
	if (log_ != nullptr)
		*log_ << operation.to_string() << std::endl;
	if (!is_taken_down_)
		done_.push_back(operation);
	counts_.operations++;
	if (Complaint complaint = reap(0))
		return complaint;
	if (operation.is_io()) {
		const std::string device = operation.word(0);

		if (!model_->can_do_io(device)) {
			counts_.skipped++;
			return std::nullopt;
		}
		return step_io(operation);
	}
	// An I/O that has ended may have been the last user of a device.
	if (Complaint complaint = settle())
		return complaint;
	if (operation.verb() == "wait" || operation.verb() == "finish") {
		if (Complaint complaint = wait())
			return complaint;
		if (operation.verb() == "finish")
			if (Complaint complaint = finish_all())
				return complaint;
	} else if (Complaint complaint = control(operation)) {
		return complaint;
	}
	if (Complaint complaint = settle())
		return complaint;
	return check();
}

Runner::Complaint Runner::read_all(const std::string &device)
{
	for (std::uint64_t at = 0; at < kVolume; at += kPiece)
		if (Complaint complaint =
			    step(Operation("read " + device + " " + std::to_string(at) + " " +
					   std::to_string(kPiece))))
			return complaint;
	return std::nullopt;
}

Runner::Complaint Runner::read_all()
{
	for (const std::string_view name : kMapped)
		if (model_->can_do_io(std::string(name)) && name != kGrowing)
			if (Complaint complaint = read_all(std::string(name)))
				return complaint;
	return step(Operation("wait"));
}

// All that can be resumed; by force: with another table.
Runner::Complaint Runner::resume_all(bool by_force)
{
	for (const std::string_view name : kMapped) {
		const std::string device(name);
		const bool suspended = model_->exists(device) && model_->is_suspended(device);
		std::vector<std::string> steps{"clear " + device, "resume " + device};

		if (by_force && suspended)
			steps.insert(steps.begin() + 1, "load " + device + " 0 1024 error");
		for (const std::string &each : steps)
			if (model_->exists(device) && (suspended || !by_force))
				if (Complaint complaint = step(Operation(each)))
					return complaint;
	}
	return std::nullopt;
}

// What it does by itself ends.
Runner::Complaint Runner::finish(const std::string &device)
{
	const auto end = std::chrono::steady_clock::now() + patience_;
	const bool commit = commits(device);

	for (;;) {
		const ShownLines table = kernel_.show(device, false, true, commit);
		const ShownLines status = kernel_.show(device, false, false, commit);

		if (Complaint complaint = model_->check(device, false, table, status))
			return device + ": " + *complaint;
		if (!model_->goes_on(device, status))
			return std::nullopt;
		if (std::chrono::steady_clock::now() > end)
			return device + ": does not end: " + status.front().text;
		std::this_thread::sleep_for(kTick);
	}
}

// Devices of which nothing below is suspended.
std::vector<std::string> Runner::running() const
{
	std::vector<std::string> devices(kMapped.begin(), kMapped.end());

	std::erase_if(devices, [this](const std::string &device) {
		return !model_->exists(device) || model_->may_be_gone(device) ||
		       model_->is_stuck(device);
	});
	return devices;
}

Runner::Complaint Runner::finish_all()
{
	for (const std::string &device : running())
		if (Complaint complaint = finish(device))
			return complaint;
	return std::nullopt;
}

Runner::Complaint Runner::start_all()
{
	for (const std::string &device : running())
		for (const Operation &each : model_->starters(device))
			if (Complaint complaint = step(each))
				return complaint;
	return std::nullopt;
}

// The devices below work again, what can be resumed is, what it does by itself ends, all of it is
// read, and goes.
Runner::Complaint Runner::take_down()
{
	const auto was_changed = [this](const std::string &what, const std::string &name) {
		return std::ranges::any_of(done_, [&](const Operation &operation) {
			return operation.verb() == what && operation.word(0) == name;
		});
	};
	std::vector<std::string> steps{"memory on", "pressure off",
				       "threshold " + std::to_string(kThreshold)};

	is_taken_down_ = true;
	for (std::uint64_t number = 1; number <= kCpus; number++)
		if (was_changed("cpu", std::to_string(number)))
			steps.push_back("cpu " + std::to_string(number) + " on");
	for (const Base &base : kBases)
		if (was_changed("base", std::string(base.name)))
			steps.push_back("base " + std::string(base.name) + " ok");
	for (const std::string &each : steps)
		if (Complaint complaint = step(Operation(each)))
			return complaint;
	// What holds one up is the next one's to free. At last a snapshot that another one has got.
	for (const bool by_force : {false, false, true, false, true, false})
		if (Complaint complaint = resume_all(by_force))
			return complaint;
	if (Complaint complaint = step(Operation("wait")))
		return complaint;
	if (!in_flight_.empty())
		return in_flight_.begin()->second + ": does not end, and nothing is suspended";
	if (Complaint complaint = start_all())
		return complaint;
	if (Complaint complaint = step(Operation("finish")))
		return complaint;
	if (Complaint complaint = read_all())
		return complaint;
	for (int round = 0; round < 3; round++)
		for (const std::string_view each : kMappedFromAbove)
			if (model_->exists(std::string(each)))
				if (Complaint complaint =
					    step(Operation("remove " + std::string(each))))
					return complaint;
	for (const std::string_view name : kMapped)
		if (model_->exists(std::string(name)))
			return std::string(name) + ": cannot be removed";
	// What origins and destinations hold without the targets.
	for (const Base &base : kBases)
		if (!base.for_cow)
			if (Complaint complaint = read_all(std::string(base.name)))
				return complaint;
	return step(Operation("wait"));
}

std::optional<std::string> Runner::run(const Source &source)
{
	Complaint complaint;

	done_.clear();
	in_flight_.clear();
	is_taken_down_ = false;
	model_.emplace(kernel_.subject());
	if (!kernel_.reset())
		throw std::runtime_error(
			"what the last sequence has left behind cannot be removed");
	while (!complaint) {
		const std::optional<Operation> operation = source(*model_);

		if (!operation)
			break;
		complaint = step(*operation);
	}
	if (!complaint)
		complaint = take_down();
	counts_.sequences++;
	counts_.compared.one += model_->compared().one;
	counts_.compared.several += model_->compared().several;
	counts_.compared.any += model_->compared().any;
	return complaint;
}

} // namespace dmsc
