// SPDX-License-Identifier: GPL-2.0-only
#include "oracle.h"

#include "../common/clone_layout.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <limits>

#include <strings.h>

namespace dmsc
{

namespace
{

constexpr std::uint64_t kMaxChunkSectors = 2097152;
constexpr std::uint64_t kMaxChunks = (std::uint64_t{1} << 48) - 1;
constexpr std::uint64_t kGreatest = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kMinRegion = 8;
constexpr std::uint64_t kMaxRegion = 2097152;
constexpr std::uint64_t kMaxSectors =
	static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) >> kSectorShift;

struct Number {
	enum class Kind {
		good,
		// The kernel's conversion lets one line feed follow, for the sake of sysfs.
		core,
		bad,
	};
	Kind kind = Kind::bad;
	// At most one more than the greatest.
	std::uint64_t value = 0;

	[[nodiscard]] bool fits() const { return kind != Kind::bad && value <= kGreatest; }
};

// Decimal; a plus sign and zeroes may go before it.
Number parse_number(std::string_view text)
{
	Number number{Number::Kind::good, 0};

	if (text.starts_with('+'))
		text.remove_prefix(1);
	if (text.ends_with('\n')) {
		number.kind = Number::Kind::core;
		text.remove_suffix(1);
	}
	if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos)
		return {};
	for (const char digit : text)
		number.value = std::min(number.value * 10 + static_cast<std::uint64_t>(digit - '0'),
					kGreatest + 1);
	return number;
}

// Those of a clone, as far as they are known.
struct CloneDevices {
	const BlockDevice *meta;
	const BlockDevice *dest;
	const BlockDevice *source;
	// There is one that only the kernel's core finds.
	bool unknown;
};

bool same_word(std::string_view one, std::string_view other)
{
	return one.size() == other.size() &&
	       ::strncasecmp(one.data(), other.data(), one.size()) == 0;
}

// What a target uses a device for; without a number it may be any device.
struct Use {
	enum class Role { origin, cow, source, dest, meta };
	Role role;
	std::optional<DeviceNumber> device;
	// Of a COW device.
	std::optional<DeviceNumber> origin;

	// Whether both may be in one table.
	[[nodiscard]] bool goes_with(const Use &other) const
	{
		const auto is_read = [](Role each) {
			return each == Role::origin || each == Role::source;
		};

		if (role == Role::cow && other.role == Role::cow)
			return origin && other.origin && *origin == *other.origin;
		return is_read(role) && is_read(other.role);
	}
	[[nodiscard]] Fault fault() const
	{
		switch (role) {
		case Role::origin:
			return Fault::origin_in_use;
		case Role::cow:
			return Fault::cow_in_use;
		case Role::source:
			return Fault::source_in_use;
		case Role::dest:
			return Fault::dest_in_use;
		case Role::meta:
			break;
		}
		return Fault::meta_in_use;
	}
};

std::optional<DeviceNumber> number_of(const BlockDevice *device)
{
	return device != nullptr ? std::optional(device->number) : std::nullopt;
}

// Judges one target after the other.
class Judge
{
public:
	Judge(const Table &table, const Devices &devices) : table_(table), devices_(devices) {}

	Verdict verdict();

private:
	void target(const Target &target);
	void place(const Target &target);
	void origin(const Target &target, const std::vector<std::string> &arguments);
	void snapshot(const Target &target, const std::vector<std::string> &arguments);
	void clone(const Target &target, const std::vector<std::string> &arguments);
	// What follows a clone's region size.
	void clone_options(std::span<const std::string> arguments);
	void core_arguments(std::span<const std::string> arguments);
	std::uint64_t region_size(std::string_view argument);
	void regions(std::uint64_t length, std::uint64_t region, const CloneDevices &devices);
	void clone_devices(std::uint64_t length, const CloneDevices &devices);
	void metadata(const BlockDevice *meta);
	std::string features(std::span<const std::string> arguments, bool persistent);
	bool store(std::string_view type);
	std::uint64_t chunk_size(std::string_view argument, bool persistent);
	void pair(const BlockDevice &origin, const BlockDevice &cow, std::uint64_t chunk);
	const BlockDevice *device(const std::string &argument, Fault fault, bool writes);
	void area(const BlockDevice &device, std::uint64_t sectors);
	// Whether a target may use its devices beside those of the targets before it.
	void use(std::span<const Use> uses);
	void fault(Fault fault)
	{
		verdict_.load = Expect::refuse;
		verdict_.faults.insert(fault);
	}
	// The kernel's core may refuse it, with this fault as the reason.
	void unsure(Fault fault)
	{
		if (verdict_.load == Expect::accept)
			verdict_.load = Expect::either;
		verdict_.faults.insert(fault);
		verdict_.shown.reset();
		known_ = false;
	}

