// SPDX-License-Identifier: GPL-2.0-only
#include "oracle.h"

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
constexpr std::uint64_t kMaxSectors =
	static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) >> kSectorShift;

constexpr std::array kSentences{
	std::pair{Fault::core, std::string_view{}},
	std::pair{Fault::origin_arguments,
		  std::string_view{"Wrong number of arguments: needs one, the origin device"}},
	std::pair{Fault::arguments,
		  std::string_view{
			  "Too few arguments: needs origin, COW device, P, PO or N, chunk size"}},
	std::pair{Fault::origin_device, std::string_view{"Cannot open the origin device"}},
	std::pair{Fault::cow_device, std::string_view{"Cannot open the COW device"}},
	std::pair{Fault::same_device, std::string_view{"COW device must not be the origin device"}},
	std::pair{Fault::store,
		  std::string_view{"Unknown type of exception store: must be P, PO or N"}},
	std::pair{Fault::store_options, std::string_view{"Exception store N takes no options"}},
	std::pair{Fault::store_persistent,
		  std::string_view{"Unknown option of exception store P: must be P or PO"}},
	std::pair{Fault::cow_contents,
		  std::string_view{
			  "COW device holds no snapshot: zero its first sectors to make one"}},
	std::pair{Fault::cow_version,
		  std::string_view{"COW device's format has an unknown version: must be 1"}},
	std::pair{Fault::cow_corrupt,
		  std::string_view{"COW device is corrupt: see the kernel's log"}},
	std::pair{Fault::cow_end,
		  std::string_view{"COW device is corrupt: its list of exceptions does not end"}},
	std::pair{Fault::cow_small, std::string_view{"COW device too small: must hold two chunks"}},
	std::pair{Fault::chunk_number,
		  std::string_view{"Invalid chunk size: must be a number of sectors"}},
	std::pair{Fault::chunk_power, std::string_view{"Invalid chunk size: must be a power of 2"}},
	std::pair{Fault::chunk_small,
		  std::string_view{
			  "Chunk size too small: must be a multiple of the logical block sizes"}},
	std::pair{Fault::chunk_large,
		  std::string_view{"Chunk size too large: must be at most 2097152 sectors"}},
	std::pair{Fault::chunk_count,
		  std::string_view{"COW device has too many chunks: chunk size must be larger"}},
	std::pair{Fault::feature_count,
		  std::string_view{
			  "Wrong number of features: must be 0 to 2, and as many must follow"}},
	std::pair{Fault::feature_unknown, std::string_view{"Unknown feature"}},
	std::pair{Fault::feature_left_over,
		  std::string_view{"Arguments left over after the features"}},
	std::pair{Fault::feature_passdown,
		  std::string_view{"Feature discard_passdown_origin needs discard_zeroes_cow"}},
	std::pair{Fault::waiting,
		  std::string_view{"Another table for this COW device is waiting to be resumed"}},
};

struct Number {
	enum class Kind {
		good,
		// The kernel's conversion lets one line feed follow, for the sake of sysfs.
		core,
		bad,
	};
	Kind kind = Kind::bad;
	// At most the greatest, if it is greater than that.
	std::uint64_t value = 0;
};

// Decimal; a plus sign and zeroes may go before it.
Number parse_number(std::string_view text)
{
	constexpr std::uint64_t greatest = std::numeric_limits<std::uint32_t>::max();
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
					greatest + 1);
	return number;
}

