// SPDX-License-Identifier: GPL-2.0-only
#include "clone_images.h"

#include "../common/clone_metadata.h"
#include "../common/control.h"
#include "../common/disk.h"
#include "../common/sector.h"
#include "../common/table.h"
#include "clone_image.h"
#include "clone_state.h"
#include "kernel_log.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <stdexcept>
#include <system_error>

namespace dmsc
{

namespace
{

using Complaint = std::optional<std::string>;

constexpr const char *kName = "dmsc-clone-image";
// A metadata device that ends early.
constexpr const char *kShort = "dmsc-clone-short";
constexpr std::uint64_t kSourceStamp = 1;
constexpr std::uint64_t kDestStamp = 2;
constexpr std::uint64_t kPiece = 2048;      // sectors, of devices that are filled
constexpr std::uint64_t kMostToWrite = 128; // sectors
constexpr std::size_t kSamples = 10;        // regions that are read
constexpr std::uint64_t kEnough = 1000;     // tries in which each refusal has been seen

void require(int error, const char *what)
{
	if (error != 0)
		throw std::system_error(error, std::generic_category(), what);
}

void fill(const std::string &path, std::uint64_t stamp)
{
	const Disk disk(path);

	for (std::uint64_t sector = 0; sector < kCloneSectors; sector += kPiece)
		disk.write(sector, stamped(sector, kPiece, stamp));
}

// What is tried.
struct Case {
	Image bytes; // of the metadata device, all of it
	std::uint64_t sectors = kCloneImageSectors;
	CloneGeometry geometry; // of the table
	CloneImageVerdict verdict;
};

class Trial
{
public:
	Trial(const CloneImageSettings &settings, std::ostream &out)
		: settings_(settings), out_(out), log_(settings.trouble), meta_(settings.meta)
	{
		fill(settings.source, kSourceStamp);
		fill(settings.dest, kDestStamp);
	}

	bool run(std::uint64_t number);
	[[nodiscard]] bool summarize() const;

private:
	static Case make(Random &random);
	Complaint attempt(Random &random, Case &tried);
	Complaint load(const Case &tried, const std::string &meta);
	Complaint check_refusal(const Case &tried, int error);
	Complaint check_between(Random &random, const Case &tried);
	Complaint check_open(Random &random, Case &tried);
	Complaint check_samples(Random &random, const Case &tried);
	[[nodiscard]] Complaint check_status(const Case &tried) const;
	Complaint write_region(Random &random, Case &tried) const;
	Complaint check_fresh(Case &tried) const;
	void remove(const char *name) const { require(control_.remove(name), name); }