	const Table &table_;
	const Devices &devices_;
	Verdict verdict_;
	Table shown_;
	std::uint64_t end_ = 0;
	std::set<std::pair<DeviceNumber, DeviceNumber>> pairs_;
	std::vector<Use> uses_;
	// A persistent snapshot writes to its COW device when it is loaded.
	bool persistent_ = false;
	bool known_ = true;
	bool aligned_ = true;
	std::uint64_t block_ = 1;
};

Verdict Judge::verdict()
{
	shown_.read_only = table_.read_only;
	if (table_.targets.empty())
		fault(Fault::core);
	for (const Target &each : table_.targets) {
		target(each);
		// What follows is not looked at any more.
		if (verdict_.load == Expect::refuse)
			break;
	}
	if (verdict_.load == Expect::refuse) {
		verdict_.resume = Expect::refuse;
		return verdict_;
	}
	// The core wants whole blocks, and where one is cut it depends on the neighbours.
	for (const Target &each : table_.targets)
		if ((each.start | each.length) % block_ != 0)
			aligned_ = false;
	if (verdict_.resume == Expect::accept && (!known_ || !aligned_))
		verdict_.resume = Expect::either;
	if (known_)
		verdict_.shown = shown_;
	return verdict_;
}

void Judge::place(const Target &target)
{
	const std::uint64_t end = target.start + target.length;

	if (target.length == 0 || target.start != end_ || end < target.start || end > kMaxSectors)
		fault(Fault::core);
	end_ = end;
}

void Judge::target(const Target &target)
{
	const auto arguments = split_arguments(target.params);

	place(target);
	if (target.type == kSnapshot)
		snapshot(target, arguments);
	else if (target.type == kOrigin)
		origin(target, arguments);
	else if (target.type == kClone)
		clone(target, arguments);
	else if (target.type == kNeighbour)
		shown_.targets.push_back({target.start, target.length, target.type, ""});
	else
		fault(Fault::core);
	// Later kernels look at them.
	if (target.type == kNeighbour && !arguments.empty() && is_later_kernel())
		unsure(Fault::core);
}

const BlockDevice *Judge::device(const std::string &argument, Fault fault, bool writes)
{
	const DeviceLookup found = devices_.lookup(argument);

	if (found.kind == DeviceLookup::Kind::missing)
		this->fault(fault);
	if (found.kind == DeviceLookup::Kind::core)
		unsure(fault);
	if (found.device == nullptr)
		return nullptr;
	// Not until Linux 6.5 is a read-only device refused to those who write.
	if (found.device->read_only && writes)
		unsure(fault);
	if (found.device->name == "self") {
		verdict_.self = true;
		unsure(fault);
	}
	return found.device;
}

// The part of a device that a target uses; what it finds wrong is found by resuming.
void Judge::area(const BlockDevice &device, std::uint64_t sectors)
{
	block_ = std::max(block_, device.block_sectors);
	if (device.sectors != 0 && sectors > device.sectors)
		verdict_.resume = Expect::refuse;
	if (device.sectors == 0)
		aligned_ = false;
}

void Judge::use(std::span<const Use> uses)
{
	for (const Use &mine : uses) {
		for (const Use &other : uses_) {
			if (mine.goes_with(other))
				continue;
			if (!mine.device || !other.device)
				unsure(mine.fault());
			else if (*mine.device == *other.device)
				fault(mine.fault());
		}
	}
	uses_.insert(uses_.end(), uses.begin(), uses.end());
}

void Judge::origin(const Target &target, const std::vector<std::string> &arguments)
{
	if (arguments.size() != 1) {
		fault(Fault::origin_arguments);
		return;
	}

	const BlockDevice *found = device(arguments[0], Fault::origin_device, !table_.read_only);

	use(std::array{Use{Use::Role::origin, number_of(found), {}}});
	if (found == nullptr)
		return;
	area(*found, target.start + target.length);
	shown_.targets.push_back(
		{target.start, target.length, target.type, to_string(found->number)});
}

