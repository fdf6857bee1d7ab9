// SPDX-License-Identifier: GPL-2.0-only
// dmsc-fuzz: do the targets refuse, and accept, what they should?
#include "../common/version.h"
#include "clone_images.h"
#include "fuzzer.h"
#include "images.h"
#include "self_test.h"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <random>

namespace
{

constexpr int kUsage = 2;
// With so many tries each of our messages should have been seen.
constexpr std::uint64_t kEnough = 10000;

struct Arguments {
	dmsc::FuzzSettings settings;
	std::vector<std::string> devices;
	std::vector<std::string> corpus;
	std::string trouble;
	bool self_test = false;
	std::uint64_t images = 0;
	std::uint64_t clone_images = 0;
};

void declare(CLI::App &app, Arguments &arguments)
{
	dmsc::FuzzSettings &settings = arguments.settings;

	app.add_option(
		"--device", arguments.devices,
		"NAME=PATH of a device for the tables; origin, cow, meta, dest, source are needed, "
		"block, readonly, zero, huge, vast, mapped are known to the corpus; repeatable");
	app.add_option("--corpus", arguments.corpus, "file of tables to begin with; repeatable");
	app.add_option("--trouble", arguments.trouble,
		       "file of patterns that the kernel log must not match");
	app.add_option("--seed", settings.seed, "seed; default: random, printed");
	app.add_option("--first", settings.first, "number of the first try, to repeat one");
	app.add_option("--tries", settings.tries, "how many tries")->capture_default_str();
	app.add_flag("--verbose", settings.verbose, "print each table");
	app.add_option(
		"--images", arguments.images,
		"instead, so many damaged COW devices; needs --device origin= and cow=, whose "
		"contents are lost");
	app.add_option("--clone-images", arguments.clone_images,
		       "instead, so many damaged metadata devices of clones; needs --device "
		       "source=, dest= "
		       "and meta=, whose contents are lost, and --trouble");
	app.add_flag("--self-test", arguments.self_test, "check the generator and the oracle");
}

void summarize(const dmsc::FuzzCounts &counts, double seconds)
{
	const auto total =
		counts.accepted + counts.refused + counts.raw + counts.messages + counts.steps;

	std::cout << counts.accepted << " tables accepted, " << counts.refused << " refused; "
		  << counts.either << " were the kernel's to decide, " << counts.resumed
		  << " resumed; " << counts.raw << " damaged buffers, " << counts.messages
		  << " messages, " << counts.steps << " steps of sequences; "
		  << static_cast<double>(total) / seconds << " tries/s" << std::endl;
}

bool saw_all(const dmsc::FuzzCounts &counts)
{
	bool all = true;

	for (int i = 1; i <= static_cast<int>(dmsc::kLastFault); i++) {
		const auto fault = static_cast<dmsc::Fault>(i);

		if (counts.seen.contains(fault) || dmsc::is_about_contents(fault) ||
		    !dmsc::is_possible(fault))
			continue;
		std::cout << "FAILED: never refused with: " << dmsc::sentence(fault) << std::endl;
		all = false;
	}
	return all;
}

void choose_seed(dmsc::FuzzSettings &settings)
{
	if (settings.seed == 0)
		settings.seed = std::random_device{}();
}

int images(Arguments &arguments)
{
	dmsc::ImageSettings settings;

	for (const std::string &each : arguments.devices) {
		const dmsc::BlockDevice device = dmsc::open_block_device(each);

		(device.name == "origin" ? settings.origin : settings.cow) = device.path;
	}
	choose_seed(arguments.settings);
	settings.seed = arguments.settings.seed;
	settings.first = arguments.settings.first;
	settings.tries = arguments.images;
	std::cout << "dmsc-fuzz: seed " << settings.seed << ", " << settings.tries << " images"
		  << std::endl;
	return dmsc::try_images(settings, std::cout) ? 0 : 1;
}

int clone_images(Arguments &arguments)
{
	std::map<std::string, std::string> paths;

	for (const std::string &each : arguments.devices) {
		const dmsc::BlockDevice device = dmsc::open_block_device(each);

		paths[device.name] = device.path;
	}
	choose_seed(arguments.settings);
	std::cout << "dmsc-fuzz: seed " << arguments.settings.seed << ", " << arguments.clone_images
		  << " clone images" << std::endl;
	return dmsc::try_clone_images({.seed = arguments.settings.seed,
				       .first = arguments.settings.first,
				       .tries = arguments.clone_images,
				       .trouble = arguments.trouble,
				       .source = paths.at("source"),
				       .dest = paths.at("dest"),
				       .meta = paths.at("meta")},
				      std::cout)
		       ? 0
		       : 1;
}

int fuzz(Arguments &arguments)
{
	std::vector<dmsc::BlockDevice> list;

	list.reserve(arguments.devices.size());
	for (const std::string &each : arguments.devices)
		list.push_back(dmsc::open_block_device(each));

	dmsc::Devices devices = dmsc::real_devices(list);

	for (const char *name : {"origin", "cow", "meta", "dest", "source"})
		if (devices.find(name) == nullptr)
			throw std::runtime_error("--device " + std::string(name) + "= is needed");
	if (arguments.trouble.empty())
		throw std::runtime_error("--trouble is needed");
	choose_seed(arguments.settings);

	dmsc::Fuzzer fuzzer(devices, arguments.settings, arguments.trouble, std::cout);
	// The device for tables exists now, and the corpus may name it.
	const auto corpus = dmsc::read_corpus(arguments.corpus, devices);
	std::vector<dmsc::Table> seeds;

	seeds.reserve(corpus.size());
	for (const dmsc::CorpusLine &line : corpus)
		seeds.push_back(line.table);
	std::cout << "dmsc-fuzz: seed " << arguments.settings.seed << ", "
		  << arguments.settings.tries << " tries, " << corpus.size()
		  << " lines of the corpus" << std::endl;

	const dmsc::Generator generator(devices, seeds);
	const auto begin = std::chrono::steady_clock::now();
	bool good = fuzzer.run_corpus(corpus) && fuzzer.run(generator);
	const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;

	summarize(fuzzer.counts(), elapsed.count());
	if (good && arguments.settings.tries >= kEnough)
		good = saw_all(fuzzer.counts());
	return good ? 0 : 1;
}

} // namespace

int main(int argc, char **argv)
{
	try {
		CLI::App app("Gives the targets tables and messages, and knows which are right");
		app.set_version_flag("--version", dmsc::version("dmsc-fuzz"));
		Arguments arguments;

		declare(app, arguments);
		try {
			app.parse(argc, argv);
		} catch (const CLI::ParseError &error) {
			return app.exit(error) == 0 ? 0 : kUsage;
		}
		if (arguments.self_test)
			return dmsc::self_test(arguments.corpus, std::cout) ? 0 : 1;
		if (arguments.clone_images != 0)
			return clone_images(arguments);
		return arguments.images != 0 ? images(arguments) : fuzz(arguments);
	} catch (const std::exception &error) {
		std::cerr << "dmsc-fuzz: " << error.what() << std::endl;
		return kUsage;
	}
}