	const CloneImageSettings &settings_;
	std::ostream &out_;
	KernelLog log_;
	Control control_;
	Disk meta_;
	DeviceNumber device_;
	std::uint64_t opened_ = 0;
	std::uint64_t fresh_ = 0;
	std::uint64_t failed_ = 0;
	std::map<Fault, std::uint64_t> refused_;
};

Case Trial::make(Random &random)
{
	CloneImage image = make_clone_image(random);
	Case tried;

	tried.geometry = image.super.geometry;
	if (!random.one_in(6))
		damage_clone_image(random, image);
	// A table for another clone.
	if (random.one_in(12))
		tried.geometry = random_clone_geometry(random);
	// A device that is as large as it has to be, or smaller.
	if (random.one_in(8))
		tried.sectors = tried.geometry.needed() -
				(random.one_in(2) ? 0 : 1 + random.below(kCloneBlockSectors));
	tried.bytes = std::move(image.bytes);
	tried.verdict = judge_clone_image(std::span(tried.bytes).first(tried.sectors * kSector),
					  tried.geometry);
	return tried;
}

// The message names what is wrong, and nothing has changed.
Complaint Trial::check_refusal(const Case &tried, int error)
{
	const CloneImageVerdict &verdict = tried.verdict;
	std::string text;
	bool named = !verdict.sector.has_value();

	for (const std::string &line : log_.read_new()) {
		if (const auto refusal = parse_refusal(line, device_); refusal)
			text = refusal->text;
		if (verdict.sector)
			named |= line.find("bitmap sector " + std::to_string(*verdict.sector) +
					   ", of regions from " +
					   std::to_string(*verdict.sector * kCloneSectorRegions) +
					   " on, is damaged") != std::string::npos;
	}

	const auto reason = std::ranges::find(verdict.faults, text, sentence);

	if (reason == verdict.faults.end())
		return "refused with \"" + text + "\", not \"" +
		       std::string(sentence(*verdict.faults.begin())) + "\"";
	if (!fits(*reason, error))
		return "refused with error " + std::to_string(error) + ": \"" + text + "\"";
	if (!named)
		return "sector " + std::to_string(*verdict.sector) +
		       " of the bitmap is not named in the kernel log";
	if (meta_.read(0, kCloneImageSectors) != tried.bytes)
		return "refused, but the device has changed";
	refused_[*reason]++;
	return std::nullopt;
}

Complaint Trial::load(const Case &tried, const std::string &meta)
{
	const Table table{
		{{0, tried.geometry.target_size, std::string(kClone),
		  meta + " " + settings_.dest + " " + settings_.source + " " +
			  std::to_string(tried.geometry.region_size) + " 1 no_hydration"}},
		false};
	const int error = control_.load(kName, table);

	if (tried.verdict.faults.empty())
		return error == 0 ? Complaint()
				  : "refused with error " + std::to_string(error) +
					    "; should be opened";
	if (error == 0)
		return "opened; should be refused: \"" +
		       std::string(sentence(*tried.verdict.faults.begin())) + "\"";
	return check_refusal(tried, error);
}

// A new clone: takes from the device what only the kernel knows.
Complaint Trial::check_fresh(Case &tried) const
{
	const Image found = meta_.read(0, kCloneImageSectors);
	const auto metadata = CloneMetadata::read([&found](std::uint64_t position,
							   std::span<std::byte> out) {
		std::ranges::copy(std::span(found).subspan(position, out.size()), out.begin());
	});
	const auto end = static_cast<std::ptrdiff_t>(tried.geometry.needed() * kSector);

	if (!metadata.faults().empty())
		return "a new clone: " + metadata.faults().front();
	if (metadata.geometry() != tried.geometry || metadata.hydrated() != 0)
		return "a new clone is another one, or has regions";
	if (!std::equal(found.begin() + end, found.end(), tried.bytes.begin() + end))
		return "a new clone writes behind its metadata";
	tried.bytes = found;
	tried.verdict.super = load_clone_super(found);
	return std::nullopt;
}

// Damage after it was loaded is found when it is resumed.
Complaint Trial::check_between(Random &random, const Case &tried)
{
	const std::uint64_t sector =
		kCloneBitmap + random.below(tried.verdict.super.bitmap_sectors);
	Image bytes = meta_.read(sector, 1);

	bytes[random.below(bytes.size())] ^= std::byte{1};
	meta_.write(sector, bytes);

	const Image damaged = meta_.read(0, kCloneImageSectors);

	if (control_.resume(kName) == 0)
		return "it was damaged after it was loaded, and is active";
	remove(kName);
	failed_++;
	if (meta_.read(0, kCloneImageSectors) != damaged)
		return "it could not be resumed, but the device has changed";
	return std::nullopt;
}

Complaint Trial::check_status(const Case &tried) const
{
	const std::array<std::string, 3> arguments{std::to_string(tried.geometry.region_size), "1",
						   "no_hydration"};
	CloneState state(tried.geometry.target_size, arguments, tried.sectors);
	const Shown shown = control_.show(kName, 0);

	state.set_hydrated(
		static_cast<std::uint64_t>(std::ranges::count(tried.verdict.bits, true)));
	if (shown.error != 0 || shown.targets.size() != 1)
		return "it has no status";
	return state.complain(shown.targets[0].params);
}

// Regions are read from where the metadata say that they are.
Complaint Trial::check_samples(Random &random, const Case &tried)
{
	const Disk clone("/dev/dm-" + std::to_string(device_.minor));

	for (std::size_t i = 0; i < kSamples; i++) {
		const std::uint64_t sector = random.below(tried.geometry.target_size);
		const std::uint64_t region = sector / tried.geometry.region_size;
		const bool hydrated = tried.verdict.bits[region];

		if (clone.read(sector, 1) !=
		    stamped(sector, 1, hydrated ? kDestStamp : kSourceStamp))
			return "region " + std::to_string(region) + " is not read from the " +
			       (hydrated ? "destination" : "source");
	}
	return std::nullopt;
}

// Writes a region, with what the destination has there, and flushes.
Complaint Trial::write_region(Random &random, Case &tried) const
{
	const CloneGeometry &geometry = tried.geometry;
	const std::uint64_t region = random.below(geometry.regions());
	const std::uint64_t first = region * geometry.region_size;
	const std::uint64_t count = std::min(geometry.region_size, geometry.target_size - first);
	const Disk clone("/dev/dm-" + std::to_string(device_.minor));

	if (count > kMostToWrite)
		return std::nullopt;
	clone.write(first, stamped(first, count, kDestStamp));
	if (!tried.verdict.bits[region]) {
		tried.verdict.bits[region] = true;
		write_clone_block(tried.bytes, tried.verdict.super, tried.verdict.bits, region);
	}
	return check_status(tried);
}

Complaint Trial::check_open(Random &random, Case &tried)
{
	Complaint complaint;

	if (tried.verdict.fresh) {
		complaint = check_fresh(tried);
		fresh_++;
	} else {
		tried.bytes = open_clone_image(tried.bytes, tried.verdict);
		opened_++;
	}
	if (complaint)
		return complaint;
	if (meta_.read(0, kCloneImageSectors) != tried.bytes)
		return "loaded, and the device is not what it should be";
	if (random.one_in(16))
		return check_between(random, tried);
	if (const int error = control_.resume(kName); error != 0)
		return "it cannot be resumed: error " + std::to_string(error);
	complaint = check_status(tried);
	if (!complaint)
		complaint = check_samples(random, tried);
	if (!complaint && random.one_in(3))
		complaint = write_region(random, tried);
	remove(kName);
	if (!complaint && meta_.read(0, kCloneImageSectors) != tried.bytes)
		complaint = "removed, and the device is not what it should be";
	return complaint;
}

Complaint Trial::attempt(Random &random, Case &tried)
{
	std::string meta = settings_.meta;
	DeviceNumber number;

	meta_.write(0, tried.bytes);
	if (tried.sectors != kCloneImageSectors) {
		require(control_.create(kShort, number), kShort);
		require(control_.load(kShort, {{{0, tried.sectors, "linear", meta + " 0"}}, false}),
			kShort);
		require(control_.resume(kShort), kShort);
		meta = to_string(number);
	}
	require(control_.create(kName, device_), kName);

	Complaint complaint = load(tried, meta);

	if (!complaint && tried.verdict.faults.empty())
		complaint = check_open(random, tried);
	// What it was about to find out has removed it, or not.
	(void)control_.remove(kName);
	if (tried.sectors != kCloneImageSectors)
		remove(kShort);
	log_.read_new();
	return complaint;
}

bool Trial::run(std::uint64_t number)
{
	Random random(settings_.seed, number);
	Case tried = make(random);
	Complaint complaint;

	try {
		complaint = attempt(random, tried);
	} catch (const std::exception &error) {
		complaint = error.what();
	}
	if (!complaint)
		return true;
	out_ << "FAILED: clone image " << number << ", --seed " << settings_.seed << " --first "
	     << number << ": " << *complaint << std::endl;
	return false;
}

bool Trial::summarize() const
{
	bool all = true;

	out_ << opened_ << " clones opened, " << fresh_ << " made, " << failed_
	     << " not resumed; refused:\n";
	for (const auto &[fault, count] : refused_)
		out_ << count << " \"" << sentence(fault) << "\"\n";
	out_ << std::flush;
	if (settings_.tries < kEnough)
		return true;
	for (const Fault fault :
	     {Fault::meta_small, Fault::meta_contents, Fault::meta_half_zero, Fault::meta_stock,
	      Fault::meta_damaged, Fault::meta_version, Fault::meta_region, Fault::meta_size,
	      Fault::meta_contradiction, Fault::meta_bitmap})
		if (!refused_.contains(fault)) {
			out_ << "FAILED: never refused with: " << sentence(fault) << std::endl;
			all = false;
		}
	return all;
}

} // namespace

bool try_clone_images(const CloneImageSettings &settings, std::ostream &out)
{
	Trial trial(settings, out);

	for (std::uint64_t i = 0; i < settings.tries; i++)
		if (!trial.run(settings.first + i))
			return false;
	return trial.summarize();
}

} // namespace dmsc
