// SPDX-License-Identifier: GPL-2.0-only
#include "self_test.h"

#include "checker.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>

namespace dmsc
{

namespace
{

constexpr std::uint64_t kSectors = 8192;

using Bytes = std::array<char, kSectorBytes>;

class Files
{
public:
	explicit Files(const std::filesystem::path &directory)
		: origin(directory / "self-test.origin"),
		  snapshot(directory / "self-test.snapshot"), model(directory / "self-test.model")
	{
		std::filesystem::create_directories(directory);
		std::ofstream(origin).close();
		std::filesystem::resize_file(origin, kSectors << kSectorShift);
	}
	~Files()
	{
		std::error_code ignored;

		for (const auto &path : {origin, snapshot, model})
			std::filesystem::remove(path, ignored);
	}
	Files(const Files &) = delete;
	Files &operator=(const Files &) = delete;

	const std::filesystem::path origin;
	const std::filesystem::path snapshot;
	const std::filesystem::path model;
};

Bytes read_sector(const std::filesystem::path &path, std::uint64_t sector)
{
	Bytes data{};
	std::ifstream file(path, std::ios::binary);

	file.seekg(static_cast<std::streamoff>(sector << kSectorShift));
	file.read(data.data(), kSectorBytes);
	return data;
}

void write_sector(const std::filesystem::path &path, std::uint64_t sector, const Bytes &data)
{
	std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);

	file.seekp(static_cast<std::streamoff>(sector << kSectorShift));
	file.write(data.data(), kSectorBytes);
}

Settings test_settings()
{
	Settings settings;

	settings.threads = 8;
	settings.seed = 1;
	settings.ops = 400;
	settings.max_sectors = 256;
	return settings;
}

// Verifies the files against the model and compares what is found with what was damaged.
bool finds(const Files &files, std::vector<Mismatch> wanted)
{
	std::ostringstream log;
	Settings settings = test_settings();

	settings.threads = 2;

	Checker checker(settings, log);

	checker.load(files.model, std::nullopt);
	checker.verify();

	std::vector<Mismatch> found = checker.mismatches();

	std::sort(found.begin(), found.end());
	std::sort(wanted.begin(), wanted.end());

	const bool reported = wanted.empty() || log.str().find("expected:") != std::string::npos;

	return found == wanted && reported &&
	       (checker.outcome() == Outcome::success) == wanted.empty();
}

struct Damage {
	const char *what;
	std::function<std::vector<Mismatch>()> inflict;
};

// Sectors that hold a pattern, far apart: zeroed ones would not show every kind of damage.
std::vector<std::uint64_t> patterned(const std::filesystem::path &path, std::size_t count)
{
	std::vector<std::uint64_t> sectors;

	for (std::uint64_t sector = 0; sector < kSectors && sectors.size() < count; sector++) {
		const Bytes data = read_sector(path, sector);

		if (std::ranges::any_of(data, [](char byte) { return byte != 0; })) {
			sectors.push_back(sector);
			sector += kSectors / count / 2;
		}
	}
	return sectors;
}

bool step(std::ostream &out, const char *what, bool passed)
{
	out << (passed ? "ok" : "not ok") << " - " << what << std::endl;
	return passed;
}

bool run_clean(const Files &files)
{
	std::ostringstream log;

	{
		Checker checker(test_settings(), log);

		checker.set_origin(files.origin, kAny);
		checker.fill();
		checker.save(files.model);
		std::filesystem::copy_file(files.origin, files.snapshot,
					   std::filesystem::copy_options::overwrite_existing);
	}

	Checker checker(test_settings(), log);

	checker.load(files.model, std::nullopt);
	checker.add_snapshot(files.snapshot);
	checker.run(nullptr, log);
	checker.verify();
	checker.save(files.model);
	if (checker.outcome() != Outcome::success)
		std::cerr << log.str();
	return checker.outcome() == Outcome::success;
}

// The origin's file stands in for a snapshot that follows the origin: no snapshot at all.
bool finds_missing_copies(const Files &files)
{
	std::ostringstream log;
	Checker checker(test_settings(), log);

	checker.load(files.model, std::nullopt, {files.snapshot});
	checker.add_snapshot(files.origin);
	checker.run(nullptr, log);
	return checker.outcome() == Outcome::mismatch &&
	       log.str().find("last operations on this sector") != std::string::npos;
}

} // namespace

bool self_test(const std::string &directory, std::ostream &out)
{
	const Files files(directory);
	bool passed = step(out, "a run over correct devices finds nothing", run_clean(files));

	passed &= step(out, "the saved model matches", finds(files, {}));

	const auto sectors = patterned(files.snapshot, 4);
	const auto origin_sectors = patterned(files.origin, 1);

	if (sectors.size() < 4 || origin_sectors.empty())
		return step(out, "the files hold patterns", false);

	const std::array damages{
		Damage{"one flipped bit",
		       [&] {
			       Bytes data = read_sector(files.snapshot, sectors[0]);

			       data[300] = static_cast<char>(data[300] ^ 4);
			       write_sector(files.snapshot, sectors[0], data);
			       return std::vector<Mismatch>{{1, sectors[0]}};
		       }},
		Damage{"two sectors exchanged",
		       [&] {
			       const Bytes one = read_sector(files.snapshot, sectors[1]);

			       write_sector(files.snapshot, sectors[1],
					    read_sector(files.snapshot, sectors[2]));
			       write_sector(files.snapshot, sectors[2], one);
			       return std::vector<Mismatch>{{1, sectors[1]}, {1, sectors[2]}};
		       }},
		Damage{"a zeroed sector of the origin",
		       [&] {
			       write_sector(files.origin, origin_sectors[0], Bytes{});
			       return std::vector<Mismatch>{{0, origin_sectors[0]}};
		       }},
		Damage{"an old version of a sector",
		       [&] {
			       Bytes data{};

			       fill_sector(std::as_writable_bytes(std::span(data)),
					   make_tag(1, 0, 0, 0), sectors[3]);
			       write_sector(files.snapshot, sectors[3], data);
			       return std::vector<Mismatch>{{1, sectors[3]}};
		       }},
	};

	for (const Damage &damage : damages) {
		const std::filesystem::path origin_copy = files.origin.string() + ".copy";
		const std::filesystem::path snapshot_copy = files.snapshot.string() + ".copy";
		const auto overwrite = std::filesystem::copy_options::overwrite_existing;

		std::filesystem::copy_file(files.origin, origin_copy, overwrite);
		std::filesystem::copy_file(files.snapshot, snapshot_copy, overwrite);
		passed &= step(out, damage.what, finds(files, damage.inflict()));
		std::filesystem::copy_file(origin_copy, files.origin, overwrite);
		std::filesystem::copy_file(snapshot_copy, files.snapshot, overwrite);
		std::filesystem::remove(origin_copy);
		std::filesystem::remove(snapshot_copy);
	}
	passed &= step(out, "a snapshot that is none", finds_missing_copies(files));
	return passed;
}

} // namespace dmsc
