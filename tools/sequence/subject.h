// SPDX-License-Identifier: GPL-2.0-only
// Whose targets are under test, and what they are called.
#ifndef DMSC_SEQUENCE_SUBJECT_H
#define DMSC_SEQUENCE_SUBJECT_H

#include <array>
#include <string>
#include <string_view>

namespace dmsc
{

enum class Subject { ours, stock };

// A target that ours and stock's module have, by its name in operations.
struct TargetType {
	std::string_view name;
	std::string_view ours;
	std::string_view stock;

	[[nodiscard]] std::string_view of(Subject subject) const
	{
		return subject == Subject::ours ? ours : stock;
	}
};

constexpr std::array<TargetType, 4> kTargetTypes{{
	{"origin", "origin-scaled", "snapshot-origin"},
	{"snapshot", "snapshot-scaled", "snapshot"},
	{"merge", "merge-scaled", "snapshot-merge"},
	{"clone", "clone-scaled", "clone"},
}};

// Device-mapper's own have one name.
inline std::string type_of(Subject subject, const std::string &name)
{
	for (const TargetType &type : kTargetTypes)
		if (type.name == name)
			return std::string(type.of(subject));
	return name;
}

inline std::string name_of(Subject subject, const std::string &type)
{
	for (const TargetType &each : kTargetTypes)
		if (each.of(subject) == type)
			return std::string(each.name);
	return type;
}

// Which has the parameters.
inline std::string module_of(Subject subject)
{
	return subject == Subject::ours ? "dm_scaled" : "dm_snapshot";
}

} // namespace dmsc

#endif // DMSC_SEQUENCE_SUBJECT_H
