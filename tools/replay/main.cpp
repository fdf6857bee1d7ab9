// SPDX-License-Identifier: GPL-2.0-only
// Lets a disk's power fail at many moments of a log of dm-log-writes, and has a command look at
// what is left each time. At a moment all is durable up to a flush; with --torn, also any sectors
// of what was written after it, or any of these writes.
#include "../common/log.h"
#include "../common/power_cut.h"
#include "../common/version.h"

#include <CLI/CLI.hpp>

#include <cstdlib>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace
{

using dmsc::Entry;
using dmsc::File;

struct Options {
	std::string log;
	std::string device;
	std::size_t points = 0;
	std::uint64_t seed = 0;
	bool torn = false;
	bool cut = false;
	std::vector<std::string> command;
};

// Quoted for the shell.
std::string quoted(const std::string &word)
{
	std::string out = "'";

	for (const char c : word)
		out += c == '\'' ? std::string("'\\''") : std::string(1, c);
	return out + "'";
}

class Replay
{
public:
	Replay(const Options &options)
		: options_(options), log_(options.log, File::Mode::read),
		  device_(std::in_place, options.device, File::Mode::write),
		  entries_(dmsc::read_entries(log_)), random_(options.seed)
	{
	}

	// Returns the number of moments at which the command has failed.
	int run();
	// Leaves what is there after a power cut at the end of the log.
	void cut();

private:
	// Nobody else may use it while it is written, but the command may.
	void open() { device_.emplace(options_.device, File::Mode::write); }
	void close()
	{
		device_->sync();
		device_.reset();
	}
	void tear(std::size_t moment);
	bool check(std::size_t moment);

	const Options &options_;
	File log_;
	std::optional<File> device_;
	std::vector<Entry> entries_;
	std::mt19937_64 random_;
};

void Replay::tear(std::size_t moment)
{
	for (const auto &[entry, sectors] : dmsc::arrived(entries_, {}, moment, random_))
		dmsc::apply_some(log_, entries_[entry], *device_, sectors);
}

bool Replay::check(std::size_t moment)
{
	std::string line;

	for (const std::string &word : options_.command)
		line += quoted(word) + " ";
	// Commands are those of a test.
	// NOLINTNEXTLINE(cert-env33-c,concurrency-mt-unsafe)
	if (std::system(line.c_str()) == 0)
		return true;
	std::cout << "failed after entry " << moment << " of " << entries_.size() << '\n';
	return false;
}

int Replay::run()
{
	std::size_t done = 0;
	int failed = 0;
	const std::vector<std::size_t> all =
		dmsc::cut_moments(entries_, 0, options_.points, random_);

	for (const std::size_t moment : all) {
		for (; done < moment; done++)
			dmsc::apply(log_, entries_[done], *device_);
		if (options_.torn)
			tear(moment);
		close();
		failed += check(moment) ? 0 : 1;
		open();
	}
	std::cout << entries_.size() << " entries, " << all.size() << " moments, " << failed
		  << " failed\n";
	return failed;
}

void Replay::cut()
{
	std::size_t durable = 0;

	// Of the last write, if nothing follows, perhaps not all is in the log.
	if (!entries_.empty() && entries_.back().bytes > 0)
		entries_.pop_back();
	for (std::size_t i = 0; i < entries_.size(); i++)
		if (entries_[i].barrier())
			durable = i + 1;
	for (std::size_t i = 0; i < durable; i++)
		dmsc::apply(log_, entries_[i], *device_);
	tear(durable);
	close();
	std::cout << entries_.size() << " entries, " << durable << " durable\n";
}

} // namespace

int main(int argc, char **argv)
{
	try {
		CLI::App app("Replays a log of dm-log-writes, and runs a command wherever the "
			     "power might "
			     "fail");
		app.set_version_flag("--version", dmsc::version("dmsc-replay"));
		Options options;

		app.add_option("--log", options.log, "device or file with the log")->required();
		app.add_option("--to", options.device,
			       "device as it was when the log began; it is changed")
			->required();
		app.add_option("--points", options.points,
			       "at most so many moments, chosen at random; 0: all");
		app.add_option("--seed", options.seed, "decides which, and what tears");
		app.add_flag("--torn", options.torn,
			     "some sectors arrive of what had not been flushed at the moment");
		auto *cut = app.add_flag(
			"--cut", options.cut,
			"no command: leaves the device as a power cut at the log's end does, with "
			"some sectors of what had not been flushed");
		app.add_option("command", options.command, "its exit code is 0 if all is well")
			->excludes(cut);
		try {
			app.parse(argc, argv);
		} catch (const CLI::ParseError &error) {
			return app.exit(error) == 0 ? 0 : 2;
		}
		dmsc::refuse_same(options.log, options.device);
		Replay replay(options);

		if (options.cut) {
			replay.cut();
			return 0;
		}
		if (options.command.empty()) {
			std::cerr << "dmsc-replay: needs a command, or --cut\n";
			return 2;
		}
		return replay.run() == 0 ? 0 : 1;
	} catch (const std::exception &error) {
		std::cerr << "dmsc-replay: " << error.what() << std::endl;
		return 2;
	}
}
