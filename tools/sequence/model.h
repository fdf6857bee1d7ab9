// SPDX-License-Identifier: GPL-2.0-only
// What device-mapper's snapshots and clones are, as its documentation says, and nothing about how
// they are made.
//
//	A mapped device has a live and an inactive table. Suspended, it holds all I/O back. With a
//	read-only table it refuses writes at once, and is what it would be otherwise.
//	A snapshot shows what its origin was when it became active: writes through an origin target,
//	or by a merge, leave it alone; writes that go past these targets show where nothing was
//	copied.
//	A snapshot is invalid for good when its COW device is full, or an I/O of a copy failed.
//	A table for the COW device of an active snapshot gets that snapshot when it is resumed.
//	A persistent snapshot is there again when its COW device is loaded anew.
//	A merge makes the origin what the snapshot is; the merging device shows that at once.
//	A clone shows its destination where a region is hydrated, and its source elsewhere. A write
//	hydrates its regions, the background any. The metadata device remembers which are.
//
// What is not known, as it depends on what is in flight, is a set: of values that a sector may
// hold, of answers that an operation may give. Whatever changes while an I/O is in flight adds to
// what it may find.
#ifndef DMSC_SEQUENCE_MODEL_H
#define DMSC_SEQUENCE_MODEL_H

#include "cell.h"
#include "differences.h"
#include "fault.h"
#include "operation.h"
#include "subject.h"
#include "values.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dmsc
{

enum class Answer { good, bad, either };

// A table line or a status line, with the names of layout.h.
struct ShownLine {
	std::uint64_t start = 0;
	std::uint64_t length = 0;
	std::string type;
	std::string text;

	friend bool operator==(const ShownLine &, const ShownLine &) = default;
};
using ShownLines = std::vector<ShownLine>;

// What the status of a snapshot says, in sectors: "USED/TOTAL METADATA".
struct Usage {
	std::uint64_t used = 0;
	std::uint64_t total = 0;
	std::uint64_t metadata = 0;
};

// Nothing if it says something else, such as "Invalid".
std::optional<Usage> parse_usage(const std::string &status);

// What that of a clone says, in regions: "8 USED/BLOCKS REGION HYDRATED/REGIONS ...".
struct Progress {
	std::uint64_t hydrated = 0;
	std::uint64_t regions = 0;
};

// Nothing if it says something else, such as "Fail".
std::optional<Progress> parse_progress(const std::string &status);

class Model
{
public:
	using Complaint = std::optional<std::string>;

	explicit Model(Subject subject = Subject::ours);

	// What the kernel must answer. Nothing: not now, as it would wait for a device that is
	// suspended, or makes no sense.
	[[nodiscard]] std::optional<Answer> expect(const Operation &operation) const;
	// It has been done.
	void apply(const Operation &operation, bool good);

	// An I/O is going to be submitted; the number is the caller's.
	void begin(std::uint64_t number, const Operation &operation, Tag tag);
	// It has ended. What a read has found, if it found anything.
	Complaint end(std::uint64_t number, bool good, std::span<const std::byte> data);
	// Whether it may wait for a device that is suspended.
	[[nodiscard]] bool is_held_up(std::uint64_t number) const;
	// As far as it is known now.
	[[nodiscard]] Answer answer(std::uint64_t number) const { return ios_.at(number).answer; }
	[[nodiscard]] std::size_t in_flight() const { return ios_.size(); }
	// Sectors that were read: of which one value was possible, several, or any.
	struct Compared {
		std::uint64_t one = 0;
		std::uint64_t several = 0;
		std::uint64_t any = 0;
	};
	[[nodiscard]] const Compared &compared() const { return compared_; }

	// What a device shows.
	Complaint check(const std::string &device, bool inactive, const ShownLines &table,
			const ShownLines &status);
	// Whether it shows something that goes on by itself until it ends: a merge, or hydration of
	// a clone, if nothing is in the way.
	[[nodiscard]] bool goes_on(const std::string &device, const ShownLines &status) const;
	// Operations that make it begin.
	[[nodiscard]] Operations starters(const std::string &device) const;
	[[nodiscard]] bool exists(const std::string &device) const;
	// Is to be removed when nobody uses it any more, and I/O alone does, if anything.
	[[nodiscard]] bool may_be_gone(const std::string &device) const;
	[[nodiscard]] bool is_suspended(const std::string &device) const;
	[[nodiscard]] bool has_inactive(const std::string &device) const;
	// Whether it must say that it is read-only, or that its inactive table is.
	[[nodiscard]] bool is_read_only(const std::string &device, bool inactive) const;
	[[nodiscard]] bool can_do_io(const std::string &device) const;
	// Something below is suspended. A clone's status commits, unless it is told not to.
	[[nodiscard]] bool is_stuck(const std::string &device) const;

	// What a power cut leaves of a persistent snapshot on a COW device.
	struct Survival {
		// False: nobody knows.
		bool known = false;
		// It is there for sure.
		bool sure = false;
		// If it is there, it may be invalid; it is as the model says otherwise.
		bool may_be_invalid = false;

		friend bool operator==(const Survival &, const Survival &) = default;
	};
	[[nodiscard]] Survival survival(const std::string &cow) const;
	// And of a clone on a metadata device.
	struct CloneLeft {
		// It can be loaded.
		bool loads = false;
		// False: nobody knows what it shows.
		bool known = false;
		std::uint64_t length = 0;
		std::uint64_t region = 0;
		std::string source;
		// So many regions are hydrated for sure.
		std::uint64_t durable = 0;

		friend bool operator==(const CloneLeft &, const CloneLeft &) = default;
	};
	[[nodiscard]] CloneLeft clone_left(const std::string &meta) const;
	// What a sector may hold then: of the snapshot on a COW device, of the clone on a metadata
	// device, or of a device below. Not of a snapshot whose origin is a mapped device.
	[[nodiscard]] std::vector<Cell::Left> survivors(const std::string &device,
							std::uint64_t sector) const;

private:
	// Of a chunk: whether the snapshot has its own.
	enum class Chunk : std::uint8_t { none, maybe, copied };
	enum class Validity : std::uint8_t { valid, unsure, invalid };

	struct Snapshot {
		std::string origin;
		std::string cow;
		bool persistent = false;
		std::uint64_t chunk = 0;
		Validity validity = Validity::valid;
		// What of the origin it shows: the last one's that was resumed.
		std::uint64_t begin = 0;
		std::uint64_t end = 0;
		bool active = false;
		// A merging target has it: it copies nothing any more. The merge may be under way.
		bool merges = false;
		bool merging = false;
		// How many chunks it uses can only be bounded.
		bool loose = false;
		// Not all that it had to copy was copied.
		bool vague = false;
		// So many chunks of the COW device, at most, were lost when it was loaded.
		std::uint64_t holes = 0;
		std::vector<Chunk> chunks;
		// Of chunks that it has, or may have; the other ones show the origin.
		Cells contents;

		// When it was loaded, and since when it has a chunk.
		Time loaded = kNever;
		std::vector<Time> copied;
		// When the last write has ended of which it may have chunks that its COW device
		// does not know of; kBegin: it has none.
		Time deferred = kBegin;
		// It is there after a power cut, and has these chunks.
		bool durable = false;
		std::vector<bool> durable_chunks;
		// Its COW device had nothing else before.
		bool fresh = false;
		// Not all that was written to its origin was copied, or it cannot be told to be
		// durable.
		bool blind = false;
		// One of its devices has failed some time.
		bool had_errors = false;
		// A table that had it asked for "PO". It may have overflowed under that one.
		bool may_overflow = false;
		// By its table what is written to it may be lost until it is flushed.
		bool defers = false;
		// The COW device may have refused to be told.
		bool doubtful = false;
	};
	using SnapshotPtr = std::shared_ptr<Snapshot>;

	// A table line of a snapshot or a merge, from loading to the end of its table.
	struct Holder {
		std::string device;
		std::string cow;
		// As they are shown: the table's, until it has a snapshot.
		std::string store;
		std::uint64_t chunk = 0;
		std::uint64_t begin = 0;
		std::uint64_t end = 0;
		bool merges = false;
		bool commits = false;
		bool active = false;
		// Another one has its snapshot, or the one that it waited for is gone.
		bool over = false;
		SnapshotPtr snapshot;
	};
	using HolderPtr = std::shared_ptr<Holder>;

	// Of a region of a clone: whether the destination has it, and the metadata device says so.
	enum class Region : std::uint8_t { none, maybe, hydrated, durable };

	// What a metadata device tells of.
	struct Clone {
		std::uint64_t length = 0;
		std::uint64_t region = 0;
		// Of the table that was resumed last.
		std::string dest;
		std::string source;
		// Since it is active, or since the table is.
		bool meta_failed = false;
		bool dest_failed = false;
		std::vector<Region> regions;
		// Since when they may be copied.
		std::vector<Time> filled;
		// So many were shown to be hydrated, whichever.
		std::uint64_t shown = 0;
		// Of regions that may be hydrated: what the destination has if they are. Until they
		// are durable that is also what a power cut leaves if the metadata device says so.
		Cells contents;

		// When it was loaded.
		Time loaded = kNever;
		// It is there after a power cut.
		bool durable = false;
		// Its metadata device had nothing else before.
		bool fresh = false;
		// One of its two devices has failed.
		bool blind = false;
	};
	using ClonePtr = std::shared_ptr<Clone>;

	// A table line of a clone.
	struct CloneLine {
		std::uint64_t region = 0;
		bool hydrates = true;
		bool passes_down = true;
		// Nobody says what they are by default.
		std::optional<std::uint64_t> threshold;
		std::optional<std::uint64_t> batch;
		// It has been resumed.
		bool active = false;
		ClonePtr clone;

		// False if there is no such number.
		bool set(const std::string &name, const std::string &value);
	};

	struct Target : TableLine {
		HolderPtr holder;
		std::shared_ptr<CloneLine> clone;

		[[nodiscard]] bool is_snapshot() const
		{
			return type == "snapshot" || type == "merge";
		}
		[[nodiscard]] bool is_clone() const { return type == "clone"; }
		// Of a snapshot.
		[[nodiscard]] bool is_persistent() const
		{
			return is_snapshot() && arguments.size() > 2 && arguments[2] != "N";
		}
		// Of a snapshot: whether discards zero its copies, or are passed to the origin.
		[[nodiscard]] bool has_feature(std::string_view name) const
		{
			return std::ranges::find(arguments, name) != arguments.end();
		}
		// The devices that it stands on.
		[[nodiscard]] std::vector<std::string> devices() const;
	};
	using Table = std::vector<Target>;

	struct Mapped {
		bool exists = false;
		bool suspended = false;
		bool deferred = false;
		bool takes_flushes = false;
		// It has got a first table, live or not.
		bool was_loaded = false;
		// Of the live table, and of the inactive one.
		bool read_only = false;
		bool inactive_read_only = false;
		// An inactive table was cleared, and none loaded since.
		bool cleared = false;
		std::optional<Table> live;
		std::optional<Table> inactive;
	};

	struct Below {
		Cells contents;
		// It ends there, before the end of its contents, perhaps.
		std::uint64_t size = 0;
		Fault fault;
		// It has failed as a whole until then.
		Time failed = kBegin;
		bool suspended = false;

		[[nodiscard]] bool is_failing() const { return is_whole(fault); }
		[[nodiscard]] bool is_whole(const Fault &some) const
		{
			return some == Fault{0, contents.size(), true, true};
		}
	};

	// Where a sector of a device is stored.
	using Place = Cell *;

	// A chunk that an I/O makes a snapshot copy.
	struct Copy {
		SnapshotPtr snapshot;
		std::uint64_t chunk = 0;
		// The I/O goes to the origin.
		bool of_origin = false;
		// Unless it has it already.
		bool again = false;
		// It cannot succeed.
		bool fails = false;
	};

	struct Io {
		std::string verb;
		std::string device;
		std::uint64_t sector = 0;
		std::uint64_t count = 0;
		// What is written, and whether it is durable when it has ended.
		Tag tag = kZeroes;
		Values values;
		bool fua = false;
		// It has passed the device, which is not suspended.
		bool begun = false;
		// The kernel has to refuse all of it if it is behind the end of the device.
		bool whole = false;
		// It is refused: the device is read-only, or ends before. That has changed since.
		bool refused = false;
		bool mode_changed = false;
		// Which way it takes is not known.
		bool open = false;
		// While it is looked for where that leads: it may stay in a snapshot that is being
		// merged instead, and what is below is copied, and written, when it is.
		bool may_stay = false;
		Time begun_at = 0;
		Answer answer = Answer::good;
		Contents allowed;
		// Where it writes, whichever way it takes, and where it may.
		std::vector<Place> places;
		std::vector<Place> chances;
		std::vector<Copy> copies;
		// Chunks of persistent snapshots to which it writes.
		std::vector<std::pair<SnapshotPtr, std::uint64_t>> chunks;
		// Those whose COW device may not know of all chunks when it has ended.
		std::set<SnapshotPtr> defers;
		// It goes through this clone to its destination.
		const Clone *through = nullptr;
		// Of clones, that are hydrated, or durable, when it succeeds.
		std::vector<std::pair<ClonePtr, std::uint64_t>> regions;
		// The places are in these, which may be gone before the I/O is known to have ended.
		std::vector<std::shared_ptr<const void>> owners;
	};

	static Answer both(Answer one, Answer other);
	static Table parse_table(const Operation &operation);

	[[nodiscard]] bool is_stopped(const std::string &device) const;
	[[nodiscard]] bool is_any_stopped(const std::set<std::string> &devices) const;
	[[nodiscard]] const Mapped *find(const std::string &name) const;
	[[nodiscard]] const Target *target_at(const std::string &device,
					      std::uint64_t sector) const;
	[[nodiscard]] std::uint64_t size_of(const std::string &device) const;
	[[nodiscard]] bool holds_io_back(const std::string &device) const;
	[[nodiscard]] bool is_below(const std::string &device) const;
	[[nodiscard]] bool is_going(const std::string &device) const;
	[[nodiscard]] bool is_used(const std::string &device) const;
	[[nodiscard]] Answer expect_remove(const Operation &operation) const;
	void collect_below(const std::string &device, std::set<std::string> &found) const;
	void collect_below(const Table &table, std::set<std::string> &found) const;
	[[nodiscard]] std::set<std::string> below(const std::string &device) const;
	[[nodiscard]] Answer health(const std::string &device, bool of_flush = false) const;

	[[nodiscard]] bool has_to_be_quiet(const std::string &device,
					   const std::string &resumed) const;
	[[nodiscard]] bool would_wait(const Operation &operation) const;
	[[nodiscard]] bool waits_for_log(const Operation &operation) const;
	[[nodiscard]] bool has_valid_arguments(const Target &target) const;
	[[nodiscard]] bool has_valid_features(const Target &target) const;
	[[nodiscard]] bool are_valid(const Table &table) const;
	[[nodiscard]] bool is_merged(const std::string &origin, const HolderPtr &source) const;
	[[nodiscard]] bool is_foolish(const Operation &load) const;
	[[nodiscard]] bool has_lost_cow(const Table &table) const;
	[[nodiscard]] bool merges_twice(const Table &table) const;
	[[nodiscard]] static bool has_cow_again(const Table &table);
	[[nodiscard]] static bool has_merge_again(const Table &table);
	[[nodiscard]] static bool has_more_words(const Operation &operation);
	[[nodiscard]] static bool asks_for_more(const Operation &load);
	[[nodiscard]] Answer expect_load(const Operation &operation) const;
	[[nodiscard]] Answer expect_holder(const Target &target) const;
	[[nodiscard]] Answer expect_resume(const Mapped &mapped) const;
	[[nodiscard]] HolderPtr holder_of(const std::string &cow, bool active) const;
	[[nodiscard]] std::vector<SnapshotPtr> snapshots_of(const std::string &origin) const;

	// What a target uses a device for.
	enum class Role : std::uint8_t { origin, cow, source, dest, meta };
	static std::vector<std::pair<std::string, Role>> roles_of(const Target &target);
	static bool may_share(const Target &one, const Target &other, bool same_device);
	[[nodiscard]] bool is_taken(const Operation &load) const;

	void change(const Operation &operation, bool good);
	void load(const Operation &operation);
	[[nodiscard]] std::uint64_t most_holes(const Snapshot &snapshot) const;
	void change_origin(Snapshot &snapshot, const std::string &origin);
	void suspend(Mapped &mapped);
	void sync(const Mapped &mapped);
	void sync(Snapshot &snapshot);
	[[nodiscard]] bool can_be_told(const Snapshot &snapshot) const;
	void pause();
	void resume(const std::string &device, bool good);
	void activate(const HolderPtr &holder);
	[[nodiscard]] bool is_origin_told(const std::string &origin) const;
	void start_merge(Snapshot &snapshot);
	void may_merge(Snapshot &snapshot);
	void finish_merge(Snapshot &snapshot);
	void drop(std::optional<Table> &table);
	void drop(const HolderPtr &holder);
	void remove_deferred();
	void set_base(const Operation &operation);
	void resize(const std::string &base, std::uint64_t size);
	[[nodiscard]] bool fits(const Table &table) const;
	void origin_changes(const std::string &device);

	static Answer all_of(Answer one, Answer other);
	static Answer perhaps(Answer answer);
	[[nodiscard]] Answer answer_of(Way way, const std::string &device, std::uint64_t begin,
				       std::uint64_t end) const;
	[[nodiscard]] Answer answer_of(Way way, const Target &target, std::uint64_t begin,
				       std::uint64_t end) const;
	[[nodiscard]] Answer answer_of(Way way, const Snapshot &snapshot, std::uint64_t begin,
				       std::uint64_t end) const;
	[[nodiscard]] Answer answer_of(Way way, const CloneLine &line, std::uint64_t begin,
				       std::uint64_t end) const;
	[[nodiscard]] Answer answer_of(const Io &io) const;
	[[nodiscard]] Answer answer_of_metadata(const std::string &cow, std::uint64_t chunk) const;
	[[nodiscard]] Answer can_copy(const Snapshot &snapshot, std::uint64_t chunk) const;
	[[nodiscard]] Answer can_fill(const Clone &clone, std::uint64_t region) const;
	void weigh_again();
	[[nodiscard]] bool is_behind(const SnapshotPtr &snapshot) const;
	static void end_copies(const Io &io);
	[[nodiscard]] std::uint64_t attainable(const Clone &clone) const;

	[[nodiscard]] Values look(const std::string &device, std::uint64_t sector) const;
	[[nodiscard]] Values look(const Snapshot &snapshot, std::uint64_t sector) const;
	void write(const std::string &device, std::uint64_t sector, Io &io);
	void write_snapshot(const SnapshotPtr &snapshot, std::uint64_t sector, Io &io);
	void write_origin(const std::string &origin, std::uint64_t sector, Io &io,
			  const Snapshot *merging, bool protect);
	void copy(const SnapshotPtr &snapshot, std::uint64_t chunk, bool of_origin, Io *io);
	void weigh(Snapshot &snapshot, std::uint64_t chunk);
	void enter(Io &io);
	void look_again();
	void enter_again(const std::set<std::string> &changed);

	static std::optional<CloneLine> parse_clone(const TableLine &line);
	[[nodiscard]] Answer expect_clone(const Target &target) const;
	[[nodiscard]] bool takes_message(const Operation &operation) const;
	void message(const Operation &operation);
	void load_clone(Target &target);
	void activate_clone(const Target &target);
	void commit(Clone &clone);
	void demote(Clone &clone);
	void drop_clone(const CloneLine &line);
	[[nodiscard]] bool may_forget(const Clone &clone) const;
	[[nodiscard]] bool is_live(const Clone &clone) const;
	[[nodiscard]] Values look_source(const Clone &clone, std::uint64_t sector) const;
	void put(const Clone &clone, std::uint64_t sector, bool surely);
	void fill(Clone &clone, std::uint64_t region);
	void settle(Clone &clone, std::uint64_t region);
	static void own(const std::shared_ptr<const void> &owner, Io &io);
	static void chance(Cell &cell, Io &io);
	static void doubt(std::size_t first, Io &io);
	void settle(const Io &io, bool good, bool durably) const;
	[[nodiscard]] static bool is_behind(const Io &io, std::uint64_t size);
	[[nodiscard]] bool is_refused(const Io &io) const;
	void change_mode(const std::string &device, bool was_read_only, std::uint64_t old_size);
	static void need(const SnapshotPtr &snapshot, std::uint64_t chunk, bool of_origin, Io &io);
	void hydrate();
	[[nodiscard]] Values look_clone(const CloneLine &line, std::uint64_t sector) const;
	void write_clone(const CloneLine &line, std::uint64_t sector, Io &io);
	void discard_snapshot(const Target &target, std::uint64_t begin, std::uint64_t end, Io &io);
	void discard_clone(const CloneLine &line, std::uint64_t begin, std::uint64_t end, Io &io);
	void discard(const std::string &device, std::uint64_t begin, std::uint64_t end, Io &io);
	void discard_again();
	void enter_flush(Io &io);
	void keep_copies(const Io &io);
	[[nodiscard]] bool is_durable_copy(const Snapshot &snapshot, bool of_origin,
					   const Io &io) const;
	void end_regions(const Io &io, bool durably);
	[[nodiscard]] bool is_durable(const Io &io) const;
	static bool end_durably(const Io &io);
	static std::uint64_t count(const Clone &clone, Region at_least);
	[[nodiscard]] bool can_hydrate(const Target &target) const;
	[[nodiscard]] bool can_merge(const Target &target) const;
	Complaint check_clone(const Mapped &mapped, const Target &target,
			      const std::string &status);
	[[nodiscard]] std::span<const Cell::Left> after_cut(const std::string &device,
							    std::uint64_t sector) const;
	[[nodiscard]] std::span<const Cell::Left> after_cut(const Snapshot &snapshot,
							    std::uint64_t sector) const;
	[[nodiscard]] std::vector<Cell::Left> after_cut(const Clone &clone,
							std::uint64_t sector) const;
	void flushed(const std::string &device, Time when);
	void flushed(const SnapshotPtr &snapshot, Time when) const;
	static void flushed(Clone &clone, Time when);
	void make_durable(Clone &clone, std::uint64_t region);
	[[nodiscard]] bool has_failed(const std::string &device, Time since) const;
	static void make_durable(Snapshot &snapshot, std::uint64_t chunk);
	[[nodiscard]] bool finds_caches(const Table &table) const;
	[[nodiscard]] SnapshotPtr persistent_on(const std::string &cow) const;

	[[nodiscard]] std::uint64_t capacity(const Snapshot &snapshot) const;
	static std::uint64_t count(const Snapshot &snapshot, bool surely);
	Complaint check_usage(const Holder &holder, const std::string &status);
	static std::string features_of(const Target &target);
	[[nodiscard]] std::string expected_text(const Target &target) const;

	std::map<std::string, Mapped> mapped_;
	std::map<std::string, Below> below_;
	std::vector<HolderPtr> holders_;
	// Persistent snapshots that nobody has loaded, by COW device.
	std::map<std::string, SnapshotPtr> at_rest_;
	// What metadata devices tell of, by device.
	std::map<std::string, ClonePtr> clones_;
	// COW and metadata devices that begin with something else.
	std::set<std::string> garbage_;
	// Those that were used some time.
	std::set<std::string> used_cows_;
	std::map<std::uint64_t, Io> ios_;
	Time time_ = 1;
	Compared compared_;
	Differences differences_;
};

} // namespace dmsc

#endif // DMSC_SEQUENCE_MODEL_H
