// SPDX-License-Identifier: GPL-2.0-only
// Reading what benchmarks leave behind. All throw std::runtime_error with the file's name.
#ifndef DMSC_COMMON_JSON_FILE_H
#define DMSC_COMMON_JSON_FILE_H

#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace dmsc
{

// Nothing if there is no such file.
template <typename Json = nlohmann::json>
std::optional<Json> find_json(const std::filesystem::path &path)
{
	std::ifstream in(path);

	if (!in)
		return std::nullopt;
	try {
		return Json::parse(in);
	} catch (const nlohmann::json::exception &error) {
		throw std::runtime_error(path.string() + ": " + error.what());
	}
}

template <typename Json = nlohmann::json> Json read_json(const std::filesystem::path &path)
{
	auto document = find_json<Json>(path);

	if (!document)
		throw std::runtime_error("cannot read " + path.string());
	return std::move(*document);
}

} // namespace dmsc

#endif // DMSC_COMMON_JSON_FILE_H