// What of them is shown.
std::string Judge::features(std::span<const std::string> arguments, bool persistent)
{
	if (arguments.empty())
		return "";

	const Number count = parse_number(arguments[0]);
	std::vector<std::string_view> commits;
	bool passdown = false;
	bool zeroes = false;

	arguments = arguments.subspan(1);
	if (count.kind == Number::Kind::bad || count.value > 3 || count.value > arguments.size()) {
		fault(Fault::feature_count);
		return "";
	}
	if (count.kind == Number::Kind::core)
		unsure(Fault::feature_count);
	for (const std::string &word : arguments.first(count.value)) {
		if (same_word(word, "discard_zeroes_cow"))
			zeroes = true;
		else if (same_word(word, "discard_passdown_origin"))
			passdown = true;
		else if (same_word(word, "commit=flush") || same_word(word, "commit=write"))
			commits.push_back(word);
		else
			fault(Fault::feature_unknown);
	}
	// Beside commit= two.
	if (count.value - commits.size() > 2)
		fault(Fault::feature_count);
	if (!commits.empty() && !persistent)
		fault(Fault::feature_commit_store);
	if (commits.size() > 1)
		fault(Fault::feature_commit_twice);
	if (arguments.size() > count.value)
		fault(Fault::feature_left_over);
	if (passdown && !zeroes)
		fault(Fault::feature_passdown);
	// How it is with commit=, nobody knows: what is on the COW device decides.
	if (passdown)
		return " 2 discard_zeroes_cow discard_passdown_origin";
	return zeroes ? " 1 discard_zeroes_cow" : "";
}

// Returns whether it is persistent.
bool Judge::store(std::string_view type)
{
	const bool persistent = type[0] == 'P' || type[0] == 'p';

	if (same_word(type, "N") || same_word(type, "P") || same_word(type, "PO"))
		return persistent;
	if (type[0] == 'N' || type[0] == 'n')
		fault(Fault::store_options);
	else
		fault(persistent ? Fault::store_persistent : Fault::store);
	return persistent;
}

std::uint64_t Judge::chunk_size(std::string_view argument, bool persistent)
{
	const Number number = parse_number(argument);

	if (number.kind == Number::Kind::bad) {
		fault(Fault::chunk_number);
		return 0;
	}
	if (number.kind == Number::Kind::core)
		unsure(Fault::chunk_number);
	if (persistent && number.value == 0)
		return 0;
	if (!std::has_single_bit(number.value))
		fault(Fault::chunk_power);
	if (number.value == 0)
		fault(Fault::chunk_small);
	if (number.value > kMaxChunkSectors)
		fault(Fault::chunk_large);
	// So large that it may be called no number.
	if (number.value > kGreatest)
		fault(Fault::chunk_number);
	return number.value;
}

void Judge::pair(const BlockDevice &origin, const BlockDevice &cow, std::uint64_t chunk)
{
	if (origin.number == cow.number)
		fault(Fault::same_device);
	if (chunk == 0)
		return;
	if (chunk < std::max(origin.block_sectors, cow.block_sectors))
		fault(Fault::chunk_small);
	if (cow.sectors / chunk > kMaxChunks)
		fault(Fault::chunk_count);
	// Two snapshots of one pair of devices in one table.
	if (!pairs_.insert({origin.number, cow.number}).second)
		fault(Fault::waiting);
}

void Judge::snapshot(const Target &target, const std::vector<std::string> &arguments)
{
	if (arguments.size() < 4) {
		fault(Fault::arguments);
		return;
	}

	const BlockDevice *origin = device(arguments[0], Fault::origin_device, false);
	const BlockDevice *cow = device(arguments[1], Fault::cow_device, !table_.read_only);
	const bool persistent = store(arguments[2]);
	const std::uint64_t chunk = chunk_size(arguments[3], persistent);
	const std::string shown = features(std::span(arguments).subspan(4), persistent);

	persistent_ |= persistent;
	use(std::array{Use{Use::Role::origin, number_of(origin), {}},
		       Use{Use::Role::cow, number_of(cow), number_of(origin)}});
	if (chunk != 0 && target.start % chunk != 0)
		fault(Fault::begin);
	// It depends on what is on the device, chunk size included.
	if (persistent && verdict_.load != Expect::refuse)
		for (const Fault each :
		     {Fault::cow_contents, Fault::cow_version, Fault::cow_corrupt, Fault::cow_end,
		      Fault::cow_small, Fault::chunk_power, Fault::chunk_small, Fault::chunk_large,
		      Fault::chunk_count, Fault::begin})
			unsure(each);
	if (origin == nullptr || cow == nullptr) {
		// They may be one, or have blocks that are too large.
		if (verdict_.load == Expect::either) {
			unsure(Fault::same_device);
			unsure(Fault::chunk_small);
			unsure(Fault::chunk_count);
			unsure(Fault::waiting);
		}
		return;
	}
	pair(*origin, *cow, chunk);
	area(*origin, target.start + target.length);
	area(*cow, cow->sectors);
	if (cow->sectors % block_ != 0)
		aligned_ = false;
	shown_.targets.push_back({target.start, target.length, target.type,
				  to_string(origin->number) + " " + to_string(cow->number) + " N " +
					  std::to_string(chunk) + shown});
}

