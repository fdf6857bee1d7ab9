// SPDX-License-Identifier: GPL-2.0-only
// What every sector of one device must hold.
#ifndef DMSC_MODEL_H
#define DMSC_MODEL_H

#include "../common/pattern.h"
#include "range_lock.h"

#include <cstdint>
#include <iosfwd>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace dmsc
{

// A sector has one tag, or several candidates after an operation whose outcome is open: a write
// that failed, a discard, a snapshot taken while writes were in flight. The first read that finds
// one of the candidates settles the matter.
//
// The caller holds the device's range lock: exclusive for set() and add_candidate(), either way for
// matches(). Of several tags in one sector at one time only matches() can change the state under a
// shared lock, hence the atomic accesses.
class SectorModel
{
public:
	explicit SectorModel(std::uint64_t sectors, Tag initial = kAny) : tags_(sectors, initial) {}
	// The first sectors of another model, which must not change meanwhile.
	SectorModel(const SectorModel &source, std::uint64_t sectors);
	SectorModel(SectorModel &&other) noexcept
		: tags_(std::move(other.tags_)), candidates_(std::move(other.candidates_))
	{
	}
	SectorModel(const SectorModel &) = delete;
	SectorModel &operator=(const SectorModel &) = delete;
	SectorModel &operator=(SectorModel &&) = delete;
	~SectorModel() = default;

	[[nodiscard]] std::uint64_t sectors() const { return tags_.size(); }

	void set(const Range &range, Tag tag);
	void add_candidate(const Range &range, Tag tag);
	bool matches(ConstSectorBytes data, std::uint64_t sector);
	[[nodiscard]] std::string describe(std::uint64_t sector);
	[[nodiscard]] std::uint64_t ambiguous_sectors();

	void save(std::ostream &out);
	static SectorModel load(std::istream &in);

private:
	[[nodiscard]] Tag tag_at(std::uint64_t sector);
	void store_tag(std::uint64_t sector, Tag tag);

	std::vector<Tag> tags_;
	std::mutex candidates_mutex_;
	std::unordered_map<std::uint64_t, std::vector<Tag>> candidates_; // of kAmbiguous sectors
};

} // namespace dmsc

#endif // DMSC_MODEL_H
