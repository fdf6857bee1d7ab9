// SPDX-License-Identifier: GPL-2.0-only
#include "images.h"

#include "../common/control.h"
#include "../common/cow_layout.h"
#include "../common/disk.h"
#include "../common/little_endian.h"
#include "../common/random.h"
#include "../common/sector.h"
#include "../common/table.h"
#include "devices.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <system_error>

namespace dmsc
{

namespace
{

constexpr std::uint64_t kMaxChunk = 2097152;
constexpr std::uint64_t kDefaultChunk = 32;

constexpr std::uint64_t kCowSectors = 512;
constexpr std::uint64_t kOriginSectors = 1024;

// A sound snapshot with chunks of that size.
Image sound(Random &random, std::uint64_t chunk)
{
	const CowLayout places{chunk};
	const std::uint64_t chunks = kCowSectors / chunk;
	Image image = stamped(0, kCowSectors, 2);
	std::vector<std::uint64_t> data;
	std::vector<std::uint64_t> old(kOriginSectors / chunk);
	std::uint64_t slot = 0;

	for (std::uint64_t i = 0; i < chunks; i++)
		if (places.is_data(i))
			data.push_back(i);
	for (std::uint64_t i = 0; i < old.size(); i++)
		old[i] = i;
	for (auto *list : {&data, &old})
		for (std::size_t i = list->size(); i > 1; i--)
			std::swap((*list)[i - 1], (*list)[random.below(i)]);

	std::fill_n(image.begin(), chunk * kSector, std::byte{0});
	for (std::uint64_t area = 0; places.area(area) < chunks; area++)
		std::fill_n(image.begin() + static_cast<std::ptrdiff_t>(places.area(area) * chunk *
									kSector),
			    chunk * kSector, std::byte{0});
	store_cow_header(image, chunk);
	const std::uint64_t wanted =
		random.below(std::min<std::size_t>(data.empty() ? 0 : data.size() - 1, old.size()));

	for (; slot < wanted; slot++)
		store_cow_exception(image, places.slot(slot), old[slot], data[slot]);
	return image;
}

std::uint64_t odd_number(Random &random)
{
	static constexpr std::array<std::uint64_t, 14> kNumbers{
		0,           1,          2,          3,
		31,          33,         34,         kCowSectors - 1,
		kCowSectors, 0x7fffffff, 0x80000000, 1ULL << 48,
		1ULL << 63,  ~0ULL};

	return random.one_in(3) ? random.next() >> random.below(64) : random.pick(kNumbers);
}

// Damages an image, or leaves it as it is.
void damage(Random &random, Image &image, std::uint64_t chunk)
{
	const CowLayout places{chunk};
	const std::uint64_t areas =
		(kCowSectors / chunk + places.per_area() - 1) / (places.per_area() + 1) + 1;

	for (std::size_t times = random.below(4); times > 0; times--) {
		const std::uint64_t slot = random.below(areas * places.per_area());
		const std::uint64_t place =
			std::min<std::uint64_t>(places.slot(slot), image.size() - kCowEntry);

		switch (random.below(8)) {
		case 0:
			store_little_endian(image, random.below(4) * 4, 4, odd_number(random));
			break;
		case 1:
			image[random.below(kCowEntry)] ^=
				static_cast<std::byte>(1 << random.below(8));
			break;
		case 2:
		case 3:
			store_little_endian(image, place + (random.one_in(2) ? 8 : 0), 8,
					    odd_number(random));
			break;
		case 4:
			image[place + random.below(kCowEntry)] ^=
				static_cast<std::byte>(1 << random.below(8));
			break;
		case 5:
			// Another slot's exception.
			std::copy_n(image.begin() + static_cast<std::ptrdiff_t>(places.slot(0)),
				    kCowEntry, image.begin() + static_cast<std::ptrdiff_t>(place));
			break;
		case 6:
			// A sector of something else.
			for (std::size_t i = 0; i < kSector; i += 8)
				store_little_endian(image, place / kSector * kSector + i, 8,
						    random.next());
			break;
		default:
			std::fill_n(image.begin() +
					    static_cast<std::ptrdiff_t>(place / kSector * kSector),
				    kSector, std::byte{0});
			break;
		}
	}
}

class Trial
{
public:
	Trial(const ImageSettings &settings, std::ostream &out)
		: settings_(settings), out_(out), origin_(settings.origin), cow_(settings.cow)
	{
		origin_.write(0, stamped(0, kOriginSectors, 1));
	}

	bool run(std::uint64_t number);
	[[nodiscard]] std::uint64_t opened() const { return opened_; }
	[[nodiscard]] std::uint64_t refused() const { return refused_; }

private:
	bool check(Random &random, const ImageVerdict &verdict, const Image &image, int error);
	bool check_open(Random &random, const ImageVerdict &verdict, const Image &image);
	bool complain(const std::string &what)
	{
		out_ << "FAILED: image " << number_ << ", --seed " << settings_.seed << " --first "
		     << number_ << ": " << what << std::endl;
		return false;
	}

