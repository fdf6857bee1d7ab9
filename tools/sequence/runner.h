// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_SEQUENCE_RUNNER_H
#define DMSC_SEQUENCE_RUNNER_H

#include "kernel.h"
#include "model.h"
#include "operation.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace dmsc
{

// Does a sequence to the kernel and to the model, and compares all that they say.
class Runner
{
public:
	// What is done next, if anything.
	using Source = std::function<std::optional<Operation>(const Model &)>;

	// Each operation is logged before it is done, if there is a log.
	Runner(Kernel &kernel, std::ostream *log) : kernel_(kernel), log_(log) {}
	// Is called after each operation.
	using Observer = std::function<void(const Operation &, const Model &)>;
	void set_observer(Observer observer) { observer_ = std::move(observer); }
	// I/O that nobody holds up has to end in this time.
	void set_patience(std::chrono::seconds patience) { patience_ = patience; }

	// What went wrong, if anything. Everything is taken down afterwards, which is part of the
	// test.
	std::optional<std::string> run(const Source &source);
	// The operations that were done, without the taking down.
	[[nodiscard]] const Operations &done() const { return done_; }
	// Operations in all sequences, I/O among them, and those that had to fail. Runs while a
	// sequence is shrunk count, too.
	struct Counts {
		std::uint64_t sequences = 0;
		std::uint64_t operations = 0;
		std::uint64_t ios = 0;
		std::uint64_t refused = 0;
		std::uint64_t skipped = 0;
		// In sequences that have ended.
		Model::Compared compared;
	};
	[[nodiscard]] const Counts &counts() const { return counts_; }

private:
	using Complaint = std::optional<std::string>;

	Complaint step(const Operation &operation);
	Complaint do_step(const Operation &operation);
	Complaint step_io(const Operation &operation);
	void submit(const Operation &operation);
	Complaint control(const Operation &operation);
	Complaint reap(unsigned int milliseconds);
	Complaint wait();
	Complaint settle();
	[[nodiscard]] bool commits(const std::string &device) const;
	Complaint check();
	Complaint resume_all(bool by_force);
	Complaint finish(const std::string &device);
	[[nodiscard]] std::vector<std::string> running() const;
	Complaint finish_all();
	Complaint start_all();
	Complaint take_down();
	Complaint read_all(const std::string &device);
	Complaint read_all();

	Kernel &kernel_;
	std::ostream *log_;
	Observer observer_;
	std::optional<Model> model_;
	Operations done_;
	Counts counts_;
	std::map<std::uint64_t, std::string> in_flight_;
	std::uint64_t serial_ = 0;
	std::chrono::seconds patience_{60};
	bool is_taken_down_ = false;
};

} // namespace dmsc

#endif // DMSC_SEQUENCE_RUNNER_H
