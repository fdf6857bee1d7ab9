// SPDX-License-Identifier: GPL-2.0-only
#include "clone_image.h"

#include "../common/little_endian.h"
#include "../common/sector.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace dmsc
{

namespace
{

constexpr std::size_t kWord = 8;

void flip(Random &random, std::span<std::byte> bytes)
{
	bytes[random.below(bytes.size())] ^= static_cast<std::byte>(1 << random.below(8));
}

void fill(Random &random, std::span<std::byte> bytes)
{
	for (std::size_t i = 0; i < bytes.size(); i += kWord)
		store_little_endian(bytes, i, kWord, random.next());
}

void clear(std::span<std::byte> bytes)
{
	std::ranges::fill(bytes, std::byte{0});
}

CloneUuid random_uuid(Random &random)
{
	CloneUuid uuid;

	fill(random, uuid);
	return uuid;
}

std::span<std::byte> any_block(Random &random, CloneImage &image)
{
	return image.block(random.below(kCloneSupers));
}

std::uint64_t any_index(Random &random, const CloneImage &image)
{
	return random.below(image.sectors());
}

// Of a sector's regions, those that exist.
std::uint64_t count_of(const CloneImage &image, std::uint64_t index)
{
	return std::min(image.super.geometry.regions() - index * kCloneSectorRegions,
			kCloneSectorRegions);
}

// --- superblocks

bool super_bit(Random &random, CloneImage &image)
{
	flip(random, any_block(random, image).first(kSector));
	return true;
}

bool super_rest(Random &random, CloneImage &image)
{
	flip(random, any_block(random, image).subspan(kSector));
	return true;
}

bool super_zero(Random &random, CloneImage &image)
{
	(void)random;
	clear(image.block(1));
	return true;
}

// As for a new clone of dm-clone's.
bool super_first_zero(Random &random, CloneImage &image)
{
	(void)random;
	if (std::ranges::find(image.bits, true) == image.bits.end())
		return false;
	clear(image.block(0));
	return true;
}

bool super_garbage(Random &random, CloneImage &image)
{
	fill(random, any_block(random, image));
	return true;
}

bool super_torn(Random &random, CloneImage &image)
{
	const auto block = any_block(random, image);
	const std::size_t cut = kWord * (1 + random.below(kSector / kWord - 1));

	fill(random, block.subspan(cut));
	return true;
}

bool super_stock(Random &random, CloneImage &image)
{
	const auto block = any_block(random, image);

	fill(random, block);
	store_little_endian(block, kStockMagicAt, kWord, kStockMagic);
	return true;
}

// Another clone's, and less counts than the right one.
bool super_stale(Random &random, CloneImage &image)
{
	CloneSuper other = make_clone_super(random_clone_geometry(random), random_uuid(random),
					    random.below(image.super.generation));

	if (random.one_in(4))
		other.version = 2;
	store_clone_super(any_block(random, image), other);
	return true;
}

// The same with what counts more: the bitmap is none of its.
bool super_newer(Random &random, CloneImage &image)
{
	store_clone_super(any_block(random, image),
			  make_clone_super(image.super.geometry, random_uuid(random),
					   image.super.generation + 1 + random.below(100)));
	return true;
}

bool supers_bits(Random &random, CloneImage &image)
{
	// The magic is what they are known by.
	for (std::size_t copy = 0; copy < kCloneSupers; copy++)
		flip(random, image.block(copy).subspan(kCloneMagicAt + 16, kSector / 2));
	return true;
}

bool supers_zero(Random &random, CloneImage &image)
{
	clear(image.block(0));
	clear(image.block(1));
	// It does not matter what the bitmap says.
	flip(random, image.sector(0));
	return true;
}

bool supers_garbage(Random &random, CloneImage &image)
{
	const std::size_t copy = random.below(kCloneSupers);

	fill(random, image.block(copy));
	if (random.one_in(2))
		clear(image.block(1 - copy));
	else
		fill(random, image.block(1 - copy));
	return true;
}

bool supers_stock(Random &random, CloneImage &image)
{
	fill(random, image.block(0));
	store_little_endian(image.block(0), kStockMagicAt, kWord, kStockMagic);
	fill(random, image.block(1));
	return true;
}

void store_both(CloneImage &image, const CloneSuper &super)
{
	store_clone_super(image.block(0), super);
	store_clone_super(image.block(1), super);
}

bool supers_version(Random &random, CloneImage &image)
{
	CloneSuper super = image.super;

	if (random.one_in(2))
		super.version = random.one_in(2) ? 0 : 2 + random.below(100);
	else
		super.flags = std::uint64_t{1} << random.below(64);
	store_both(image, super);
	return true;
}

bool supers_region(Random &random, CloneImage &image)
{
	CloneGeometry geometry = image.super.geometry;

	geometry.region_size =
		geometry.region_size == 8 || random.one_in(2) ? geometry.region_size * 2 : 8;
	store_both(image, make_clone_super(geometry, image.super.uuid, image.super.generation));
	return true;
}

bool supers_size(Random &random, CloneImage &image)
{
	CloneGeometry geometry = image.super.geometry;

	geometry.target_size += 1 + random.below(100000);
	store_both(image, make_clone_super(geometry, image.super.uuid, image.super.generation));
	return true;
}

bool supers_contradiction(Random &random, CloneImage &image)
{
	CloneSuper super = image.super;
	const std::array<std::uint64_t *, 3> fields{&super.regions, &super.bitmap,
						    &super.bitmap_sectors};

	*random.pick(fields) += 1 + random.below(random.one_in(2) ? 8 : ~std::size_t{0});
	store_both(image, super);
	return true;
}

// --- sectors of the bitmap

bool sector_bit(Random &random, CloneImage &image)
{
	flip(random, image.sector(any_index(random, image)));
	return true;
}

bool sector_zero(Random &random, CloneImage &image)
{
	clear(image.sector(any_index(random, image)));
	return true;
}

bool sector_garbage(Random &random, CloneImage &image)
{
	fill(random, image.sector(any_index(random, image)));
	return true;
}

// The begin of a sector in which all bits are different, so that neither is whole.
bool sector_torn(Random &random, CloneImage &image)
{
	const std::uint64_t index = any_index(random, image);
	const std::uint64_t words = (count_of(image, index) + 63) / 64;
	const auto cut = static_cast<std::ptrdiff_t>(kCloneBitsAt + kWord * random.below(words));
	RegionBits bits = image.bits;

	bits.flip();

	const auto other = make_clone_sector(image.super.uuid, index, bits);

	std::copy(other.begin(), other.begin() + cut, image.sector(index).begin());
	return true;
}

bool sector_copied(Random &random, CloneImage &image)
{
	const std::uint64_t from = any_index(random, image);
	const std::uint64_t to = (from + 1 + random.below(image.sectors() - 1)) % image.sectors();

	if (from == to)
		return false;
	std::ranges::copy(image.sector(from), image.sector(to).begin());
	return true;
}

bool sectors_exchanged(Random &random, CloneImage &image)
{
	const std::uint64_t one = any_index(random, image);
	const std::uint64_t other = (one + 1 + random.below(image.sectors() - 1)) % image.sectors();

	if (one == other)
		return false;
	std::ranges::swap_ranges(image.sector(one), image.sector(other));
	return true;
}

bool sector_index(Random &random, CloneImage &image)
{
	const auto sector = image.sector(any_index(random, image));

	flip(random, sector.subspan(kCloneIndexAt, kCloneBitsAt - kCloneIndexAt));
	seal_clone_sector(sector, image.super.uuid);
	return true;
}

bool sector_foreign(Random &random, CloneImage &image)
{
	seal_clone_sector(image.sector(any_index(random, image)), random_uuid(random));
	return true;
}

bool sectors_foreign(Random &random, CloneImage &image)
{
	const CloneUuid uuid = random_uuid(random);

	for (std::uint64_t index = 0; index < image.sectors(); index++)
		seal_clone_sector(image.sector(index), uuid);
	return true;
}

// A region that does not exist.
bool sector_beyond(Random &random, CloneImage &image)
{
	const std::uint64_t index = image.sectors() - 1;
	const std::uint64_t count = count_of(image, index);
	const auto sector = image.sector(index);

	if (count == kCloneSectorRegions)
		return false;

	const std::uint64_t number =
		random.one_in(2) ? count : count + random.below(kCloneSectorRegions - count);

	sector[kCloneBitsAt + number / 8] |= std::byte{1} << (number % 8);
	seal_clone_sector(sector, image.super.uuid);
	return true;
}

// What it was before the last commits.
bool sector_older(Random &random, CloneImage &image)
{
	const std::uint64_t index = any_index(random, image);
	RegionBits bits = image.bits;

	for (std::uint64_t i = 0; i < count_of(image, index); i++)
		if (random.one_in(3))
			bits[index * kCloneSectorRegions + i] = false;
	std::ranges::copy(make_clone_sector(image.super.uuid, index, bits),
			  image.sector(index).begin());
	return true;
}

bool behind(Random &random, CloneImage &image)
{
	const std::uint64_t end = kCloneBitmap + image.sectors();

	flip(random, std::span(image.bytes).subspan(end * kSector));
	return true;
}

constexpr std::array kDamages{
	CloneDamage{"a bit of a superblock", Fault::core, super_bit},
	CloneDamage{"a bit behind a superblock", Fault::core, super_rest},
	CloneDamage{"a second superblock of zeroes", Fault::core, super_zero},
	CloneDamage{"a first superblock of zeroes", Fault::meta_half_zero, super_first_zero},
	CloneDamage{"a superblock of garbage", Fault::core, super_garbage},
	CloneDamage{"a torn superblock", Fault::core, super_torn},
	CloneDamage{"a superblock of dm-clone's", Fault::core, super_stock},
	CloneDamage{"an older superblock", Fault::core, super_stale},
	CloneDamage{"a newer superblock", Fault::meta_bitmap, super_newer},
	CloneDamage{"bits of both superblocks", Fault::meta_damaged, supers_bits},
	CloneDamage{"two superblocks of zeroes", Fault::core, supers_zero},
	CloneDamage{"no superblock", Fault::meta_contents, supers_garbage},
	CloneDamage{"dm-clone's metadata", Fault::meta_stock, supers_stock},
	CloneDamage{"a version or flags", Fault::meta_version, supers_version},
	CloneDamage{"another region size", Fault::meta_region, supers_region},
	CloneDamage{"another size", Fault::meta_size, supers_size},
	CloneDamage{"a contradiction", Fault::meta_contradiction, supers_contradiction},
	CloneDamage{"a bit of the bitmap", Fault::meta_bitmap, sector_bit},
	CloneDamage{"a sector of zeroes", Fault::meta_bitmap, sector_zero},
	CloneDamage{"a sector of garbage", Fault::meta_bitmap, sector_garbage},
	CloneDamage{"a torn sector", Fault::meta_bitmap, sector_torn},
	CloneDamage{"a sector twice", Fault::meta_bitmap, sector_copied},
	CloneDamage{"exchanged sectors", Fault::meta_bitmap, sectors_exchanged},
	CloneDamage{"a sector's number", Fault::meta_bitmap, sector_index},
	CloneDamage{"a sector of another format", Fault::meta_bitmap, sector_foreign},
	CloneDamage{"a bitmap of another format", Fault::meta_bitmap, sectors_foreign},
	CloneDamage{"a region that does not exist", Fault::meta_bitmap, sector_beyond},
	CloneDamage{"an older sector", Fault::core, sector_older},
	CloneDamage{"a bit behind the bitmap", Fault::core, behind},
};

std::span<const std::byte> block_of(std::span<const std::byte> bytes, std::size_t copy)
{
	return bytes.subspan(copy * kCloneBlock, kCloneBlock);
}

std::span<const std::byte> sector_of(std::span<const std::byte> bytes, std::uint64_t index)
{
	return bytes.subspan((kCloneBitmap + index) * kSector, kSector);
}

// Neither superblock is valid.
void judge_no_super(CloneImageVerdict &verdict, std::span<const CloneSuperState> states)
{
	const auto is = [](CloneSuperState wanted) {
		return [wanted](CloneSuperState state) { return state == wanted; };
	};

	if (std::ranges::all_of(states, is(CloneSuperState::zero)))
		verdict.fresh = true;
	else if (std::ranges::any_of(states, is(CloneSuperState::damaged)))
		verdict.faults.insert(Fault::meta_damaged);
	else if (states[0] == CloneSuperState::stock)
		verdict.faults.insert(Fault::meta_stock);
	else
		verdict.faults.insert(Fault::meta_contents);
}

void judge_super(CloneImageVerdict &verdict, const CloneGeometry &geometry)
{
	const CloneSuper &super = verdict.super;

	if (!super.is_known())
		verdict.faults.insert(Fault::meta_version);
	else if (super.geometry.region_size != geometry.region_size)
		verdict.faults.insert(Fault::meta_region);
	else if (super.geometry.target_size != geometry.target_size)
		verdict.faults.insert(Fault::meta_size);
	else if (!super.is_consistent())
		verdict.faults.insert(Fault::meta_contradiction);
}

void judge_bitmap(CloneImageVerdict &verdict, std::span<const std::byte> bytes)
{
	const std::uint64_t regions = verdict.super.regions;

	for (std::uint64_t index = 0; index < verdict.super.bitmap_sectors; index++) {
		const auto sector = sector_of(bytes, index);
		const std::uint64_t first = index * kCloneSectorRegions;

		if (!is_clone_sector(sector, verdict.super.uuid, index, regions)) {
			verdict.faults.insert(Fault::meta_bitmap);
			verdict.sector = index;
			return;
		}
		for (std::uint64_t region = first;
		     region < std::min(first + kCloneSectorRegions, regions); region++)
			verdict.bits[region] = clone_sector_bit(sector, region - first);
	}
}

} // namespace

std::span<std::byte> CloneImage::block(std::size_t copy)
{
	return std::span(bytes).subspan(copy * kCloneBlock, kCloneBlock);
}

std::span<std::byte> CloneImage::sector(std::uint64_t index)
{
	return std::span(bytes).subspan((kCloneBitmap + index) * kSector, kSector);
}

CloneGeometry random_clone_geometry(Random &random)
{
	static constexpr std::array<std::uint64_t, 8> kRegions{8, 8, 8, 8, 16, 64, 1024, 32768};
	const std::uint64_t region = random.pick(kRegions);
	const std::uint64_t whole = region * kCloneSectorRegions;
	std::uint64_t size = 1 + random.below(kCloneSectors);

	switch (random.below(4)) {
	case 0:
		// As many as sectors, or blocks, of the bitmap tell of.
		if (whole <= kCloneSectors)
			size = whole * (1 + random.below(kCloneSectors / whole));
		break;
	case 1:
		size = 1 + random.below(std::min(3 * region, kCloneSectors));
		break;
	default:
		break;
	}
	return {.region_size = region, .target_size = size};
}

CloneImage make_clone_image(Random &random)
{
	CloneImage image;
	const CloneGeometry geometry = random_clone_geometry(random);
	// How many regions there are to one that is in the destination; or to one that is not.
	const std::size_t share = std::size_t{1} << random.below(14);
	const bool few = random.one_in(2);

	image.super = make_clone_super(geometry, random_uuid(random), 1 + random.below(1000));
	image.bits.resize(geometry.regions());
	for (auto &&bit : image.bits)
		bit = random.one_in(share) == few;
	image.bytes.resize(kCloneImageSectors * kSector);
	fill(random, std::span(image.bytes).subspan(geometry.needed() * kSector));
	store_both(image, image.super);
	for (std::uint64_t index = 0; index < image.sectors(); index++)
		std::ranges::copy(make_clone_sector(image.super.uuid, index, image.bits),
				  image.sector(index).begin());
	return image;
}

std::span<const CloneDamage> clone_damages()
{
	return kDamages;
}

void damage_clone_image(Random &random, CloneImage &image)
{
	for (std::size_t times = random.below(4); times > 0; times = random.below(times))
		random.pick(kDamages).apply(random, image);
}

CloneImageVerdict judge_clone_image(std::span<const std::byte> bytes, const CloneGeometry &geometry)
{
	std::array<CloneSuperState, kCloneSupers> states{};
	CloneImageVerdict verdict;
	bool found = false;

	if (bytes.size() < geometry.needed() * kSector) {
		verdict.faults.insert(Fault::meta_small);
		return verdict;
	}
	for (std::size_t copy = 0; copy < kCloneSupers; copy++) {
		const auto block = block_of(bytes, copy);
		const CloneSuper super = load_clone_super(block);

		states.at(copy) = look_at_clone_super(block);
		if (states.at(copy) == CloneSuperState::valid &&
		    (!found || super.generation > verdict.super.generation)) {
			found = true;
			verdict.super = super;
		}
	}
	verdict.bits.resize(geometry.regions());
	if (!found) {
		judge_no_super(verdict, states);
		return verdict;
	}
	judge_super(verdict, geometry);
	if (verdict.faults.empty())
		judge_bitmap(verdict, bytes);
	// A new clone is wanted, but this one has regions, or may have.
	if (states[0] == CloneSuperState::zero &&
	    (!verdict.faults.empty() ||
	     std::ranges::find(verdict.bits, true) != verdict.bits.end()))
		verdict.faults = {Fault::meta_half_zero};
	return verdict;
}

Image open_clone_image(std::span<const std::byte> bytes, const CloneImageVerdict &verdict)
{
	Image image(bytes.begin(), bytes.end());
	Image block(kCloneBlock);

	store_clone_super(block, verdict.super);
	for (std::size_t copy = 0; copy < kCloneSupers; copy++) {
		const auto place = std::span(image).subspan(copy * kCloneBlock, kCloneBlock);

		// What is behind a superblock is nobody's.
		if (!std::ranges::equal(std::span(block).first(kSector), place.first(kSector)))
			std::ranges::copy(block, place.begin());
	}
	return image;
}

void write_clone_block(std::span<std::byte> bytes, const CloneSuper &super, const RegionBits &bits,
		       std::uint64_t region)
{
	const std::uint64_t first =
		region / kCloneSectorRegions / kCloneBlockSectors * kCloneBlockSectors;

	for (std::uint64_t index = first; index < first + kCloneBlockSectors; index++) {
		const auto place = bytes.subspan((kCloneBitmap + index) * kSector, kSector);

		if (index < super.bitmap_sectors)
			std::ranges::copy(make_clone_sector(super.uuid, index, bits),
					  place.begin());
		else
			clear(place);
	}
}

} // namespace dmsc