	const ImageSettings &settings_;
	std::ostream &out_;
	Control control_;
	Disk origin_;
	Disk cow_;
	DeviceNumber device_;
	std::uint64_t number_ = 0;
	std::uint64_t opened_ = 0;
	std::uint64_t refused_ = 0;
};

constexpr const char *kName = "dmsc-image";

bool Trial::check_open(Random &random, const ImageVerdict &verdict, const Image &image)
{
	const Shown shown = control_.show(kName, 0);
	const std::string status = verdict.status(kCowSectors);

	if (shown.error != 0 || shown.targets.size() != 1 || shown.targets[0].params != status)
		return complain("status is " +
				(shown.targets.empty() ? "missing" : shown.targets[0].params) +
				", not " + status);
	if (verdict.invalid) {
		if (cow_.read(0, kCowSectors) != image)
			return complain("it is invalid, but it has changed");
		return true;
	}

	const Disk snapshot("/dev/dm-" + std::to_string(device_.minor));
	const Image origin = stamped(0, kOriginSectors, 1);

	for (int i = 0; i < 8; i++) {
		const std::uint64_t sector = random.below(kOriginSectors);
		const auto found = verdict.exceptions.find(sector / verdict.chunk);
		const Image got = snapshot.read(sector, 1);
		const Image &source = found == verdict.exceptions.end() ? origin : image;
		const std::uint64_t place =
			found == verdict.exceptions.end()
				? sector
				: found->second * verdict.chunk + sector % verdict.chunk;

		if (!std::equal(got.begin(), got.end(),
				source.begin() + static_cast<std::ptrdiff_t>(place * kSector)))
			return complain("sector " + std::to_string(sector) + " is wrong");
	}
	return true;
}

bool Trial::check(Random &random, const ImageVerdict &verdict, const Image &image, int error)
{
	if (verdict.errors.empty() != (error == 0) ||
	    (error != 0 && !verdict.errors.contains(error)))
		return complain(
			"error " + std::to_string(error) + ", not " +
			std::to_string(verdict.errors.empty() ? 0 : *verdict.errors.begin()));
	if (error != 0) {
		refused_++;
		if (cow_.read(0, kCowSectors) != image)
			return complain("it was refused, but it has changed");
		return true;
	}
	opened_++;
	if (const int failed = control_.resume(kName); failed != 0)
		return complain("it cannot be resumed: error " + std::to_string(failed));
	return check_open(random, verdict, image);
}

bool Trial::run(std::uint64_t number)
{
	static constexpr std::array<std::uint64_t, 5> kChunks{1, 1, 2, 8, 32};
	Random random(settings_.seed, number);
	const std::uint64_t chunk = random.pick(kChunks);
	Image image = sound(random, chunk);

	number_ = number;
	damage(random, image, chunk);
	cow_.write(0, image);

	const std::uint64_t asked = random.one_in(4) ? 0 : random.pick(kChunks);
	const ImageVerdict verdict = judge_image(image, asked);
	const Table table{
		{{0, kOriginSectors, std::string(kSnapshot),
		  settings_.origin + " " + settings_.cow + " P " + std::to_string(asked)}},
		false};

	if (const int error = control_.create(kName, device_); error != 0)
		throw std::system_error(error, std::generic_category(), "create");
	bool good = check(random, verdict, image, control_.load(kName, table));

	if (const int error = control_.remove(kName); error != 0)
		good = complain("it cannot be removed: error " + std::to_string(error));
	return good;
}

} // namespace

std::string ImageVerdict::status(std::uint64_t sectors) const
{
	if (invalid)
		return "Invalid";

	const std::uint64_t per_area = CowLayout{chunk}.per_area();
	const std::uint64_t areas = 1 + exceptions.size() / per_area;

	return std::to_string((1 + areas + exceptions.size()) * chunk) + "/" +
	       std::to_string(sectors) + " " + std::to_string((1 + areas) * chunk);
}

ImageVerdict judge_image(std::span<const std::byte> image, std::uint64_t chunk)
{
	ImageVerdict verdict;
	std::set<std::uint64_t> used;

	verdict.chunk = chunk != 0 ? chunk : kDefaultChunk;
	// Not there yet: it is made.
	if (load_little_endian(image, 0, 4) == 0)
		return verdict;
	if (load_little_endian(image, 0, 4) != kCowMagic) {
		verdict.errors = {ENXIO};
		return verdict;
	}
	verdict.chunk = load_little_endian(image, 12, 4);
	if (load_little_endian(image, 8, 4) != 1) {
		verdict.errors = {EINVAL};
		return verdict;
	}
	// What is damaged is opened as invalid, like what is marked as that.
	verdict.invalid = load_little_endian(image, 4, 4) == 0 ||
			  !std::has_single_bit(verdict.chunk) || verdict.chunk > kMaxChunk;
	if (verdict.invalid)
		return verdict;

	const CowLayout places{verdict.chunk};
	const std::uint64_t chunks = image.size() / kSector / verdict.chunk;

	if (chunks < 2) {
		verdict.invalid = true;
		return verdict;
	}
	for (std::uint64_t slot = 0;; slot++) {
		if (places.area(slot / places.per_area()) >= chunks)
			break;

		const std::uint64_t old = load_little_endian(image, places.slot(slot), 8);
		const std::uint64_t data = load_little_endian(image, places.slot(slot) + 8, 8);

		if (data == 0)
			return verdict;
		if (!places.is_data(data) || data >= chunks || !used.insert(data).second ||
		    !verdict.exceptions.emplace(old, data).second)
			break;
	}
	verdict.invalid = true;
	return verdict;
}

bool try_images(const ImageSettings &settings, std::ostream &out)
{
	Trial trial(settings, out);

	for (std::uint64_t i = 0; i < settings.tries; i++)
		if (!trial.run(settings.first + i))
			return false;
	out << trial.opened() << " images opened, " << trial.refused() << " refused" << std::endl;
	return true;
}

} // namespace dmsc
