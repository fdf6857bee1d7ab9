// SPDX-License-Identifier: GPL-2.0-only
#include "generator.h"

#include "oracle.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <set>

namespace dmsc
{

namespace
{

using Words = std::vector<std::string>;

constexpr std::array<std::string_view, 2> kFeatures{"discard_zeroes_cow",
						    "discard_passdown_origin"};
constexpr std::array<std::string_view, 2> kCloneFeatures{"no_hydration", "no_discard_passdown"};
constexpr std::array<std::string_view, 2> kCoreArguments{"hydration_threshold",
							 "hydration_batch_size"};
constexpr std::uint64_t kMaxChunkSectors = 2097152;

// Numbers at which something ends, and forms that not everybody takes for a number.
constexpr std::array<std::string_view, 44> kNumbers{
	"0",
	"1",
	"2",
	"3",
	"4",
	"7",
	"8",
	"9",
	"16",
	"24",
	"64",
	"255",
	"256",
	"2048",
	"65535",
	"1048576",
	"2097151",
	"2097152",
	"2097153",
	"4194303",
	"4194304",
	"8388608",
	"2147483647",
	"2147483648",
	"4294967295",
	"4294967296",
	"4294967297",
	"4294967298",
	"4294967304",
	"9223372036854775808",
	"18446744073709551615",
	"18446744073709551616",
	"18446744073709551617",
	"18446744073709551624",
	"340282366920938463463374607431768211464",
	"-1",
	"-8",
	"-0",
	"0x8",
	"0X8",
	"010",
	"08",
	"1e3",
	"8.0",
};

// What may stand where a device should, words of other targets' lines and messages, and rubbish.
constexpr std::array<std::string_view, 56> kWords{
	"N",
	"n",
	"P",
	"p",
	"PO",
	"PX",
	"NO",
	"X",
	"-",
	"discard_zeroes_cow",
	"discard_passdown_origin",
	"DISCARD_ZEROES_COW",
	"discard_zeroes_co",
	"discard_zeroes_cow_",
	"discard",
	"commit=flush",
	"commit=write",
	"Commit=Write",
	"commit=",
	"commit=writes",
	"no_hydration",
	"no_discard_passdown",
	"hydration_threshold",
	"hydration_batch_size",
	"hydration",
	"/",
	"/dev",
	"/dev/null",
	"/dev/no-such-device",
	"/proc/version",
	"no-such-device",
	"..",
	"240:77",
	"999999:1",
	"4095:1048575",
	"4096:0",
	"0:0",
	":",
	"250:",
	":0",
	"PARTLABEL=none",
	"PARTUUID=0/PARTNROFF=1",
	"/dev/nfs",
	"/dev/ram",
	"\\",
	"\\\\",
	"%s",
	"%n%n%n%n",
	"\xff",
	"\xc3\x91",
	"\xd1",
	"N\\ ",
	"#",
	"'",
	"\"\"",
	",",
};

constexpr std::array<std::string_view, 24> kMessageWords{
	"merge",
	"invalidate",
	"enable_hydration",
	"disable_hydration",
	"hydration_threshold",
	"hydration_batch_size",
	"stats",
	"offload",
	"resize",
	"reload",
	"help",
	"status",
	"clear",
	"create_snap",
	"snapshot",
	"snapshot-merge",
	"@cancel_deferred_remove",
	"@stats_list",
	"@stats_delete",
	"@stats_print",
	"@",
	"@nothing",
	"0",
	"1",
};

std::string join(Random &random, const Words &words)
{
	std::string text;
	const bool plain = !random.one_in(4);
	const auto space = [&]() {
		if (plain)
			return std::string(1, ' ');
		return std::string(1 + random.below(random.one_in(50) ? 3000 : 3),
				   kSpaces[random.below(kSpaces.size())]);
	};

	if (!plain && random.one_in(2))
		text += space();
	for (std::size_t i = 0; i < words.size(); i++) {
		if (i > 0)
			text += space();
		text += words[i];
	}
	if (!plain && random.one_in(2))
		text += space();
	return text;
}

std::string decimal(Random &random, std::uint64_t value)
{
	std::string text = std::to_string(value);

	if (random.one_in(8))
		text.insert(0, random.below(40), '0');
	if (random.one_in(12))
		text.insert(0, 1, '+');
	return text;
}

std::string any_case(Random &random, std::string_view text)
{
	std::string out(text);

	for (char &byte : out)
		if (random.one_in(2))
			byte = static_cast<char>(std::toupper(static_cast<unsigned char>(byte)));
	return out;
}

void features(Random &random, Words &words)
{
	std::array<std::string_view, 2> chosen{kFeatures[0], kFeatures[random.below(2)]};
	const std::size_t count = random.below(3);

	if (random.one_in(2))
		return;
	if (random.one_in(2))
		std::swap(chosen[0], chosen[1]);
	// One alone can only be this.
	if (count == 1)
		chosen[0] = kFeatures[0];
	words.push_back(decimal(random, count));
	for (std::size_t i = 0; i < count; i++)
		words.push_back(random.one_in(3) ? any_case(random, chosen[i])
						 : std::string(chosen[i]));
}

// A number of regions.
std::string amount(Random &random)
{
	constexpr std::array<std::uint64_t, 6> amounts{0, 1, 2, 64, 100000, 4294967295};

	return decimal(random, random.pick(amounts));
}

// A clone's features, and its core arguments.
void clone_options(Random &random, Words &words)
{
	const std::size_t features = random.below(3);
	const std::size_t arguments = random.below(3);
	const auto add = [&](std::string_view word) {
		words.push_back(random.one_in(3) ? any_case(random, word) : std::string(word));
	};

	if (random.one_in(4))
		return;
	words.push_back(decimal(random, features));
	for (std::size_t i = 0; i < features; i++)
		add(random.pick(kCloneFeatures));
	if (random.one_in(2))
		return;
	words.push_back(decimal(random, 2 * arguments));
	for (std::size_t i = 0; i < arguments; i++) {
		add(random.pick(kCoreArguments));
		words.push_back(amount(random));
	}
}

// Changes that the splitter takes back.
void escape(Random &random, std::string &word)
{
	if (!word.empty())
		word.insert(random.below(word.size()), 1, '\\');
}

char any_byte(Random &random)
{
	// Any but the end of a string.
	return static_cast<char>(1 + random.below(std::numeric_limits<unsigned char>::max()));
}

void mutate_word(Random &random, std::string &word)
{
	const std::size_t at = random.below(word.size());

	switch (random.below(12)) {
	case 0:
		word = kNumbers[random.below(kNumbers.size())];
		break;
	case 1:
		word.push_back(any_byte(random));
		break;
	case 2:
		word.insert(0, 1, any_byte(random));
		break;
	case 3:
		if (!word.empty())
			word.erase(at, 1);
		break;
	case 4:
		if (!word.empty())
			word[at] = any_byte(random);
		break;
	case 5:
		word = any_case(random, word);
		break;
	case 6:
		word.insert(at, "\\" + std::string(1, kSpaces[random.below(kSpaces.size())]));
		break;
	case 7:
		word.insert(at, random.below(random.one_in(4) ? 9000 : 60),
			    random.one_in(2) ? '0' : any_byte(random));
		break;
	case 8:
		word.insert(0, 1, random.one_in(2) ? '-' : '+');
		break;
	case 9:
		word += random.one_in(2) ? "k" : "\\\n";
		break;
	case 10:
		word.erase(at);
		break;
	default:
		escape(random, word);
		break;
	}
}

} // namespace

std::string Generator::device(Random &random, std::string_view name) const
{
	const BlockDevice *device = devices_.find(name);

	std::string number = to_string(device->number);

	switch (random.below(16)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		return number;
	case 5:
		return "/" + device->path;
	case 6:
		return "/dev/./" + device->path.substr(5);
	case 7:
		return "0" + number;
	default:
		return device->path;
	}
}

std::string Generator::word(Random &random) const
{
	switch (random.below(3)) {
	case 0:
		return std::string(random.pick(kNumbers));
	case 1:
		return std::string(random.pick(kWords));
	default:
		return device(random, devices_.list()[random.below(devices_.list().size())].name);
	}
}

// The parameters of a snapshot behind its origin.
void Generator::snapshot(Random &random, Words &words) const
{
	std::uint64_t chunk = std::uint64_t{1} << random.below(22);

	words.push_back(device(random, "cow"));
	words.emplace_back(random.one_in(3) ? "n" : "N");
	// Large ones are the less likely ones.
	if (random.one_in(2))
		chunk = 8;
	words.push_back(decimal(random, std::min(chunk, kMaxChunkSectors)));
	features(random, words);
}

void Generator::clone(Random &random, Words &words) const
{
	const std::uint64_t region = std::uint64_t{8} << random.below(19);

	for (const std::string_view name : {"meta", "dest", "source"})
		words.push_back(device(random, name));
	words.push_back(decimal(random, random.one_in(2) ? 8 : region));
	clone_options(random, words);
}

Target Generator::valid_target(Random &random, std::string_view type) const
{
	const BlockDevice &whole = *devices_.find(type == kClone ? "source" : "origin");
	Target target;
	Words words;

	target.type = type;
	target.length =
		random.one_in(3) ? 8 * (1 + random.below(whole.sectors / 8)) : whole.sectors;
	if (type == kClone) {
		// The last region is a short one.
		target.length -= random.below(random.one_in(3) ? 8 : 1);
		clone(random, words);
	} else {
		words.push_back(device(random, "origin"));
		if (type == kSnapshot)
			snapshot(random, words);
	}
	for (std::string &each : words)
		if (random.one_in(30))
			escape(random, each);
	target.params = join(random, words);
	return target;
}

// Whether a valid target at 0 is valid at another place.
bool Generator::fits_behind(std::uint64_t start, const Target &target) const
{
	const Words words = split_arguments(target.params);

	if (start + target.length > devices_.find("origin")->sectors)
		return false;
	return target.type != kSnapshot || start % std::stoull(words[3]) == 0;
}

Table Generator::valid(Random &random) const
{
	constexpr std::array types{kSnapshot, kSnapshot, kSnapshot, kClone, kClone, kOrigin};
	Table table;
	std::uint64_t start = 0;
	std::size_t count = 1 + (random.one_in(6) ? random.below(4) : 0);
	std::set<std::string_view> used;

	table.read_only = random.one_in(10);
	while (count-- > 0) {
		std::string_view type = random.pick(types);

		// A pair of devices can have one snapshot, and a metadata device one clone.
		if (type != kOrigin && !used.insert(type).second)
			type = kOrigin;

		Target target = valid_target(random, type);

		// A snapshot begins with a chunk, and sectors of the table are those of the origin.
		if ((count > 0 && random.one_in(3)) ||
		    (start > 0 && type != kClone && !fits_behind(start, target)))
			target = {0, target.length, std::string(kNeighbour), ""};
		target.start = start;
		start += target.length;
		table.targets.push_back(std::move(target));
	}
	return table;
}

void Generator::mutate_words(Random &random, Words &words) const
{
	const std::size_t at = random.below(words.size());
	const auto position = words.begin() + static_cast<std::ptrdiff_t>(at);

	if (words.empty()) {
		words.push_back(word(random));
		return;
	}
	switch (random.below(8)) {
	case 0:
		words.erase(position);
		break;
	case 1:
		words.insert(position, std::string(words[at]));
		break;
	case 2:
		std::swap(words[at], words[random.below(words.size())]);
		break;
	case 3:
		words.insert(position, word(random));
		break;
	case 4:
		words.push_back(word(random));
		break;
	case 5:
		words[at] = word(random);
		break;
	default:
		mutate_word(random, words[at]);
		break;
	}
}

std::uint64_t Generator::sectors(Random &random) const
{
	constexpr std::array<std::uint64_t, 16> limits{
		0,
		1,
		7,
		8,
		2097152,
		std::uint64_t{1} << 31,
		std::uint64_t{1} << 32,
		(std::uint64_t{1} << 32) + 8,
		(std::uint64_t{1} << 54) - 1,
		std::uint64_t{1} << 54,
		(std::uint64_t{1} << 54) + 1,
		std::uint64_t{1} << 55,
		std::uint64_t{1} << 63,
		(std::uint64_t{1} << 63) - 1,
		~std::uint64_t{0},
		~std::uint64_t{0} - 7,
	};
	const std::uint64_t size = devices_.list()[random.below(devices_.list().size())].sectors;

	switch (random.below(3)) {
	case 0:
		return random.pick(limits);
	case 1:
		return size + random.below(9) - 4;
	default:
		return random.next() >> random.below(64);
	}
}

void Generator::mutate_target(Random &random, Target &target) const
{
	constexpr std::array<std::string_view, 15> types{
		kOrigin,
		kSnapshot,
		kClone,
		kNeighbour,
		"snapshot-scale",
		"snapshot_scaled",
		"SNAPSHOT-SCALED",
		"origin-scaled ",
		"clone-scale",
		"CLONE-SCALED",
		"origin-scale",
		"origin-scaledx",
		"",
		"-",
		"\xff",
	};

	switch (random.below(20)) {
	case 0:
		target.start = sectors(random);
		break;
	case 1:
		target.length = sectors(random);
		break;
	case 2:
		target.type = random.pick(types);
		break;
	case 3:
		if (!target.params.empty())
			target.params[random.below(target.params.size())] = any_byte(random);
		break;
	case 4:
		target.params.insert(random.below(target.params.size()), 1, any_byte(random));
		break;
	default:
		// Escapes go, as words are what is between spaces, and are not split again.
		Words words = split_arguments(target.params);

		mutate_words(random, words);
		target.params = join(random, words);
		break;
	}
}

Table Generator::table(Random &random) const
{
	Table table = !corpus_.empty() && random.one_in(6) ? corpus_[random.below(corpus_.size())]
							   : valid(random);

	if (random.one_in(25) && table.targets.size() > 1)
		std::swap(table.targets[0], table.targets[random.below(table.targets.size())]);
	if (random.one_in(25) && !table.targets.empty())
		table.targets.push_back(table.targets[random.below(table.targets.size())]);
	if (random.one_in(40))
		table.read_only = !table.read_only;
	// Valid ones take the kernel a hundred times as long.
	for (std::size_t left = random.below(9); left > 0 && !table.targets.empty();
	     left = random.below(left))
		mutate_target(random, table.targets[random.below(table.targets.size())]);
	return table;
}

std::string Generator::message(Random &random) const
{
	Words words;
	const auto forms = message_forms();

	if (random.one_in(2)) {
		words = split_arguments(random.pick(forms).form);
		std::ranges::replace(words, "<number>", amount(random));
		if (random.one_in(4))
			words[0] = any_case(random, words[0]);
		if (random.one_in(2))
			return join(random, words);
	} else if (!random.one_in(20)) {
		words.emplace_back(random.pick(kMessageWords));
	}
	while (random.one_in(2))
		words.push_back(word(random));
	while (random.one_in(3))
		mutate_words(random, words);
	return join(random, words);
}

} // namespace dmsc
