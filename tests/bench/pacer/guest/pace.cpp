// SPDX-License-Identifier: GPL-2.0-only
// Runs in the simulated machine: switches the pacer, and measures a phase of a load that others
// make.
#include "arguments.h"
#include "marks.h"

#include <chrono>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

namespace
{

using pacer::parse;

using Milliseconds = std::chrono::milliseconds;

// I/Os that show that a load has begun, and how long to wait for them.
constexpr std::uint64_t kFirstIos = 40;
constexpr Milliseconds kPatience{30000};

constexpr const char *kUsage = R"(usage: pace on | off
       pace measure PHASE DELAY_MS LENGTH_MS FILE DEVICE...
       pace begin | end PHASE
on, off    simulated time begins, ends
begin, end the pacer begins to measure, and ends
measure    waits until the first DEVICE does I/O and for DELAY_MS more, then has the pacer
           measure for LENGTH_MS; counts the DEVICEs' I/Os meanwhile and writes them, as JSON, to FILE
PHASE      a number from 0 to 63 by which the pacer's report calls it
)";

struct Ios {
	std::uint64_t reads = 0;
	std::uint64_t writes = 0;
};

// The kernel's document on the file: I/Os are the first value for reads, the fifth for writes.
Ios read_ios(const std::string &device)
{
	std::ifstream in("/sys/class/block/" + device + "/stat");
	Ios ios;
	std::uint64_t other = 0;

	in >> ios.reads >> other >> other >> other >> ios.writes;
	if (!in)
		throw std::runtime_error("no block device " + device);
	return ios;
}

void wait_for_load(const std::string &device)
{
	const auto count = [&] {
		const Ios ios = read_ios(device);

		return ios.reads + ios.writes;
	};
	const std::uint64_t enough = count() + kFirstIos;
	const auto end = std::chrono::steady_clock::now() + kPatience;

	while (count() < enough) {
		if (std::chrono::steady_clock::now() > end)
			throw std::runtime_error("no I/O on " + device);
		std::this_thread::sleep_for(Milliseconds(20));
	}
}

std::vector<Ios> read_all(std::span<const std::string> devices)
{
	std::vector<Ios> all;

	for (const std::string &device : devices)
		all.push_back(read_ios(device));
	return all;
}

void measure(unsigned phase, Milliseconds delay, Milliseconds length, const std::string &file,
	     std::span<const std::string> devices)
{
	wait_for_load(devices.front());
	std::this_thread::sleep_for(delay);

	const auto start = std::chrono::steady_clock::now();
	const std::vector<Ios> before = read_all(devices);

	pacer::mark<pacer::Command::begin>(phase);
	std::this_thread::sleep_for(length);
	pacer::mark<pacer::Command::end>(phase);

	const std::vector<Ios> after = read_all(devices);
	const std::chrono::duration<double, std::milli> took =
		std::chrono::steady_clock::now() - start;
	std::ofstream out(file);

	nlohmann::ordered_json result = {{"phase", phase},
					 {"ms", took.count()},
					 {"devices", nlohmann::ordered_json::object()}};

	for (std::size_t i = 0; i < devices.size(); i++)
		result["devices"][devices[i]] = {{"reads", after[i].reads - before[i].reads},
						 {"writes", after[i].writes - before[i].writes}};
	out << result << '\n';
	if (!out.flush())
		throw std::runtime_error("cannot write " + file);
}

void run(std::span<char *> arguments)
{
	constexpr std::size_t kMeasureArguments = 6;
	const std::vector<std::string> words(arguments.begin(), arguments.end());
	const std::string command = words.empty() ? "" : words[0];

	if (command == "on" && words.size() == 1)
		return pacer::mark<pacer::Command::on>(0);
	if (command == "off" && words.size() == 1)
		return pacer::mark<pacer::Command::off>(0);
	if (command == "begin" && words.size() == 2)
		return pacer::mark<pacer::Command::begin>(parse(words[1]));
	if (command == "end" && words.size() == 2)
		return pacer::mark<pacer::Command::end>(parse(words[1]));
	if (command != "measure" || words.size() < kMeasureArguments)
		throw std::invalid_argument(kUsage);
	measure(parse(words[1]), Milliseconds(parse(words[2])), Milliseconds(parse(words[3])),
		words[4], std::span(words).subspan(kMeasureArguments - 1));
}

} // namespace

int main(int argc, char **argv)
{
	try {
		run(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
		return 0;
	} catch (const std::invalid_argument &error) {
		std::cerr << error.what() << '\n';
		return 2;
	} catch (const std::exception &error) {
		std::cerr << "pace: " << error.what() << '\n';
		return 1;
	}
}
