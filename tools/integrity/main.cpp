// SPDX-License-Identifier: GPL-2.0-only
// dmsc-integrity: does every byte of an origin and of its snapshots hold what it must?
#include "../common/version.h"
#include "checker.h"
#include "self_test.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iostream>
#include <random>

#include <sys/mman.h>

namespace
{

std::atomic<dmsc::Checker *> running = nullptr;

void stop_running(int /*signal*/)
{
	if (dmsc::Checker *checker = running.load())
		checker->request_stop();
}

struct Arguments {
	dmsc::Settings settings;
	std::string origin;
	std::vector<std::string> snapshots;
	std::vector<std::string> dropped;
	std::string load;
	std::string save;
	std::string json;
	std::string ready;
	std::string mix;
	std::string snapshot_mix;
	std::string self_test;
	std::uint64_t max_io = std::uint64_t{1} << 20;
	bool fill = false;
	bool assume_zero = false;
	bool verify_only = false;
	bool no_verify = false;
	bool control = false;
	bool lock_memory = false;
	bool snapshot_invalid = false;
	bool snapshot_errors = false;
	bool origin_errors = false;
};

void declare(CLI::App &app, Arguments &arguments)
{
	dmsc::Settings &settings = arguments.settings;

	app.add_option("--origin", arguments.origin, "device to write to, e.g. /dev/mapper/origin");
	app.add_option("--snapshot,--add-snapshot", arguments.snapshots,
		       "snapshot that now has the origin's contents; repeatable");
	app.add_option("--drop-snapshot", arguments.dropped,
		       "forget a snapshot of the loaded model; repeatable");
	app.add_option("--load", arguments.load, "model of an earlier run, with its devices");
	app.add_option("--save", arguments.save, "where to put the model at the end");
	app.add_flag("--fill", arguments.fill, "first write the whole origin");
	app.add_flag("--assume-zero", arguments.assume_zero, "the origin holds zeroes");
	app.add_flag("--verify-only", arguments.verify_only, "read everything, change nothing");
	app.add_flag("--no-verify", arguments.no_verify, "do not read everything at the end");
	app.add_option("--threads", settings.threads, "threads")
		->check(CLI::Range(1, 255))
		->capture_default_str();
	app.add_option("--seconds", settings.seconds, "how long to run");
	app.add_option("--ops", settings.ops, "how many operations each thread does");
	app.add_option("--seed", settings.seed, "seed of the operations; default: random, printed");
	app.add_option("--max-io", arguments.max_io, "largest operation in bytes")
		->check(CLI::Range(std::uint64_t{4096}, std::uint64_t{1} << 26))
		->capture_default_str();
	app.add_option("--origin-share", settings.origin_share,
		       "percentage of operations that go to the origin")
		->check(CLI::Range(0, 100))
		->capture_default_str();
	app.add_option("--mix", arguments.mix,
		       "weights of the origin's operations: read, write, durable, flush, discard, "
		       "zero, e.g. read=30,write=70");
	app.add_option("--snapshot-mix", arguments.snapshot_mix,
		       "weights of the snapshots' operations; default: --mix where given");
	app.add_flag("--discard-passdown", settings.discard_passdown,
		     "discards of a snapshot reach the origin");
	app.add_flag("--allow-snapshot-invalid", arguments.snapshot_invalid,
		     "a snapshot may fail, and must then fail for ever");
	app.add_flag("--allow-snapshot-errors", arguments.snapshot_errors,
		     "operations on snapshots may fail");
	app.add_flag("--allow-origin-errors", arguments.origin_errors,
		     "operations on the origin may fail");
	app.add_option("--hang-timeout", settings.hang_seconds,
		       "seconds after which an operation counts as hung")
		->capture_default_str();
	app.add_flag("--control", arguments.control,
		     "obey lines on standard input: cut, add DEV, drop DEV, stop");
	app.add_flag("--lock-memory", arguments.lock_memory, "keep the checker's memory resident");
	app.add_option("--json", arguments.json, "file for statistics; - for standard output");
	app.add_option("--ready", arguments.ready,
		       "file that is created before the first operation");
	app.add_option("--self-test", arguments.self_test,
		       "check the checker with files in this directory");
}

void complete(Arguments &arguments)
{
	dmsc::Settings &settings = arguments.settings;

	if (arguments.load.empty() && arguments.origin.empty())
		throw std::runtime_error("--origin or --load is needed");
	if (arguments.load.empty() && !arguments.assume_zero &&
	    (!arguments.fill || !arguments.snapshots.empty()))
		throw std::runtime_error("the contents are unknown: --load a model, or "
					 "--assume-zero, or --fill before there are snapshots");
	if (arguments.snapshot_invalid && arguments.snapshot_errors)
		throw std::runtime_error(
			"--allow-snapshot-invalid and --allow-snapshot-errors exclude each other");
	if (!arguments.mix.empty())
		settings.origin_mix = settings.snapshot_mix = dmsc::Mix(arguments.mix);
	if (!arguments.snapshot_mix.empty())
		settings.snapshot_mix = dmsc::Mix(arguments.snapshot_mix);
	if (settings.seed == 0)
		settings.seed = std::random_device{}();
	settings.max_sectors = arguments.max_io >> dmsc::kSectorShift;
	if (arguments.snapshot_invalid)
		settings.snapshot_errors = dmsc::OnError::final;
	if (arguments.snapshot_errors)
		settings.snapshot_errors = dmsc::OnError::transient;
	if (arguments.origin_errors)
		settings.origin_errors = dmsc::OnError::transient;
}

void prepare(dmsc::Checker &checker, const Arguments &arguments)
{
	if (!arguments.load.empty())
		checker.load(arguments.load,
			     arguments.origin.empty() ? std::nullopt
						      : std::optional(arguments.origin),
			     arguments.dropped);
	else
		checker.set_origin(arguments.origin,
				   arguments.assume_zero ? dmsc::kZeroes : dmsc::kAny);
	for (const std::string &path : arguments.snapshots)
		checker.add_snapshot(path);
}

int check(const Arguments &arguments)
{
	const dmsc::Settings &settings = arguments.settings;
	dmsc::Checker checker(settings, std::cerr);

	prepare(checker, arguments);
	// On fault: threads have large stacks that they hardly use.
	if (arguments.lock_memory && ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		throw std::runtime_error("cannot lock memory");
	running = &checker;
	(void)std::signal(SIGTERM, stop_running);
	(void)std::signal(SIGINT, stop_running);
	std::cerr << "dmsc-integrity: seed " << settings.seed << ", " << settings.threads
		  << " threads" << std::endl;

	if (!arguments.ready.empty() && !std::ofstream(arguments.ready))
		throw std::runtime_error("cannot create " + arguments.ready);
	if (arguments.fill)
		checker.fill();
	if (!arguments.verify_only && (settings.seconds != 0 || settings.ops != 0))
		checker.run(arguments.control ? &std::cin : nullptr, std::cout);
	if (!arguments.no_verify && checker.outcome() == dmsc::Outcome::success)
		checker.verify();
	running = nullptr;

	if (!arguments.save.empty())
		checker.save(arguments.save);
	if (arguments.json == "-")
		std::cout << checker.statistics() << std::endl;
	else if (!arguments.json.empty())
		std::ofstream(arguments.json) << checker.statistics() << '\n';
	return static_cast<int>(checker.outcome());
}

} // namespace

int main(int argc, char **argv)
{
	// Commands on standard input: what was read ahead must be known.
	std::ios::sync_with_stdio(false);
	try {
		CLI::App app("Drives an origin and its snapshots and knows what they must hold");
		app.set_version_flag("--version", dmsc::version("dmsc-integrity"));
		Arguments arguments;

		declare(app, arguments);
		try {
			app.parse(argc, argv);
		} catch (const CLI::ParseError &error) {
			return app.exit(error) == 0 ? 0 : static_cast<int>(dmsc::Outcome::usage);
		}
		if (!arguments.self_test.empty())
			return dmsc::self_test(arguments.self_test, std::cout) ? 0 : 1;
		complete(arguments);
		return check(arguments);
	} catch (const std::exception &error) {
		std::cerr << "dmsc-integrity: " << error.what() << std::endl;
		return static_cast<int>(dmsc::Outcome::usage);
	}
}
