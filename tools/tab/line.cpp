// SPDX-License-Identifier: GPL-2.0-only
#include "line.h"

#include "unit_name.h"
#include "use.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <span>
#include <stdexcept>
#include <utility>

namespace dmsc
{

namespace
{

constexpr std::string_view kBlanks = " \t\r\v\f";
constexpr std::string_view kDigits = "0123456789";
// What neither udev nor dmsetup writes in another way.
constexpr std::string_view kNameCharacters =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789#+-.:=@_";
constexpr std::size_t kMaxName = 127;
// Of a unit's name, and of a file's. The longest that are made of a device's name and of a path are
// folder dev-mapper-NAME.device.requires and unit blockdev@PATH.target.
constexpr std::size_t kMaxUnitName = 255;
constexpr std::size_t kAroundName = 27;
constexpr std::size_t kAroundPath = 16;
constexpr std::uint64_t kMaxUnit = 2097152; // sectors of a chunk or a region
constexpr std::uint64_t kMinRegion = 8;

// What is wrong with a line, for its writer.
class Wrong : public std::runtime_error
{
	using std::runtime_error::runtime_error;
};

std::string quoted(std::string_view word)
{
	return "'" + std::string(word) + "'";
}

// With commas as words of their own if they separate rows.
std::vector<std::string> split(std::string_view text, bool commas)
{
	std::vector<std::string> words;
	bool inside = false;

	for (const char c : text) {
		if (kBlanks.find(c) != std::string_view::npos) {
			inside = false;
		} else if (commas && c == ',') {
			words.emplace_back(",");
			inside = false;
		} else {
			if (!inside)
				words.emplace_back();
			words.back().push_back(c);
			inside = true;
		}
	}
	return words;
}

// Takes the first word off the text.
std::string_view take_word(std::string_view &text)
{
	text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));

	const auto word = text.substr(0, text.find_first_of(kBlanks));

	text.remove_prefix(word.size());
	return word;
}

std::optional<std::uint64_t> number_in(std::string_view word)
{
	std::uint64_t value = 0;
	const auto *end = word.data() + word.size();
	const auto [stop, error] = std::from_chars(word.data(), end, value);

	if (word.empty() || error != std::errc() || stop != end)
		return std::nullopt;
	return value;
}

bool is_lower_case_of(std::string_view word, std::string_view lower)
{
	return std::ranges::equal(word, lower, [](char a, char b) {
		return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
	});
}

void check_name(std::string_view name)
{
	if (name == "control" || name == "." || name == ".." || name.starts_with('-') ||
	    name.size() > kMaxName ||
	    name.find_first_not_of(kNameCharacters) != std::string_view::npos)
		throw Wrong("field 1, " + quoted(name) +
			    ": must be the name of a device, at most 127 letters, digits and "
			    "characters of #+-.:=@_, not - first");
	if (escape_name(name).size() + kAroundName > kMaxUnitName)
		throw Wrong("field 1, " + quoted(name) +
			    ": is too long for the name of a unit, in which each of #+-=@ has "
			    "four characters");
}

TabOptions parse_options(std::string_view text)
{
	TabOptions options;
	const std::array<std::pair<std::string_view, bool *>, 6> known{{
		{"noauto", &options.no_auto},
		{"nofail", &options.no_fail},
		{"_netdev", &options.net_device},
		{"read-only", &options.read_only},
		{"readonly", &options.read_only},
		{"x-initrd.attach", &options.initrd},
	}};

	if (text == "-")
		return options;
	while (!text.empty()) {
		const auto option = text.substr(0, text.find(','));
		const auto *found = std::ranges::find(known, option,
						      [](const auto &each) { return each.first; });

		if (found == known.end())
			throw Wrong("field 2, option " + quoted(option) +
				    ": must be noauto, nofail, _netdev, read-only or "
				    "x-initrd.attach, several with commas between, or - for none");
		*found->second = true;
		text.remove_prefix(std::min(option.size() + 1, text.size()));
	}
	return options;
}

// The path that udev makes for a tag, as in fstab(5); else what it was.
std::string expand_tag(std::string_view word)
{
	constexpr std::array<std::pair<std::string_view, std::string_view>, 5> tags{{
		{"PARTUUID=", "/dev/disk/by-partuuid/"},
		{"PARTLABEL=", "/dev/disk/by-partlabel/"},
		{"ID=", "/dev/disk/by-id/"},
		{"UUID=", "/dev/disk/by-uuid/"},
		{"LABEL=", "/dev/disk/by-label/"},
	}};

	for (const auto &[tag, folder] : tags)
		if (word.starts_with(tag))
			return std::string(folder) + std::string(word.substr(tag.size()));
	return std::string(word);
}

