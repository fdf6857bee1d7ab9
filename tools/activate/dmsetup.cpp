// SPDX-License-Identifier: GPL-2.0-only
#include "dmsetup.h"

#include "program.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace dmsc::dmsetup
{

namespace
{

// DM_UDEV_PRIMARY_SOURCE_FLAG, of which libdevmapper tells, where an ioctl has it.
constexpr std::uint32_t kActivation = 0x0040U << 16U;

// Without the line ends at its end, and on one line.
std::string on_one_line(std::string text)
{
	while (text.ends_with('\n'))
		text.pop_back();
	for (auto &c : text)
		if (c == '\n')
			c = ';';
	return text;
}

std::string text_of(const Table &table)
{
	std::ostringstream text;

	for (const auto &target : table.targets)
		text << target.start << ' ' << target.length << ' ' << target.type << ' '
		     << target.params << '\n';
	return text.str();
}

std::string call(std::vector<std::string> words, const std::string &input = "")
{
	words.insert(words.begin(), "dmsetup");

	auto outcome = run_program(words, input);

	if (outcome.code != 0)
		throw std::runtime_error(on_one_line(outcome.errors));
	return std::move(outcome.output);
}

// It fails if a device goes while it is at work; then another look finds the rest.
std::string print_tables()
{
	constexpr int attempts = 10;
	constexpr auto pause = std::chrono::milliseconds(20);

	for (int i = 1; i < attempts; i++) {
		try {
			return call({"table"});
		} catch (const std::runtime_error &) {
			std::this_thread::sleep_for(pause);
		}
	}
	return call({"table"});
}

} // namespace

// A line of "dmsetup table" is "NAME: START LENGTH TYPE PARAMS", or "NAME: " for a device without.
std::map<std::string, Targets> tables()
{
	std::map<std::string, Targets> all;
	std::istringstream out(print_tables());
	std::string line;

	while (std::getline(out, line)) {
		const auto colon = line.find(": ");
		Target target;

		if (colon == std::string::npos) // "No devices found"
			continue;

		auto &targets = all[line.substr(0, colon)];
		std::istringstream words(line.substr(colon + 2));

		if (!(words >> target.start >> target.length >> target.type))
			continue;
		words >> std::ws;
		std::getline(words, target.params);
		while (target.params.ends_with(' '))
			target.params.pop_back();
		targets.push_back(std::move(target));
	}
	return all;
}

bool has_target(const std::string &type)
{
	std::istringstream out(call({"targets"}));
	std::string line;

	while (std::getline(out, line))
		if (line.starts_with(type + " "))
			return true;
	return false;
}

void create(const std::string &name, const Table &table)
{
	std::vector<std::string> words{"create", name};

	if (table.read_only)
		words.emplace_back("--readonly");
	call(std::move(words), text_of(table));
}

void remove(const std::string &name)
{
	call({"remove", "--retry", name});
}

void wait_for_node(const std::string &name)
{
	constexpr auto pause = std::chrono::milliseconds(20);
	const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
	const auto node = "/dev/mapper/" + name;

	if (!std::filesystem::exists("/run/udev/control"))
		call({"mknodes", name});
	while (!number_at(node)) {
		if (std::chrono::steady_clock::now() > end)
			throw std::runtime_error("is active, but udev has not made " + node);
		std::this_thread::sleep_for(pause);
	}
}

Loaded::Loaded(std::string name, const Table &table) : name_(std::move(name))
{
	call({"create", "--notable", name_});
	try {
		std::vector<std::string> words{"load", name_};

		if (table.read_only)
			words.emplace_back("--readonly");
		call(std::move(words), text_of(table));
	} catch (...) {
		static_cast<void>(control_.remove(name_));
		throw;
	}
}

Loaded::~Loaded()
{
	if (!resumed_)
		static_cast<void>(control_.remove(name_));
}

// As when dmsetup does not wait: udev's rules see an activation.
void Loaded::resume()
{
	auto buffer = make_buffer(name_, 0, sizeof(dm_ioctl));

	header(buffer).event_nr = kActivation;
	if (const int error = control_.call(DM_DEV_SUSPEND, buffer))
		throw std::system_error(error, std::generic_category(), "resuming " + name_);
	resumed_ = true;
}

} // namespace dmsc::dmsetup
