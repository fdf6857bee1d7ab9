// SPDX-License-Identifier: GPL-2.0-only
// dmsc-sequence: random sequences of operations and I/O, done to the kernel and to a model of it.
#include "../common/version.h"
#include "crash.h"
#include "generator.h"
#include "kernel.h"
#include "runner.h"
#include "script.h"
#include "self_test.h"
#include "shrink.h"
#include "watchdog.h"

#include <CLI/CLI.hpp>

#include <cctype>
#include <chrono>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace
{

constexpr int kUsage = 2;
// A sequence that is tried while it is shrunk is short.
constexpr std::chrono::seconds kShortPatience{10};
// What tells more of a power cut.
constexpr dmsc::Generator::Habits kCrashHabits{6, 8, false, 2, true, true};

struct Arguments {
	std::string pool;
	std::string subject = "ours";
	std::vector<std::string> files;
	std::uint64_t seed = 0;
	std::uint64_t first = 0;
	std::optional<std::uint64_t> sequences;
	std::uint64_t seconds = 0;
	std::uint64_t steps = 100;
	unsigned int shrink = 0;
	std::size_t crashes = 0;
	std::string log;
	std::string replay;
	bool keep_going = false;
	bool self_test = false;
	bool verbose = false;
};

void declare(CLI::App &app, Arguments &arguments)
{
	app.add_option("--pool", arguments.pool, "block device of 16 MiB, whose contents are lost");
	app.add_option("--subject", arguments.subject, "whose targets: ours, or stock")
		->check(CLI::IsMember({"ours", "stock"}))
		->capture_default_str();
	app.add_option("files", arguments.files,
		       "sequences to be repeated, instead of random ones");
	app.add_option("--seed", arguments.seed, "seed; default: random, printed");
	app.add_option("--first", arguments.first, "number of the first sequence, to repeat one");
	app.add_option("--sequences", arguments.sequences,
		       "how many; default: 10, or what --seconds allows");
	app.add_option("--seconds", arguments.seconds, "begin none after that time");
	app.add_option("--steps", arguments.steps, "operations of each")->capture_default_str();
	app.add_option("--shrink", arguments.shrink,
		       "look for a shorter sequence that fails, with so many runs of each; "
		       "default: do not");
	app.add_option("--crash", arguments.crashes,
		       "let the power fail at so many moments of each, and look what is left");
	app.add_option("--log", arguments.log, "for --crash: block device for dm-log-writes");
	app.add_option("--replay", arguments.replay,
		       "for --crash: block device like that of --pool");
	app.add_flag("--keep-going", arguments.keep_going, "also after one has failed");
	app.add_flag("--self-test", arguments.self_test, "check the model, without a kernel");
	app.add_flag("--verbose", arguments.verbose, "print each operation before it is done");
}

std::optional<std::string> repeat(dmsc::Runner &runner, const dmsc::Operations &operations)
{
	std::size_t at = 0;

	return runner.run([&](const dmsc::Model &) -> std::optional<dmsc::Operation> {
		if (at == operations.size())
			return std::nullopt;
		return operations[at++];
	});
}

// What is the same in two complaints about the same fault: not the numbers, nor who met it.
std::string kind_of(const std::string &complaint)
{
	const auto colon = complaint.find(": ");
	std::string kind = colon == std::string::npos ? complaint : complaint.substr(colon);

	std::erase_if(kind, [](unsigned char byte) { return std::isdigit(byte) != 0; });
	return kind;
}

class Session
{
public:
	explicit Session(const Arguments &arguments)
		: arguments_(arguments),
		  subject_(arguments.subject == "ours" ? dmsc::Subject::ours
						       : dmsc::Subject::stock),
		  crash_(make_crash(arguments, subject_)),
		  kernel_(subject_, crash_ ? crash_->pool() : arguments.pool, crash_ != nullptr),
		  runner_(kernel_, arguments.verbose ? &std::cout : nullptr)
	{
		if (crash_)
			runner_.set_observer([this](const auto &operation, const auto &model) {
				crash_->mark(operation, model);
			});
	}

	// False if a sequence fails.
	bool run_files()
	{
		bool good = true;

		for (const std::string &file : arguments_.files) {
			std::ifstream in(file);

			if (!in)
				throw std::runtime_error("cannot read " + file);
			good = run(file, arguments_.seed,
				   [&, operations = dmsc::read_operations(in)] {
					   return repeat(runner_, operations);
				   }) &&
			       good;
			if (!good && !arguments_.keep_going)
				break;
		}
		return good;
	}

	bool run_random()
	{
		const auto begun = std::chrono::steady_clock::now();
		const std::uint64_t most =
			arguments_.sequences.value_or(arguments_.seconds != 0 ? UINT64_MAX : 10);
		bool good = true;

		for (std::uint64_t i = 0; i < most; i++) {
			if (arguments_.seconds != 0 &&
			    std::chrono::steady_clock::now() - begun >=
				    std::chrono::seconds(arguments_.seconds))
				break;

			const std::uint64_t number = arguments_.first + i;

			good = run("sequence " + std::to_string(number), arguments_.seed + number,
				   [&] {
					   dmsc::Generator generator(arguments_.seed, number,
								     habits());
					   std::uint64_t left = arguments_.steps;

					   return runner_.run(
						   [&](const dmsc::Model &model)
							   -> std::optional<dmsc::Operation> {
							   if (left-- == 0)
								   return std::nullopt;
							   return generator.next(model);
						   });
				   }) &&
			       good;
			if (!good && !arguments_.keep_going)
				break;
		}
		return good;
	}

	[[nodiscard]] const dmsc::Runner::Counts &counts() const { return runner_.counts(); }
	[[nodiscard]] const dmsc::Crash *crash() const { return crash_.get(); }

private:
	[[nodiscard]] dmsc::Generator::Habits habits() const
	{
		dmsc::Generator::Habits habits;

		if (crash_)
			habits = kCrashHabits;
		// Stock's targets know no commit=.
		habits.commits = subject_ == dmsc::Subject::ours;
		return habits;
	}
	static std::unique_ptr<dmsc::Crash> make_crash(const Arguments &arguments,
						       dmsc::Subject subject)
	{
		if (arguments.crashes == 0)
			return nullptr;
		return std::make_unique<dmsc::Crash>(
			dmsc::Crash::Disks{arguments.pool, arguments.log, arguments.replay},
			subject);
	}

	// The sequence, and power cuts in it.
	template <typename Run>
	std::optional<std::string> run_once(const std::string &name, std::uint64_t seed,
					    const Run &run)
	{
		std::optional<std::string> complaint;

		watchdog_.begin(name);
		if (crash_) {
			if (!kernel_.clear())
				throw std::runtime_error("what the last sequence has left behind "
							 "cannot be removed");
			crash_->begin();
		}
		complaint = run();
		if (!complaint && crash_) {
			watchdog_.begin(name + ", power cuts");
			if (!kernel_.clear())
				return "something cannot be removed";
			complaint = crash_->check(arguments_.crashes, seed);
		}
		return complaint;
	}

	template <typename Run>
	bool run(const std::string &name, std::uint64_t seed, const Run &run)
	{
		const std::optional<std::string> complaint = run_once(name, seed, run);

		if (!complaint)
			return true;
		std::cout << "FAILED: " << name << ": " << *complaint << std::endl;
		report(name, seed, *complaint);
		return false;
	}

	void report(const std::string &name, std::uint64_t seed, std::string complaint)
	{
		dmsc::Operations operations = runner_.done();
		const std::string kind = kind_of(complaint);

		runner_.set_patience(kShortPatience);
		if (arguments_.shrink != 0)
			operations = dmsc::shrink(
				operations, arguments_.shrink, [&](const auto &shorter) {
					const auto again = run_once(name + ", shrunk", seed, [&] {
						return repeat(runner_, shorter);
					});

					if (!again || kind_of(*again) != kind)
						return false;
					complaint = *again;
					return true;
				});
		dmsc::print_script(operations, complaint, subject_, std::cout);
	}

	const Arguments &arguments_;
	dmsc::Subject subject_;
	dmsc::Watchdog watchdog_;
	// Below the devices of the kernel.
	std::unique_ptr<dmsc::Crash> crash_;
	dmsc::Kernel kernel_;
	dmsc::Runner runner_;
};

int sequences(Arguments &arguments)
{
	if (arguments.seed == 0)
		arguments.seed = std::random_device{}();
	std::cout << "dmsc-sequence: seed " << arguments.seed << std::endl;

	Session session(arguments);
	const bool good = arguments.files.empty() ? session.run_random() : session.run_files();
	const dmsc::Runner::Counts &counts = session.counts();

	std::cout << counts.sequences << " sequences, " << counts.operations
		  << " operations: " << counts.ios << " I/Os, " << counts.refused
		  << " had to be refused, " << counts.skipped
		  << " made no sense then; sectors compared: " << counts.compared.one
		  << " with one value, " << counts.compared.several << " with several, "
		  << counts.compared.any << " with anything" << std::endl;
	if (session.crash() != nullptr)
		std::cout << session.crash()->counts().moments
			  << " power cuts: " << session.crash()->counts().looks
			  << " looks at COW and metadata devices, "
			  << session.crash()->counts().unknown << " of them unknown, "
			  << session.crash()->counts().opened << " snapshots opened, "
			  << session.crash()->counts().merged << " merged, "
			  << session.crash()->counts().clones << " clones opened" << std::endl;
	if (session.crash() != nullptr &&
	    session.crash()->counts().opened + session.crash()->counts().clones == 0) {
		std::cout << "nothing was opened after a power cut" << std::endl;
		return 1;
	}
	return good ? 0 : 1;
}

} // namespace

int main(int argc, char **argv)
{
	try {
		CLI::App app("Random sequences, done to the kernel and to a model of it");
		app.set_version_flag("--version", dmsc::version("dmsc-sequence"));
		Arguments arguments;

		declare(app, arguments);
		try {
			app.parse(argc, argv);
		} catch (const CLI::ParseError &error) {
			return app.exit(error) == 0 ? 0 : kUsage;
		}
		if (arguments.self_test)
			return dmsc::self_test(std::cout) ? 0 : 1;
		if (arguments.pool.empty())
			throw std::runtime_error("--pool is needed");
		if (arguments.crashes != 0 && (arguments.log.empty() || arguments.replay.empty()))
			throw std::runtime_error("--crash needs --log and --replay");
		return sequences(arguments);
	} catch (const std::exception &error) {
		std::cerr << "dmsc-sequence: " << error.what() << std::endl;
		return kUsage;
	}
}
