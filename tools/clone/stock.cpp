// SPDX-License-Identifier: GPL-2.0-only
// In dm-clone's metadata the regions' bits are an array of 64-bit words, in blocks, and a B-tree
// leads to these blocks, by their number in the array. Each block has a checksum and its own
// number.
#include "stock.h"

#include "../common/crc32c.h"
#include "../common/little_endian.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

namespace dmsc
{

namespace
{

constexpr std::size_t kBlock = 4096;
constexpr std::uint64_t kVersion = 1;

// A checksum is the CRC of all that follows it, with a number of the kind of block.
constexpr std::uint32_t kSuperKind = 257649492;
constexpr std::uint32_t kNodeKind = 121107;
constexpr std::uint32_t kArrayKind = 595846735;

// Superblock.
constexpr std::size_t kVersionAt = 40;
constexpr std::size_t kRegionSizeAt = 172;
constexpr std::size_t kTargetSizeAt = 180;
constexpr std::size_t kRootAt = 188;

// Node of the tree: keys, then values, with room for the same number of each.
constexpr std::size_t kFlagsAt = 4;
constexpr std::size_t kEntriesAt = 16;
constexpr std::size_t kMaxEntriesAt = 20;
constexpr std::size_t kValueSizeAt = 24;
constexpr std::size_t kKeysAt = 32;
constexpr std::uint64_t kInternal = 1;
constexpr std::uint64_t kLeaf = 2;
// A tree that is higher has a loop.
constexpr int kMaxDepth = 16;

// Block of the array.
constexpr std::size_t kArrayMaxAt = 4;
constexpr std::size_t kArrayEntriesAt = 8;
constexpr std::size_t kArraySizeAt = 12;
constexpr std::size_t kArrayBlockAt = 16;
constexpr std::size_t kWordsAt = 24;
constexpr std::size_t kArrayWords = (kBlock - kWordsAt) / 8;

// Where all but array blocks have their number.
constexpr std::size_t kBlockAt = 8;

using Block = std::vector<std::byte>;

[[noreturn]] void bad(std::uint64_t number, const std::string &what)
{
	throw std::runtime_error("block " + std::to_string(number) + ": " + what);
}

class Reader
{
public:
	explicit Reader(const File &device) : device_(device) {}

	StockClone read()
	{
		const auto super = block(0, kSuperKind, kBlockAt);

		if (number(super, kStockMagicAt) != kStockMagic)
			bad(0, "not dm-clone's");
		if (load_little_endian(super, kVersionAt, 4) != kVersion)
			bad(0, "of an unknown version");
		clone_.geometry = {.region_size = number(super, kRegionSizeAt),
				   .target_size = number(super, kTargetSizeAt)};
		clone_.geometry.check();
		clone_.bits.resize(clone_.geometry.regions());
		tree(number(super, kRootAt));
		if (words_ != (clone_.bits.size() + 63) / 64)
			throw std::runtime_error("the array has " + std::to_string(words_) +
						 " words, which is not one for 64 regions");
		return std::move(clone_);
	}

private:
	static std::uint64_t number(const Block &block, std::size_t at)
	{
		return load_little_endian(block, at, 8);
	}

	[[nodiscard]] Block block(std::uint64_t location, std::uint32_t kind,
				  std::size_t number_at) const
	{
		Block block(kBlock);

		device_.read(location * kBlock, block);
		if (load_little_endian(block, 0, 4) !=
		    (crc32c(~0U, std::span<const std::byte>(block).subspan(4)) ^ kind))
			bad(location, "wrong checksum");
		if (number(block, number_at) != location)
			bad(location, "belongs elsewhere");
		return block;
	}

	// A node of the tree that is still to be read, or a block of the array that it leads to.
	struct Step {
		std::uint64_t location;
		std::uint64_t index;
		int depth;
		bool leaf;
	};

	void tree(std::uint64_t root)
	{
		// The next one is at the end.
		std::vector<Step> steps{{.location = root, .index = 0, .depth = 0, .leaf = false}};

		while (!steps.empty()) {
			const auto step = steps.back();

			steps.pop_back();
			if (step.leaf)
				array(step.location, step.index);
			else
				node(step, steps);
		}
	}

	void node(const Step &step, std::vector<Step> &steps) const
	{
		const auto node = block(step.location, kNodeKind, kBlockAt);
		const auto flags = load_little_endian(node, kFlagsAt, 4);
		const auto entries = load_little_endian(node, kEntriesAt, 4);
		const auto most = load_little_endian(node, kMaxEntriesAt, 4);

		if ((flags != kInternal && flags != kLeaf) || entries > most ||
		    most > (kBlock - kKeysAt) / 16 ||
		    load_little_endian(node, kValueSizeAt, 4) != 8 || step.depth > kMaxDepth)
			bad(step.location, "not a node of the tree");
		for (auto i = entries; i-- > 0;)
			steps.push_back({.location = number(node, kKeysAt + (most + i) * 8),
					 .index = number(node, kKeysAt + i * 8),
					 .depth = step.depth + 1,
					 .leaf = flags == kLeaf});
	}

	void array(std::uint64_t location, std::uint64_t index)
	{
		const auto block = this->block(location, kArrayKind, kArrayBlockAt);
		const auto entries = load_little_endian(block, kArrayEntriesAt, 4);

		if (load_little_endian(block, kArraySizeAt, 4) != 8 ||
		    load_little_endian(block, kArrayMaxAt, 4) != kArrayWords ||
		    entries > kArrayWords || words_ != index * kArrayWords)
			bad(location, "not the array's next block");
		for (std::uint64_t i = 0; i < entries; i++, words_++)
			word(number(block, kWordsAt + i * 8), words_ * 64);
	}

	void word(std::uint64_t word, std::uint64_t region)
	{
		for (; word != 0; word >>= 1, region++) {
			if ((word & 1) == 0)
				continue;
			if (region >= clone_.bits.size())
				throw std::runtime_error(
					"the array tells of regions behind the end");
			clone_.bits[region] = true;
		}
	}

	const File &device_;
	StockClone clone_;
	std::uint64_t words_ = 0;
};

} // namespace

StockClone read_stock_clone(const File &device)
{
	return Reader(device).read();
}

} // namespace dmsc