// What it means as a device. Throws if it is one that the file must not have.
std::string device_in(const std::string &word, const std::string &what)
{
	auto path = expand_tag(word);

	if (is_device_number(path) || path.starts_with("/dev/dm-"))
		throw Wrong(what + ": must be a path that is the same after each start, such as "
				   "/dev/vg/lv or /dev/disk/by-id/...");
	if (path.starts_with("/dev/disk/by-uuid/") || path.starts_with("/dev/disk/by-label/"))
		throw Wrong(what + ": names a file system, which the new device has as well; must "
				   "be another path of the device below, such as /dev/vg/lv, "
				   "/dev/disk/by-id/... or PARTUUID=...");
	if (path.starts_with("/dev/") &&
	    (path.ends_with('/') || path.find("//") != std::string::npos ||
	     path.find("/./") != std::string::npos || path.find("/../") != std::string::npos ||
	     path.ends_with("/.") || path.ends_with("/..")))
		throw Wrong(what + ": must be a path without //, /./ and /../");
	if (path.starts_with("/dev/") && escape_path(path).size() + kAroundPath > kMaxUnitName)
		throw Wrong(what + ": is too long for the name of a unit");
	return path;
}

// Of a target's argument, counted from 1.
std::string argument_name(const TabRow &row, std::size_t index)
{
	return "argument " + std::to_string(index + 1) + " of " + row.target + ", " +
	       quoted(row.arguments[index]);
}

std::string usage(Role role)
{
	switch (role) {
	case Role::origin:
		return "DEVICE";
	case Role::snapshot:
		return "ORIGIN COW-DEVICE P|PO|N CHUNK-SECTORS [N FEATURE...]";
	case Role::merge:
		return "ORIGIN COW-DEVICE P|PO CHUNK-SECTORS [N FEATURE...]";
	case Role::clone:
		return "METADATA DESTINATION SOURCE REGION-SECTORS [N FEATURE... [N NAME "
		       "REGIONS...]]";
	default:
		return "";
	}
}

// A number and as many words, from that argument on, if there are any: where they end.
std::size_t check_list(const TabRow &row, std::size_t index, std::string_view what,
		       std::span<const std::string_view> known, bool has_values)
{
	if (index >= row.arguments.size())
		return index;

	const auto count = number_in(row.arguments[index]);
	const auto left = row.arguments.size() - index - 1;

	if (!count || *count > left || (has_values && *count % 2 != 0))
		throw Wrong(argument_name(row, index) + ": must be how many words of " +
			    std::string(what) + " follow");
	index++;
	for (const auto end = index + *count; index < end; index++) {
		const auto &word = row.arguments[index];

		if (std::ranges::none_of(known, [&](std::string_view each) {
			    return is_lower_case_of(word, each);
		    }))
			throw Wrong(argument_name(row, index) + ": must be " +
				    std::string(known[0]) + " or " + std::string(known[1]));
		if (has_values && !number_in(row.arguments[++index]))
			throw Wrong(argument_name(row, index) + ": must be a number of regions");
	}
	return index;
}

void check_unit(const TabRow &row, std::size_t index, std::uint64_t least, bool may_be_none)
{
	const auto value = number_in(row.arguments[index]);

	if (value && *value == 0 && may_be_none)
		return;
	if (!value || !std::has_single_bit(*value) || *value < least || *value > kMaxUnit)
		throw Wrong(argument_name(row, index) + ": must be a power of 2 from " +
			    std::to_string(least) + " to " + std::to_string(kMaxUnit) +
			    ", in sectors of 512 bytes");
}

void check_store(const TabRow &row, std::size_t index, bool may_be_transient)
{
	const auto &store = row.arguments[index];

	if (store != "P" && store != "PO" && (store != "N" || !may_be_transient))
		throw Wrong(argument_name(row, index) + ": must be " +
			    (may_be_transient ? "P, PO or N" : "P or PO"));
}

