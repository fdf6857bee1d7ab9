// SPDX-License-Identifier: GPL-2.0-only
#include "corpus.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <stdexcept>

namespace dmsc
{

namespace
{

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kNextTarget = " || ";

void print_byte(std::string &out, char byte)
{
	const auto value = static_cast<unsigned char>(byte);

	if (value > ' ' && value < 0x7f &&
	    std::string_view("\\|{}").find(byte) == std::string_view::npos) {
		out.push_back(byte);
		return;
	}
	out += "\\x";
	out.push_back(kHex[value >> 4]);
	out.push_back(kHex[value & 0xf]);
}

bool ends_word(std::string_view text, std::size_t at)
{
	return at >= text.size() || text[at] < '0' || text[at] > '9';
}

// What a device's path or number at this place can be replaced with; else nothing.
std::string placeholder(std::string_view text, std::size_t at, const Devices &devices,
			std::size_t &length)
{
	if (at > 0 && !ends_word(text, at - 1))
		return "";
	for (const BlockDevice &device : devices.list()) {
		const std::string number = to_string(device.number);

		length = device.path.size();
		if (text.substr(at).starts_with(device.path) && ends_word(text, at + length))
			return "{" + device.name + "}";
		length = number.size();
		if (text.substr(at).starts_with(number) && ends_word(text, at + length))
			return "{" + device.name + "#}";
	}
	return "";
}

std::string print_params(std::string_view text, const Devices &devices)
{
	std::string out;

	for (std::size_t i = 0; i < text.size();) {
		std::size_t length = 0;
		const std::string name = placeholder(text, i, devices, length);

		if (!name.empty()) {
			out += name;
			i += length;
			continue;
		}
		// A space within can be seen.
		if (text[i] == ' ' && i > 0 && i + 1 < text.size() && text[i - 1] != ' ')
			out.push_back(' ');
		else
			print_byte(out, text[i]);
		i++;
	}
	return out;
}

std::string print_sectors(std::uint64_t sectors, const Devices &devices)
{
	for (const BlockDevice &device : devices.list())
		if (sectors != 0 && device.sectors == sectors)
			return "{" + device.name + "}";
	return std::to_string(sectors);
}

std::string print_type(std::string_view type)
{
	std::string out;

	for (const char byte : type)
		print_byte(out, byte);
	return type.empty() ? "{}" : out;
}

[[noreturn]] void reject(std::string_view text)
{
	throw std::runtime_error("not a line of a corpus: " + std::string(text));
}

const BlockDevice &named(std::string_view name, const Devices &devices)
{
	const BlockDevice *device = devices.find(name);

	if (device == nullptr)
		throw std::runtime_error("no device is called " + std::string(name));
	return *device;
}

std::string expand(std::string_view text, const Devices &devices)
{
	std::string out;

	for (std::size_t i = 0; i < text.size();) {
		if (text[i] == '{') {
			const std::size_t end = text.find('}', i);

			if (end == std::string_view::npos)
				reject(text);

			std::string_view name = text.substr(i + 1, end - i - 1);

			i = end + 1;
			if (name.ends_with('#'))
				out += to_string(
					named(name.substr(0, name.size() - 1), devices).number);
			else if (!name.empty())
				out += named(name, devices).path;
		} else if (text[i] == '\\') {
			unsigned int value = 0;
			const std::string_view digits =
				text.substr(std::min(i + 2, text.size()), 2);
			const auto *end = digits.data() + digits.size();

			if (digits.size() != 2 ||
			    std::from_chars(digits.data(), end, value, 16).ptr != end)
				reject(text);
			out.push_back(static_cast<char>(value));
			i += 4;
		} else {
			out.push_back(text[i++]);
		}
	}
	return out;
}

// Takes the first word and the space behind it.
std::string_view take_word(std::string_view &text)
{
	const std::size_t end = std::min(text.find(' '), text.size());
	const std::string_view word = text.substr(0, end);

	text.remove_prefix(std::min(end + 1, text.size()));
	return word;
}

std::uint64_t parse_sectors(std::string_view word, const Devices &devices)
{
	std::uint64_t value = 0;
	const auto *end = word.data() + word.size();

	if (word.starts_with('{') && word.ends_with('}'))
		return named(word.substr(1, word.size() - 2), devices).sectors;
	if (word.empty() || std::from_chars(word.data(), end, value).ptr != end)
		reject(word);
	return value;
}

} // namespace

std::string print_table(const Table &table, const Devices &devices)
{
	std::string out = table.read_only ? "ro " : "";

	for (std::size_t i = 0; i < table.targets.size(); i++) {
		const Target &target = table.targets[i];

		if (i > 0)
			out += kNextTarget;
		out += print_sectors(target.start, devices) + " " +
		       print_sectors(target.length, devices) + " " + print_type(target.type);
		if (!target.params.empty())
			out += " " + print_params(target.params, devices);
	}
	return out;
}

Table parse_table(std::string_view text, const Devices &devices)
{
	Table table;

	if (text.starts_with("ro ")) {
		table.read_only = true;
		text.remove_prefix(3);
	}
	while (!text.empty()) {
		const std::size_t end = text.find(kNextTarget);
		std::string_view line = text.substr(0, end);
		Target target;

		text.remove_prefix(end == std::string_view::npos ? text.size()
								 : end + kNextTarget.size());
		target.start = parse_sectors(take_word(line), devices);
		target.length = parse_sectors(take_word(line), devices);
		target.type = expand(take_word(line), devices);
		target.params = expand(line, devices);
		table.targets.push_back(std::move(target));
	}
	return table;
}

std::vector<CorpusLine> read_corpus(const std::vector<std::string> &files, const Devices &devices)
{
	constexpr std::array expectations{Expect::accept, Expect::refuse, Expect::either};
	std::vector<CorpusLine> lines;

	for (const std::string &name : files) {
		std::ifstream file(name);
		std::string line;

		if (!file)
			throw std::runtime_error("cannot read " + name);
		while (std::getline(file, line)) {
			if (line.empty() || line.starts_with('#'))
				continue;

			std::string_view rest = line;
			const std::string_view word = take_word(rest);
			const auto *expect = std::ranges::find(
				expectations, word, [](Expect each) { return to_string(each); });

			if (expect == expectations.end())
				reject(line);
			lines.push_back({line, *expect, parse_table(rest, devices)});
		}
	}
	return lines;
}

} // namespace dmsc
