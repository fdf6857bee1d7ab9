// SPDX-License-Identifier: GPL-2.0-only
// Stories that try the model without a kernel.
#ifndef DMSC_SEQUENCE_STORY_H
#define DMSC_SEQUENCE_STORY_H

#include "model.h"
#include "operation.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace dmsc
{

// What devices a and b begin with.
constexpr Tag kOfA = 10;
constexpr Tag kOfB = 11;
// And the destination of clones.
constexpr Tag kOfD = 20;
// What no story writes otherwise.
constexpr Tag kUnused = 99;

// A kernel that does all that the model expects of it, and answers reads as it is told.
class Story
{
public:
	Story &operator()(const std::string &line)
	{
		const Operation operation(line);
		const std::optional<Answer> answer = model_.expect(operation);

		if (answer)
			model_.apply(operation, *answer != Answer::bad);
		return *this;
	}
	// A write that ends at once.
	Story &write(const std::string &line, Tag tag)
	{
		begin("write " + line, tag);
		return end(true);
	}
	Story &begin(const std::string &line, Tag tag)
	{
		model_.begin(++number_, Operation(line), tag);
		numbers_[tag] = number_;
		return *this;
	}
	Story &end(Tag tag, bool good)
	{
		good_ = !model_.end(numbers_.at(tag), good, {}) && good_;
		return *this;
	}
	Story &end(bool good)
	{
		good_ = !model_.end(number_, good, {}) && good_;
		return *this;
	}
	// Whether a sector of a device may hold what a write has left.
	bool may_hold(const std::string &device, std::uint64_t sector, Tag tag)
	{
		std::vector<std::byte> data(kSectorBytes);

		fill_sector(std::span(data).first<kSectorBytes>(), tag, sector);
		model_.begin(++number_,
			     Operation("read " + device + " " + std::to_string(sector) + " 1"),
			     kZeroes);
		return !model_.end(number_, true, data);
	}
	// What a power cut may leave of a device below, or of the snapshot on a COW device.
	[[nodiscard]] bool may_survive(const std::string &device, std::uint64_t sector,
				       Tag tag) const
	{
		return std::ranges::any_of(model_.survivors(device, sector),
					   [&](const Cell::Left &left) {
						   return left.tag == tag || left.tag == kAny;
					   });
	}
	[[nodiscard]] bool survives(const std::string &device, std::uint64_t sector, Tag tag) const
	{
		const auto all = model_.survivors(device, sector);

		return all.size() == 1 && all.front().tag == tag;
	}
	bool fails_to_read(const std::string &device, std::uint64_t sector)
	{
		model_.begin(++number_,
			     Operation("read " + device + " " + std::to_string(sector) + " 1"),
			     kZeroes);
		return !model_.end(number_, false, {});
	}
	// What an I/O answers that ends at once. If it may fail it does.
	Answer answers(const std::string &line)
	{
		model_.begin(++number_, Operation(line), kUnused);

		const Answer answer = model_.answer(number_);

		(void)model_.end(number_, answer == Answer::good, {});
		return answer;
	}
	bool must_fail_to_read(const std::string &device, std::uint64_t sector)
	{
		model_.begin(++number_,
			     Operation("read " + device + " " + std::to_string(sector) + " 1"),
			     kZeroes);
		return model_.end(number_, true, std::vector<std::byte>(kSectorBytes)) ==
		       Model::Complaint("has not failed");
	}
	[[nodiscard]] std::optional<Answer> expect(const std::string &line) const
	{
		return model_.expect(Operation(line));
	}
	// Whether a device with one line may show this.
	bool may_show(const std::string &device, const std::string &type, const std::string &table,
		      const std::string &status)
	{
		return !model_.check(device, false, {{0, 1024, type, table}},
				     {{0, 1024, type, status}});
	}
	Story &shows(const std::string &device, const std::string &type, const std::string &table,
		     const std::string &status)
	{
		good_ = may_show(device, type, table, status) && good_;
		return *this;
	}
	// A clone with regions of 16 sectors, of which so many are hydrated.
	bool shows_hydrated(const std::string &device, int count, const std::string &mode)
	{
		const std::string hydrated = std::to_string(count);

		for (const std::string features : {"0", "1 no_hydration"}) {
			std::string table("m d a 16");
			std::string status("8 5/128 16 ");

			if (features != "0")
				table.append(" ").append(features);
			status.append(hydrated).append("/64 0 ").append(features).append(
				" 4 hydration_threshold 1 hydration_batch_size 1 ");
			if (may_show(device, "clone", table, status.append(mode)))
				return true;
		}
		return false;
	}
	[[nodiscard]] bool is_good() const { return good_; }
	Model &model() { return model_; }

private:
	Model model_;
	std::uint64_t number_ = 0;
	std::map<Tag, std::uint64_t> numbers_;
	bool good_ = true;
};

inline Story snapshot_of(const std::string &line)
{
	Story story;

	story("create v0")("load v0 0 1024 origin a")("resume v0");
	story("create v1")("load v1 0 1024 snapshot a " + line)("resume v1");
	return story;
}

inline Story clone_of(const std::string &options)
{
	Story story;

	story("create v0")("load v0 0 1024 clone m d a 16" + options)("resume v0");
	return story;
}

} // namespace dmsc

#endif // DMSC_SEQUENCE_STORY_H
