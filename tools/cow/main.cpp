// SPDX-License-Identifier: GPL-2.0-only
// Writes what the COW device of a persistent snapshot has after so many first writes: the header
// and the lists of exceptions, but no chunks of data. For measurements with more of them than
// anybody wants to wait for.
#include "../common/cow_layout.h"
#include "../common/file.h"
#include "../common/sector.h"
#include "../common/version.h"

#include <CLI/CLI.hpp>

#include <bit>
#include <iostream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace
{

using dmsc::CowLayout;
using dmsc::File;

struct Options {
	std::string device;
	std::uint64_t chunk = 8;
	std::uint64_t exceptions = 0;
	std::uint64_t stride = 2;
	bool in_order = false;
};

// The chunk of the origin that is number i to be copied: all multiples of the stride, in an order
// that jumps about, unless they are to be in order.
class Order
{
public:
	explicit Order(const Options &options)
		: count_(options.exceptions), stride_(options.stride),
		  // Near the golden section of all, so that neighbours are far apart.
		  step_(options.in_order ? 1 : count_ * 618 / 1000 + 1)
	{
		while (std::gcd(step_, count_) != 1)
			step_++;
	}
	[[nodiscard]] std::uint64_t operator()(std::uint64_t i) const
	{
		return i * step_ % count_ * stride_;
	}

private:
	std::uint64_t count_;
	std::uint64_t stride_;
	std::uint64_t step_;
};

void write_header(const File &device, const Options &options)
{
	std::vector<std::byte> header(options.chunk * dmsc::kSector);

	dmsc::store_cow_header(header, options.chunk);
	device.write(0, header);
}

// The area behind the last exception is written, too: a zero ends the list.
void write_areas(const File &device, const Options &options)
{
	const CowLayout layout{options.chunk};
	const Order order(options);
	std::uint64_t slot = 0;

	for (std::uint64_t area = 0; area <= options.exceptions / layout.per_area(); area++) {
		std::vector<std::byte> list(options.chunk * dmsc::kSector);

		for (std::uint64_t i = 0; i < layout.per_area() && slot < options.exceptions;
		     i++, slot++)
			dmsc::store_cow_exception(list, i * dmsc::kCowEntry, order(slot),
						  layout.data(slot));
		device.write(layout.area(area) * options.chunk * dmsc::kSector, list);
	}
}

} // namespace

int main(int argc, char **argv)
{
	try {
		CLI::App app("Writes the metadata of a persistent snapshot with many exceptions");
		app.set_version_flag("--version", dmsc::version("dmsc-cow"));
		Options options;

		app.add_option("device", options.device, "COW device or file, which exists")
			->required();
		app.add_option("--chunk", options.chunk, "sectors of a chunk, a power of two")
			->check(CLI::Range(1, 2048));
		app.add_option("--exceptions", options.exceptions, "how many")
			->required()
			->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 32));
		app.add_option("--stride", options.stride,
			       "from one chunk of the origin to the next that was copied")
			->check(CLI::Range(1, 1024));
		app.add_flag("--in-order", options.in_order,
			     "chunks of the origin were copied in ascending order");
		try {
			app.parse(argc, argv);
		} catch (const CLI::ParseError &error) {
			return app.exit(error) == 0 ? 0 : 2;
		}
		if (!std::has_single_bit(options.chunk))
			throw std::runtime_error("--chunk must be a power of two");

		const File device(options.device, File::Mode::write);

		write_header(device, options);
		write_areas(device, options);
		device.sync();
		return 0;
	} catch (const std::exception &error) {
		std::cerr << "dmsc-cow: " << error.what() << std::endl;
		return 2;
	}
}
