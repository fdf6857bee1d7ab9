// SPDX-License-Identifier: GPL-2.0-only
// Clones: which regions are hydrated, and what a region holds then.
//
//	none --> maybe --> hydrated --> durable
//	           ^           |
//	           +-----------+  the metadata device has failed, or the destination
//
// The background may hydrate any region at any time while it runs: all that are not are "maybe".
#include "model.h"

#include "layout.h"

#include <algorithm>
#include <charconv>
#include <sstream>

namespace dmsc
{

namespace
{

constexpr std::uint64_t kBlockSectors = 8;
constexpr std::uint64_t kLeastRegion = 8;
constexpr std::uint64_t kMostRegion = 1 << 21;

std::optional<std::uint64_t> number_of(const std::string &word)
{
	std::uint64_t value = 0;
	const char *end = word.data() + word.size();
	const auto taken = std::from_chars(word.data(), end, value);

	if (word.empty() || taken.ec != std::errc() || taken.ptr != end || value > UINT32_MAX)
		return std::nullopt;
	return value;
}

} // namespace

/*
 * Table lines and messages
 */

bool Model::CloneLine::set(const std::string &name, const std::string &value)
{
	const auto number = number_of(value);

	if (!number || (name != "hydration_threshold" && name != "hydration_batch_size"))
		return false;
	(name == "hydration_threshold" ? threshold : batch) = *number;
	return true;
}

// What a line asks for, if it is one.
std::optional<Model::CloneLine> Model::parse_clone(const TableLine &line)
{
	const std::vector<std::string> &words = line.arguments;
	const auto count_at = [&](std::size_t at) -> std::optional<std::uint64_t> {
		const auto number = at < words.size() ? number_of(words[at]) : 0;

		return number && at + *number < std::max(words.size(), at + 1) ? number
									       : std::nullopt;
	};
	CloneLine options;

	if (words.size() < 4)
		return std::nullopt;

	const std::uint64_t region = number_of(words[3]).value_or(0);
	const auto features = count_at(4);

	if (region < kLeastRegion || region > kMostRegion || (region & (region - 1)) != 0 ||
	    !features || *features > 2)
		return std::nullopt;
	options.region = region;
	for (std::size_t i = 5; i < 5 + *features; i++) {
		if (words[i] != "no_hydration" && words[i] != "no_discard_passdown")
			return std::nullopt;
		(words[i] == "no_hydration" ? options.hydrates : options.passes_down) = false;
	}

	const std::size_t core = 5 + *features;
	const auto pairs = count_at(core);

	if (!pairs || *pairs % 2 != 0 || *pairs > 4 || core + 1 + *pairs < words.size())
		return std::nullopt;
	for (std::size_t i = core + 1; i < core + 1 + *pairs; i += 2)
		if (!options.set(words[i], words[i + 1]))
			return std::nullopt;
	return options;
}

// Device-mapper asks the target that has the first sector.
bool Model::takes_message(const Operation &operation) const
{
	const Target *target = target_at(operation.word(0), 0);

	if (target == nullptr || !target->clone)
		return false;
	if (operation.word(2).empty())
		return operation.word(1) == "enable_hydration" ||
		       operation.word(1) == "disable_hydration";
	return operation.word(3).empty() &&
	       CloneLine(*target->clone).set(operation.word(1), operation.word(2));
}

void Model::message(const Operation &operation)
{
	CloneLine &line = *target_at(operation.word(0), 0)->clone;

	if (operation.word(2).empty())
		line.hydrates = operation.word(1) == "enable_hydration";
	else
		(void)line.set(operation.word(1), operation.word(2));
}

Answer Model::expect_clone(const Target &target) const
{
	const std::optional<CloneLine> options = parse_clone(target);

	if (!options)
		return Answer::bad;

	const std::string &meta = target.arguments[0];
	const std::string &dest = target.arguments[1];
	const std::string &source = target.arguments[2];
	const auto formatted = clones_.find(meta);

	if (meta == dest || meta == source || dest == source || size_of(dest) < target.length ||
	    size_of(source) < target.length)
		return Answer::bad;
	// What is on the metadata device tells of one clone.
	if (formatted != clones_.end() && (formatted->second->length != target.length ||
					   formatted->second->region != options->region))
		return Answer::bad;
	// It is read now, or written.
	return health(meta);
}

void Model::load_clone(Target &target)
{
	ClonePtr &clone = clones_[target.arguments[0]];

	target.clone = std::make_shared<CloneLine>(*parse_clone(target));
	if (!clone) {
		const std::uint64_t region = target.clone->region;

		clone = std::make_shared<Clone>();
		clone->length = target.length;
		clone->region = region;
		clone->regions.assign((target.length + region - 1) / region, Region::none);
		clone->filled.assign(clone->regions.size(), kBegin);
		clone->contents.assign(target.length, Cell());
		clone->loaded = time_;
		clone->fresh = used_cows_.insert(target.arguments[0]).second;
		clone->blind = health(target.arguments[0]) != Answer::good;
	}
	target.clone->clone = clone;
}

/*
 * A clone's life
 */

void Model::activate_clone(const Target &target)
{
	CloneLine &line = *target.clone;
	Clone &clone = *line.clone;
	const bool is_new = !std::exchange(line.active, true);
	const bool is_other =
		clone.dest != target.arguments[1] || clone.source != target.arguments[2];

	clone.dest = target.arguments[1];
	clone.source = target.arguments[2];
	if (is_other)
		for (std::uint64_t sector = 0; sector < clone.length; sector++)
			if (const Region region = clone.regions[sector / clone.region];
			    region == Region::maybe || region == Region::hydrated)
				clone.contents[sector].add(look(clone.dest, sector), kBegin);
	// If it could not be read either, all is read again.
	if (may_forget(clone) || (is_new && clone.meta_failed))
		demote(clone);
	// A new table tries again. A destination that has lost something is not believed.
	if (is_new)
		clone.meta_failed = false;
}

// All that is hydrated is on the metadata device.
void Model::commit(Clone &clone)
{
	if (clone.meta_failed || clone.dest_failed)
		return;
	for (std::uint64_t region = 0; region < clone.regions.size(); region++)
		if (clone.regions[region] == Region::hydrated)
			make_durable(clone, region);
}

// Whether what is hydrated, but not on the metadata device, may not be, although the clone is still
// in use.
bool Model::may_forget(const Clone &clone) const
{
	return clone.dest_failed || (clone.meta_failed && differences_.metadata_error_forgets);
}

// What the metadata device does not know may be forgotten.
void Model::demote(Clone &clone)
{
	for (std::uint64_t sector = 0; sector < clone.length; sector++)
		if (const Region region = clone.regions[sector / clone.region];
		    region == Region::hydrated)
			clone.contents[sector] = Cell(look(clone.dest, sector));
	std::ranges::replace(clone.regions, Region::hydrated, Region::maybe);
	clone.shown = 0;
}

void Model::drop_clone(const CloneLine &line)
{
	Clone &clone = *line.clone;

	if (!line.active || std::ranges::any_of(mapped_, [&](const auto &each) {
		    return std::ranges::any_of(
			    each.second.live.value_or(Table{}), [&](const Target &other) {
				    return other.clone && other.clone.get() != &line &&
					   other.clone->active && other.clone->clone == line.clone;
			    });
	    }))
		return;
	commit(clone);
	if (clone.meta_failed || clone.dest_failed)
		demote(clone);
	clone.meta_failed = false;
	clone.dest_failed = false;
}

bool Model::is_live(const Clone &clone) const
{
	return std::ranges::any_of(mapped_, [&](const auto &each) {
		return std::ranges::any_of(each.second.live.value_or(Table{}),
					   [&](const Target &target) {
						   return target.clone && target.clone->active &&
							  target.clone->clone.get() == &clone;
					   });
	});
}

void Model::put(const Clone &clone, std::uint64_t sector, bool surely)
{
	const Cell &contents = clone.contents[sector];
	Io copy;

	copy.values = contents.now();
	copy.through = &clone;
	write_origin(clone.dest, sector, copy, nullptr, false);
	for (Place place : copy.places) {
		if (surely)
			place->become(contents, clone.filled[sector / clone.region], time_);
		else
			place->add(copy.values, kBegin);
	}
}

// What is copied. Nothing is if that fails.
Values Model::look_source(const Clone &clone, std::uint64_t sector) const
{
	const Values values = look(clone.source, sector);

	if (values.is_anything() &&
	    answer_of(Way::read, clone.source, sector, sector + 1) == Answer::bad)
		return {};
	return values;
}

// The region is being copied, or may be.
void Model::fill(Clone &clone, std::uint64_t region)
{
	const std::uint64_t end = std::min((region + 1) * clone.region, clone.length);

	clone.regions[region] = Region::maybe;
	clone.filled[region] = time_;
	for (std::uint64_t sector = region * clone.region; sector < end; sector++) {
		clone.contents[sector] = Cell(look_source(clone, sector));
		put(clone, sector, false);
	}
}

// It has been.
void Model::settle(Clone &clone, std::uint64_t region)
{
	const std::uint64_t end = std::min((region + 1) * clone.region, clone.length);

	if (clone.regions[region] != Region::maybe)
		return;
	clone.regions[region] = Region::hydrated;
	for (std::uint64_t sector = region * clone.region; sector < end; sector++)
		put(clone, sector, true);
}

// Something has changed: the background begins, or copies something else.
void Model::hydrate()
{
	for (const auto &[name, mapped] : mapped_) {
		if (!mapped.live)
			continue;
		for (const Target &target : *mapped.live) {
			if (!target.clone || !target.clone->active)
				continue;

			const CloneLine &line = *target.clone;
			Clone &clone = *line.clone;
			const bool runs = !mapped.suspended && line.hydrates && line.threshold != 0;

			clone.meta_failed =
				clone.meta_failed || health(target.arguments[0]) != Answer::good;
			clone.dest_failed =
				clone.dest_failed || health(clone.dest, true) != Answer::good;
			clone.blind = clone.blind || clone.meta_failed || clone.dest_failed;
			for (std::uint64_t region = 0; region < clone.regions.size(); region++)
				if (runs && clone.regions[region] == Region::none)
					fill(clone, region);
			for (std::uint64_t sector = 0; sector < clone.length; sector++) {
				if (clone.regions[sector / clone.region] != Region::maybe)
					continue;
				clone.contents[sector].add(look_source(clone, sector), kBegin);
				put(clone, sector, false);
			}
		}
	}
}

/*
 * I/O
 */

// NOLINTBEGIN(misc-no-recursion): devices stand on devices, and there is no circle.

Values Model::look_clone(const CloneLine &line, std::uint64_t sector) const
{
	const Clone &clone = *line.clone;
	Values values;

	if (!line.active)
		return Values::anything();
	switch (clone.regions[sector / clone.region]) {
	case Region::none:
		return look(clone.source, sector);
	case Region::maybe:
		values = look(clone.source, sector);
		values.add(clone.contents[sector].now());
		return values;
	default:
		return look(clone.dest, sector);
	}
}

void Model::write_clone(const CloneLine &line, std::uint64_t sector, Io &io)
{
	Clone &clone = *line.clone;
	const std::uint64_t region = sector / clone.region;

	if (!line.active)
		return;
	if (clone.regions[region] == Region::none)
		fill(clone, region);
	io.through = &clone;
	write_origin(clone.dest, sector, io, nullptr, false);
	io.through = nullptr;
	if (clone.regions[region] != Region::durable) {
		io.places.push_back(&clone.contents[sector]);
		own(line.clone, io);
	}
	if ((clone.regions[region] == Region::maybe ||
	     (io.fua && clone.regions[region] == Region::hydrated)) &&
	    (io.regions.empty() || io.regions.back() != std::pair(line.clone, region)))
		io.regions.emplace_back(line.clone, region);
}

// Whole regions need no copying, and the destination may be told. Nobody says what is there then,
// but it is either what was, or zeroes.
void Model::discard_clone(const CloneLine &line, std::uint64_t begin, std::uint64_t end, Io &io)
{
	Clone &clone = *line.clone;
	const std::uint64_t first = (begin + clone.region - 1) / clone.region;
	const std::uint64_t last = end == clone.length ? clone.regions.size() : end / clone.region;

	if (!line.active)
		return;
	own(line.clone, io);
	for (std::uint64_t region = first; region < last; region++) {
		const std::uint64_t stop = std::min((region + 1) * clone.region, clone.length);
		const bool is_new = clone.regions[region] == Region::none;

		for (std::uint64_t sector = region * clone.region; sector < stop; sector++) {
			Cell &contents = clone.contents[sector];

			if (is_new)
				contents = Cell();
			contents.add(look(clone.dest, sector), kBegin);
			contents.add_left(after_cut(clone.dest, sector));
			io.places.push_back(&contents);
			if (!line.passes_down)
				continue;
			contents.add(Values(kZeroes), kNever);
			discard(clone.dest, sector, sector + 1, io);
		}
		if (is_new) {
			clone.regions[region] = Region::maybe;
			clone.filled[region] = time_;
		}
	}
}

// NOLINTEND(misc-no-recursion)

// A flush makes durable what is hydrated when it begins.
void Model::enter_flush(Io &io)
{
	const Mapped *mapped = find(io.device);

	if (mapped == nullptr || !mapped->live || !mapped->takes_flushes)
		return;
	for (const Target &target : *mapped->live)
		for (std::uint64_t region = 0;
		     target.clone && region < target.clone->clone->regions.size(); region++)
			if (target.clone->clone->regions[region] == Region::hydrated)
				io.regions.emplace_back(target.clone->clone, region);
}

// An I/O has succeeded, perhaps one that is durable then.
void Model::end_regions(const Io &io, bool durably)
{
	for (const auto &[clone, region] : io.regions) {
		if (may_forget(*clone) || io.open)
			continue;
		if (io.verb == "write")
			settle(*clone, region);
		if ((io.verb == "flush" || durably) && !clone->meta_failed &&
		    clone->regions[region] == Region::hydrated)
			make_durable(*clone, region);
	}
}

/*
 * Status lines
 */

std::uint64_t Model::count(const Clone &clone, Region at_least)
{
	return static_cast<std::uint64_t>(std::ranges::count_if(
		clone.regions, [&](Region region) { return region >= at_least; }));
}

// "8 USED/BLOCKS REGION HYDRATED/REGIONS COPYING FEATURES 4 CORE-ARGUMENTS rw|ro", or "Fail".
Model::Complaint Model::check_clone(const Mapped &mapped, const Target &target,
				    const std::string &status)
{
	const CloneLine &line = *target.clone;
	Clone &clone = *line.clone;
	const bool failed = clone.meta_failed || clone.dest_failed;
	const std::uint64_t total = clone.regions.size();
	const std::uint64_t known =
		count(clone, may_forget(clone) ? Region::durable : Region::hydrated);
	const std::uint64_t least = !line.active ? 0
				    : failed     ? known
						 : std::max(known, clone.shown);
	const std::uint64_t most = count(clone, Region::maybe);
	const auto wrong = [&](const std::string &what) {
		return "status is \"" + status + "\", but " + what;
	};

	if (status == "Fail" || status.ends_with(" ro")) {
		if (!failed)
			return wrong("nothing has failed");
		if (status == "Fail")
			return std::nullopt;
	} else if (!status.ends_with(" rw")) {
		return wrong("has no mode");
	}

	std::istringstream in(status);
	std::uint64_t block = 0;
	std::uint64_t used = 0;
	std::uint64_t blocks = 0;
	std::uint64_t region = 0;
	std::uint64_t hydrated = 0;
	std::uint64_t regions = 0;
	std::uint64_t copying = 0;
	char slash = 0;
	std::size_t features = 0;
	std::set<std::string> names;

	in >> block >> used >> slash >> blocks >> region >> hydrated >> slash >> regions >>
		copying >> features;
	for (std::string word; names.size() < features && in >> word;)
		names.insert(word);

	std::string count_of_pairs;
	std::string threshold_name;
	std::string batch_name;
	std::uint64_t threshold = 0;
	std::uint64_t batch = 0;

	in >> count_of_pairs >> threshold_name >> threshold >> batch_name >> batch;
	if (!in || count_of_pairs != "4" || threshold_name != "hydration_threshold" ||
	    batch_name != "hydration_batch_size")
		return wrong("it is made otherwise");
	if (block != kBlockSectors || blocks != size_of(target.arguments[0]) / kBlockSectors ||
	    used > blocks || region != clone.region || regions != total)
		return wrong("the clone and its metadata device have other sizes");
	if (threshold != line.threshold.value_or(threshold) || batch != line.batch.value_or(batch))
		return wrong("it was told otherwise");
	// A destination may not be able to discard.
	if (names.contains("no_hydration") == line.hydrates ||
	    (!line.passes_down && !names.contains("no_discard_passdown")))
		return wrong("it has other features");
	if (hydrated < least || hydrated > most)
		return wrong(std::to_string(least) + " to " + std::to_string(most) +
			     " regions are hydrated");
	if (copying > total || (copying != 0 && mapped.suspended && ios_.empty()))
		return wrong("nothing is copied now");
	if (!line.active || failed)
		return std::nullopt;
	clone.shown = hydrated;
	// Nothing changes now.
	if (mapped.suspended && ios_.empty() && hydrated == known)
		std::ranges::replace(clone.regions, Region::maybe, Region::none);
	if (hydrated == total || (mapped.suspended && ios_.empty() && hydrated == most))
		for (std::uint64_t each = 0; each < total; each++)
			settle(clone, each);
	return std::nullopt;
}

} // namespace dmsc
