// SPDX-License-Identifier: GPL-2.0-only
// Shows, checks, converts and repairs the metadata devices of clones.
#include "../common/clone_metadata.h"
#include "../common/command_line.h"
#include "stock.h"

#include <nlohmann/json.hpp>

#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace
{

using dmsc::CloneMetadata;
using dmsc::File;
using dmsc::RegionBits;

struct Options {
	std::string device;
	std::string from;
	std::string assumed;
	bool json = false;
	bool regions = false;
};

// Runs of regions that are in the destination: first, number.
std::vector<std::pair<std::uint64_t, std::uint64_t>> runs(const RegionBits &bits)
{
	std::vector<std::pair<std::uint64_t, std::uint64_t>> found;

	for (std::uint64_t region = 0; region < bits.size(); region++) {
		if (!bits[region])
			continue;
		if (found.empty() || found.back().first + found.back().second != region)
			found.emplace_back(region, 0);
		found.back().second++;
	}
	return found;
}

int show(const Options &options)
{
	const auto metadata = CloneMetadata::read(File(options.device, File::Mode::read));
	const auto &geometry = metadata.geometry();

	if (options.json) {
		nlohmann::ordered_json json = {{"uuid", metadata.uuid()},
					       {"generation", metadata.generation()},
					       {"region_size", geometry.region_size},
					       {"target_size", geometry.target_size},
					       {"regions", geometry.regions()},
					       {"hydrated", metadata.hydrated()},
					       {"faults", metadata.faults()}};

		if (options.regions)
			json["hydrated_runs"] = runs(metadata.bits());
		std::cout << json.dump(2) << '\n';
		return 0;
	}
	std::cout << "uuid        " << metadata.uuid() << "\ngeneration  " << metadata.generation()
		  << "\nregion size " << geometry.region_size << " sectors\nclone size  "
		  << geometry.target_size << " sectors\nregions     " << geometry.regions()
		  << "\nhydrated    " << metadata.hydrated() << '\n';
	if (options.regions)
		for (const auto &[first, count] : runs(metadata.bits()))
			std::cout << first << " + " << count << '\n';
	for (const auto &fault : metadata.faults())
		std::cout << "fault: " << fault << '\n';
	return 0;
}

int check(const Options &options)
{
	const auto metadata = CloneMetadata::read(File(options.device, File::Mode::read));

	for (const auto &fault : metadata.faults())
		std::cerr << options.device << ": " << fault << '\n';
	return metadata.faults().empty() ? 0 : 1;
}

int convert(const Options &options)
{
	dmsc::refuse_same(options.from, options.device);

	// Both are kept until the end, so that neither is taken into use meanwhile.
	const File from(options.from, File::Mode::read);
	const File to(options.device, File::Mode::write);
	auto stock = dmsc::read_stock_clone(from);
	const CloneMetadata metadata(stock.geometry, std::move(stock.bits));

	metadata.create(to);
	std::cout << metadata.hydrated() << " of " << metadata.geometry().regions()
		  << " regions of " << metadata.geometry().region_size << " sectors are hydrated\n";
	return 0;
}

int repair(const Options &options)
{
	const File device(options.device, File::Mode::write);
	auto metadata = CloneMetadata::read(device);

	if (metadata.faults().empty()) {
		std::cout << "nothing is damaged\n";
		return 0;
	}
	if (!metadata.damaged().empty() && options.assumed.empty()) {
		for (const auto &fault : metadata.faults())
			std::cerr << fault << '\n';
		std::cerr << "say with --assume where these regions are\n";
		return 1;
	}
	metadata.assume(options.assumed == "destination");
	metadata.write(device);
	return 0;
}

using Command = dmsc::Command<Options>;

// Sets which command was given, when the line is parsed.
void add_commands(CLI::App &app, Options &options, Command &command)
{
	const auto add = [&](const std::string &name, const std::string &help, Command function) {
		auto *sub = app.add_subcommand(name, help);

		sub->add_option("device", options.device, "metadata device or file")->required();
		sub->callback([&command, function] { command = function; });
		return sub;
	};

	app.require_subcommand(1);
	auto *sub = add("show", "print what it says", show);
	sub->add_flag("--json", options.json, "as JSON");
	sub->add_flag("--regions", options.regions, "and which regions are in the destination");
	add("check", "exit code 1 if anything is damaged", check);
	sub = add("convert", "write the metadata of a clone of dm-clone's in our format", convert);
	sub->add_option("--from", options.from, "dm-clone's metadata device; only read")
		->required();
	sub = add("repair", "make it usable again", repair);
	sub->add_option("--assume", options.assumed,
			"where regions are of which the device does not say it any more: at the "
			"source, which loses what was written to them, or at the destination, "
			"which may never have got them")
		->check(CLI::IsMember({"source", "destination"}));
}

} // namespace

int main(int argc, char **argv)
{
	return dmsc::run_command(argc, argv, "dmsc-clone",
				 "Metadata devices of clones; for devices that are not in use",
				 add_commands);
}