void Judge::core_arguments(std::span<const std::string> arguments)
{
	if (arguments.empty())
		return;

	const Number count = parse_number(arguments[0]);

	arguments = arguments.subspan(1);
	if (count.kind == Number::Kind::bad || count.value > 4 || count.value % 2 != 0 ||
	    count.value > arguments.size()) {
		fault(Fault::core_count);
		return;
	}
	if (count.kind == Number::Kind::core)
		unsure(Fault::core_count);
	for (std::size_t i = 0; i < count.value; i += 2) {
		const Number value = parse_number(arguments[i + 1]);

		if (!same_word(arguments[i], "hydration_threshold") &&
		    !same_word(arguments[i], "hydration_batch_size"))
			fault(Fault::core_unknown);
		if (!value.fits())
			fault(Fault::core_value);
		else if (value.kind == Number::Kind::core)
			unsure(Fault::core_value);
	}
	if (arguments.size() > count.value)
		fault(Fault::core_left_over);
}

void Judge::clone_options(std::span<const std::string> arguments)
{
	if (arguments.empty())
		return;

	const Number count = parse_number(arguments[0]);

	arguments = arguments.subspan(1);
	if (count.kind == Number::Kind::bad || count.value > 2 || count.value > arguments.size()) {
		fault(Fault::clone_feature_count);
		return;
	}
	if (count.kind == Number::Kind::core)
		unsure(Fault::clone_feature_count);
	for (const std::string &word : arguments.first(count.value))
		if (!same_word(word, "no_hydration") && !same_word(word, "no_discard_passdown"))
			fault(Fault::clone_feature_unknown);
	core_arguments(arguments.subspan(count.value));
}

// 0 if it is none.
std::uint64_t Judge::region_size(std::string_view argument)
{
	const Number number = parse_number(argument);

	if (!number.fits() || !std::has_single_bit(number.value) || number.value < kMinRegion ||
	    number.value > kMaxRegion) {
		fault(Fault::region_size);
		return 0;
	}
	if (number.kind == Number::Kind::core)
		unsure(Fault::region_size);
	return number.value;
}

// What has to do with the number of regions.
void Judge::regions(std::uint64_t length, std::uint64_t region, const CloneDevices &devices)
{
	const CloneGeometry geometry{.region_size = region, .target_size = length};

	if (region == 0)
		return;
	if (geometry.regions() > kCloneMaxRegions) {
		// Nobody asks any more what else they need.
		fault(Fault::region_count);
		return;
	}
	for (const BlockDevice *each : {devices.source, devices.dest})
		if (each != nullptr && region % each->block_sectors != 0)
			fault(Fault::region_blocks);
	if (devices.meta != nullptr && devices.meta->sectors < geometry.needed())
		fault(Fault::meta_small);
}

// Whether they are large enough, and three.
void Judge::clone_devices(std::uint64_t length, const CloneDevices &devices)
{
	const auto same = [](const BlockDevice *one, const BlockDevice *other) {
		return one != nullptr && other != nullptr && one->number == other->number;
	};

	if (devices.dest != nullptr && devices.dest->sectors < length)
		fault(Fault::dest_small);
	if (devices.source != nullptr && devices.source->sectors < length)
		fault(Fault::source_small);
	if (same(devices.meta, devices.dest) || same(devices.meta, devices.source) ||
	    same(devices.dest, devices.source))
		fault(Fault::three_devices);
	if (devices.unknown)
		for (const Fault each :
		     {Fault::three_devices, Fault::dest_small, Fault::source_small,
		      Fault::region_blocks, Fault::meta_small})
			unsure(each);
}

// What may be on the metadata device.
void Judge::metadata(const BlockDevice *meta)
{
	if (verdict_.load == Expect::refuse)
		return;
	// That one alone begins with zeroes.
	if (meta == nullptr || meta->name != "meta" || persistent_)
		for (const Fault each :
		     {Fault::meta_contents, Fault::meta_half_zero, Fault::meta_stock,
		      Fault::meta_damaged, Fault::meta_version, Fault::meta_region,
		      Fault::meta_size, Fault::meta_contradiction, Fault::meta_bitmap})
			unsure(each);
}

