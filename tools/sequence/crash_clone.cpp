// SPDX-License-Identifier: GPL-2.0-only
// What a power cut has left of clones.
#include "crash.h"

#include "../common/disk.h"
#include "../common/error_name.h"
#include "layout.h"

#include <chrono>
#include <optional>
#include <string>
#include <thread>

namespace dmsc
{

// To the end; what it shows does not change.
Crash::Complaint Crash::hydrate(const Image &contents)
{
	const auto end = std::chrono::steady_clock::now() + kPatience;

	must(control_.message(std::string(kLooked), 0, "enable_hydration"), "enable_hydration");
	for (;;) {
		const std::string text = status();
		const std::optional<Progress> progress = parse_progress(text);

		if (!progress || !text.ends_with(" rw"))
			return "is \"" + text + "\" while it is hydrated";
		if (progress->hydrated == progress->regions)
			break;
		if (std::chrono::steady_clock::now() > end)
			return "is not hydrated: " + text;
		std::this_thread::sleep_for(std::chrono::milliseconds(2));
	}
	if (read(contents.size() / kSector) != contents)
		return "shows something else when it is hydrated";
	return std::nullopt;
}

Crash::Complaint Crash::open(const CloneOf &clone, const Model::CloneLeft &left, Period period)
{
	const std::string name(kLooked);
	const std::string meta(clone.meta);
	const std::string params = to_string(parts_.at(meta)) + " " +
				   to_string(parts_.at(std::string(clone.dest))) + " " +
				   to_string(parts_.at(left.source)) + " " +
				   std::to_string(left.region) + " 1 no_hydration";
	const std::string type = type_of(subject_, "clone");

	counts_.clones++;
	if (const int error = control_.load(name, {{{0, left.length, type, params}}, false}))
		return type + ": cannot be loaded: " + error_name(error);
	if (const int error = control_.resume(name))
		return type + ": cannot be resumed: " + error_name(error);

	const std::string text = status();
	const std::optional<Progress> progress = parse_progress(text);

	if (!progress || !text.ends_with(" rw") || progress->hydrated < left.durable)
		return type + ": is \"" + text + "\", but " + std::to_string(left.durable) +
		       " regions were durable";

	if (!left.known) {
		counts_.unknown++;
		return std::nullopt;
	}

	const Image contents = read(left.length);

	if (const std::string wrong = survivors_.compare(meta, period, contents); !wrong.empty())
		return type + ": " + wrong;
	if (const Complaint complaint = hydrate(contents))
		return type + ": " + *complaint;
	drop();
	if (part(std::string(clone.dest)).read(0, left.length) != contents)
		return type + ": the destination is not what the clone was";
	return std::nullopt;
}

Crash::Complaint Crash::look(const CloneOf &clone, Period period)
{
	const std::string meta(clone.meta);
	const Model::CloneLeft left = survivors_.clone(meta, period);

	counts_.looks++;
	if (!left.loads) {
		counts_.unknown++;
		return std::nullopt;
	}
	drop();
	put(left.source);
	put(std::string(clone.dest));
	put(meta);

	Complaint complaint = open(clone, left, period);

	drop();
	return complaint;
}

} // namespace dmsc