// What we know of our own targets; the kernel knows more.
void check_arguments(const TabRow &row)
{
	constexpr std::array<std::string_view, 2> snapshot_features{"discard_zeroes_cow",
								    "discard_passdown_origin"};
	constexpr std::array<std::string_view, 2> clone_features{"no_hydration",
								 "no_discard_passdown"};
	constexpr std::array<std::string_view, 2> clone_values{"hydration_threshold",
							       "hydration_batch_size"};
	const auto role = row.role();
	const std::size_t least = role == Role::origin ? 1 : 4;
	auto end = least;

	if (role == Role::other)
		return;
	if (row.arguments.size() < least)
		throw Wrong(row.target + " has " + std::to_string(row.arguments.size()) +
			    " arguments: must be " + row.target + " " + usage(role));
	for (std::size_t i = 0; i < devices_of(role); i++)
		if (!row.arguments[i].starts_with("/dev/"))
			throw Wrong(argument_name(row, i) + ": must be a path in /dev");
	if (role == Role::snapshot || role == Role::merge) {
		check_store(row, 2, role == Role::snapshot);
		check_unit(row, 3, 1, row.arguments[2] != "N");
		end = check_list(row, end, "features", snapshot_features, false);
	} else if (role == Role::clone) {
		check_unit(row, 3, kMinRegion, false);
		end = check_list(row, end, "features", clone_features, false);
		end = check_list(row, end, "names and numbers", clone_values, true);
	}
	if (end < row.arguments.size())
		throw Wrong(argument_name(row, end) + ": must not be there: " + row.target + " " +
			    usage(role));
}

TabRow parse_row(std::span<const std::string> words)
{
	TabRow row;

	if (words.empty())
		throw Wrong("a table is missing: must be a target and its arguments, such as "
			    "origin-scaled /dev/vg/data");
	if (words[0].find_first_not_of(kDigits) == std::string::npos) {
		row.start = number_in(words[0]);
		row.length = words.size() > 1 ? number_in(words[1]) : std::nullopt;
		if (!row.start || !row.length || *row.length == 0)
			throw Wrong(quoted(words[0]) +
				    " begins a row: the number of sectors and a target must "
				    "follow, 0 SECTORS TARGET ARGUMENT...");
		words = words.subspan(2);
		if (words.empty())
			throw Wrong("a row has no target: must be 0 SECTORS TARGET ARGUMENT...");
	}
	row.target = words[0];
	if (!row.start && row.role() == Role::other)
		throw Wrong("target " + quoted(row.target) +
			    ": must be origin-scaled, snapshot-scaled, merge-scaled or "
			    "clone-scaled; before others must stand where they begin and how long "
			    "they are, 0 SECTORS TARGET ARGUMENT...");
	row.arguments.assign(words.begin() + 1, words.end());
	for (std::size_t i = 0; i < row.arguments.size(); i++) {
		if (row.arguments[i].starts_with('#'))
			throw Wrong(argument_name(row, i) +
				    ": a comment must have a line of its own");
		row.arguments[i] = device_in(row.arguments[i], argument_name(row, i));
	}
	check_arguments(row);
	return row;
}

void parse_rows(TabLine &line, std::span<const std::string> words)
{
	std::uint64_t end = 0;

	for (std::size_t at = 0;;) {
		const auto comma = std::ranges::find(words.subspan(at), ",") - words.begin();
		const auto last = static_cast<std::size_t>(comma) == words.size();

		line.rows.push_back(
			parse_row(words.subspan(at, static_cast<std::size_t>(comma) - at)));
		if (last)
			break;
		at = static_cast<std::size_t>(comma) + 1;
	}
	for (const auto &row : line.rows) {
		if (!row.start && line.rows.size() > 1)
			throw Wrong("one of several rows: must be START SECTORS " + row.target +
				    " ARGUMENT...");
		if (row.start && *row.start != end)
			throw Wrong("a row begins at sector " + std::to_string(*row.start) +
				    ": must be " + std::to_string(end));
		end += row.length.value_or(0);
	}
}

void parse(TabLine &line, std::string_view text)
{
	const auto name = take_word(text);

	check_name(name);
	line.name = name;

	const auto options = take_word(text);

	// Before options, which may be what is missing.
	if (options.empty() || role_of(options) != Role::other || number_in(options))
		throw Wrong("field 2, " + quoted(options) +
			    ": must be options, such as nofail, or - for none; the table follows");
	line.options = parse_options(options);
	parse_rows(line, split(text, true));
}

} // namespace

std::optional<TabLine> parse_tab_line(std::size_t number, std::string_view text)
{
	TabLine line;

	text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
	if (text.empty() || text.front() == '#')
		return std::nullopt;
	line.number = number;
	line.words = split(text, true);
	std::ranges::transform(line.words, line.words.begin(), expand_tag);
	try {
		parse(line, text);
	} catch (const Wrong &wrong) {
		line.error = wrong.what();
	}
	return line;
}

} // namespace dmsc