bool same_word(std::string_view one, std::string_view other)
{
	return one.size() == other.size() &&
	       ::strncasecmp(one.data(), other.data(), one.size()) == 0;
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
	std::string features(std::span<const std::string> arguments);
	bool store(std::string_view type);
	std::uint64_t chunk_size(std::string_view argument, bool persistent);
	void pair(const BlockDevice &origin, const BlockDevice &cow, std::uint64_t chunk);
	const BlockDevice *device(const std::string &argument, Fault fault, bool writes);
	void area(const BlockDevice &device, std::uint64_t sectors);
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
	else if (target.type == kNeighbour)
		shown_.targets.push_back({target.start, target.length, target.type, ""});
	else
		fault(Fault::core);
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
	if (found.device->read_only && writes && !table_.read_only)
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

void Judge::origin(const Target &target, const std::vector<std::string> &arguments)
{
	if (arguments.size() != 1) {
		fault(Fault::origin_arguments);
		return;
	}

	const BlockDevice *found = device(arguments[0], Fault::origin_device, true);

	if (found == nullptr)
		return;
	area(*found, target.length);
	shown_.targets.push_back(
		{target.start, target.length, target.type, to_string(found->number)});
}

std::string Judge::features(std::span<const std::string> arguments)
{
	if (arguments.empty())
		return "";

	const Number count = parse_number(arguments[0]);
	bool zeroes = false;
	bool passdown = false;

	arguments = arguments.subspan(1);
	if (count.kind == Number::Kind::bad || count.value > 2 || count.value > arguments.size()) {
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
		else
			fault(Fault::feature_unknown);
	}
	if (arguments.size() > count.value)
		fault(Fault::feature_left_over);
	if (passdown && !zeroes)
		fault(Fault::feature_passdown);
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
	if (number.value > std::numeric_limits<std::uint32_t>::max())
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
	const BlockDevice *cow = device(arguments[1], Fault::cow_device, true);
	const bool persistent = store(arguments[2]);
	const std::uint64_t chunk = chunk_size(arguments[3], persistent);
	const std::string shown = features(std::span(arguments).subspan(4));

	// It depends on what is on the device, chunk size included.
	if (persistent && verdict_.load != Expect::refuse)
		for (const Fault each :
		     {Fault::cow_contents, Fault::cow_version, Fault::cow_corrupt, Fault::cow_end,
		      Fault::cow_small, Fault::chunk_power, Fault::chunk_small, Fault::chunk_large,
		      Fault::chunk_count})
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
	area(*origin, target.length);
	area(*cow, cow->sectors);
	if (cow->sectors % block_ != 0)
		aligned_ = false;
	shown_.targets.push_back({target.start, target.length, target.type,
				  to_string(origin->number) + " " + to_string(cow->number) + " N " +
					  std::to_string(chunk) + shown});
}

bool matches(std::string_view form, std::span<const std::string> words)
{
	const auto wanted = split_arguments(form);

	return std::ranges::equal(
		wanted, words, [](const std::string &want, const std::string &word) {
			return want == "<number>" ? parse_number(word).kind == Number::Kind::good
						  : same_word(want, word);
		});
}

} // namespace

std::string_view sentence(Fault fault)
{
	return std::ranges::find(kSentences, fault, [](const auto &pair) { return pair.first; })
		->second;
}

bool is_about_contents(Fault fault)
{
	return fault == Fault::cow_contents || fault == Fault::cow_version ||
	       fault == Fault::cow_corrupt || fault == Fault::cow_end || fault == Fault::cow_small;
}

bool fits(Fault fault, int error)
{
	switch (fault) {
	case Fault::origin_device:
	case Fault::cow_device:
		return error == ENODEV || error == ENXIO || error == EOVERFLOW ||
		       error == ENOTBLK || error == EACCES || error == EROFS || error == EBUSY;
	case Fault::waiting:
		return error == EBUSY;
	case Fault::cow_contents:
		return error == ENXIO;
	case Fault::cow_corrupt:
	case Fault::cow_end:
		return error == EUCLEAN;
	case Fault::cow_small:
		return error == ENOSPC;
	default:
		return error == EINVAL;
	}
}

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
	return {};
}

Expect judge_message(std::string_view type, std::string_view message,
		     std::span<const MessageForm> forms)
{
	const auto words = split_arguments(message);

	if (words.empty())
		return Expect::refuse;
	// Those are for device-mapper itself.
	if (words[0].starts_with('@'))
		return Expect::either;
	const bool accepted = std::ranges::any_of(forms, [&](const MessageForm &each) {
		return each.type == type && matches(each.form, words);
	});

	return accepted ? Expect::accept : Expect::refuse;
}

} // namespace dmsc