void Judge::clone(const Target &target, const std::vector<std::string> &arguments)
{
	if (arguments.size() < 4) {
		fault(Fault::clone_arguments);
		return;
	}

	// Whatever the table's mode, the background writes.
	const CloneDevices found{
		.meta = device(arguments[0], Fault::meta_device, true),
		.dest = device(arguments[1], Fault::dest_device, true),
		.source = device(arguments[2], Fault::source_device, false),
		.unknown = std::ranges::any_of(std::span(arguments).first(3), [this](auto &each) {
			const DeviceLookup lookup = devices_.lookup(each);

			return lookup.kind == DeviceLookup::Kind::core && lookup.device == nullptr;
		})};
	std::string shown;

	for (std::size_t i = 3; i < arguments.size(); i++)
		shown += " " + arguments[i];
	clone_options(std::span(arguments).subspan(4));
	regions(target.length, region_size(arguments[3]), found);
	clone_devices(target.length, found);
	use(std::array{Use{Use::Role::meta, number_of(found.meta), {}},
		       Use{Use::Role::dest, number_of(found.dest), {}},
		       Use{Use::Role::source, number_of(found.source), {}}});
	metadata(found.meta);
	if (found.meta == nullptr || found.dest == nullptr || found.source == nullptr)
		return;
	area(*found.dest, target.length);
	area(*found.source, target.length);
	shown_.targets.push_back({target.start, target.length, target.type,
				  to_string(found.meta->number) + " " +
					  to_string(found.dest->number) + " " +
					  to_string(found.source->number) + shown});
}

// Whether words are of that form; the kernel's core may decide it.
Expect compare(const MessageForm &form, std::span<const std::string> words)
{
	const auto wanted = split_arguments(form.form);
	Expect result = Expect::accept;

	if (wanted.size() != words.size())
		return Expect::refuse;
	for (std::size_t i = 0; i < words.size(); i++) {
		const Number number = parse_number(words[i]);
		// As in sysfs, a line feed may follow a switch.
		const bool same = form.exact ? words[i] == wanted[i] ||
						       (i > 0 && words[i] == wanted[i] + "\n")
					     : same_word(wanted[i], words[i]);

		if (wanted[i] == "<number>" ? !number.fits() : !same)
			return Expect::refuse;
		if (wanted[i] == "<number>" && number.kind == Number::Kind::core)
			result = Expect::either;
	}
	return result;
}

constexpr std::array kForms{
	MessageForm{kClone, "enable_hydration"},
	MessageForm{kClone, "disable_hydration"},
	MessageForm{kClone, "hydration_threshold <number>"},
	MessageForm{kClone, "hydration_batch_size <number>"},
	MessageForm{kSnapshot, "stats", 0, true},
	MessageForm{kClone, "stats", 0, true},
	// No disk here copies by itself.
	MessageForm{kSnapshot, "offload auto", EOPNOTSUPP, true},
	MessageForm{kSnapshot, "offload off", EOPNOTSUPP, true},
	MessageForm{kClone, "offload auto", EOPNOTSUPP, true},
	MessageForm{kClone, "offload off", EOPNOTSUPP, true},
};

} // namespace

std::string_view to_string(Expect expect)
{
	switch (expect) {
	case Expect::accept:
		return "accept";
	case Expect::refuse:
		return "refuse";
	case Expect::either:
		break;
	}
	return "either";
}

Verdict judge(const Table &table, const Devices &devices)
{
	return Judge(table, devices).verdict();
}

std::span<const MessageForm> message_forms()
{
	return kForms;
}

MessageVerdict judge_message(std::string_view type, std::string_view message,
			     std::span<const MessageForm> forms)
{
	const auto words = split_arguments(message);

	if (words.empty())
		return {Expect::refuse, EINVAL};
	// Those are for device-mapper itself.
	if (words[0].starts_with('@'))
		return {Expect::either, EINVAL};
	for (const MessageForm &form : forms) {
		const Expect expect = compare(form, words);

		if (form.type != type || expect == Expect::refuse)
			continue;
		if (form.error != 0)
			return {Expect::refuse, form.error};
		return {expect, EINVAL};
	}
	return {Expect::refuse, EINVAL};
}

} // namespace dmsc
