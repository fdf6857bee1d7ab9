// SPDX-License-Identifier: GPL-2.0-only
// Runs threads against an origin and its snapshots and verifies all that they read.
#ifndef DMSC_CHECKER_H
#define DMSC_CHECKER_H

#include "gate.h"
#include "operation.h"
#include "subject.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace dmsc
{

struct Settings {
	unsigned threads = 16;
	std::uint64_t seed = 0;
	std::uint64_t seconds = 0; // 0: no limit
	std::uint64_t ops = 0;     // per thread; 0: no limit
	std::uint64_t max_sectors = 2048;
	unsigned origin_share = 40; // percent of the operations
	Mix origin_mix{"read=25,write=45,durable=8,flush=2,discard=2,zero=3"};
	Mix snapshot_mix{"read=55,write=25,durable=6,flush=2,discard=4,zero=3"};
	bool discard_passdown = false; // a snapshot's discard also reaches the origin
	OnError origin_errors = OnError::fail;
	OnError snapshot_errors = OnError::fail;
	std::uint64_t hang_seconds = 120;
};

enum class Outcome : int {
	success = 0,
	mismatch = 1,
	usage = 2,
	hang = 3,
	io_error = 4,
};

// A sector that does not hold what it must.
struct Mismatch {
	std::size_t device;
	std::uint64_t sector;

	bool operator==(const Mismatch &) const = default;
	bool operator<(const Mismatch &other) const
	{
		return std::tie(device, sector) < std::tie(other.device, other.sector);
	}
};

class Worker;

class Checker
{
public:
	Checker(const Settings &settings, std::ostream &log);
	~Checker();
	Checker(const Checker &) = delete;
	Checker &operator=(const Checker &) = delete;

	// Set-up: nothing runs yet.
	void set_origin(const std::string &path, Tag initial);
	void add_snapshot(const std::string &path);
	void drop_snapshot(const std::string &path);
	// The dropped snapshots of the model need not be there any more.
	void load(const std::string &path, const std::optional<std::string> &origin,
		  const std::vector<std::string> &dropped = {});
	void save(const std::string &path);

	void fill();
	// Ends at its time or number of operations, at request_stop() and at the first failure.
	void run(std::istream *commands, std::ostream &replies);
	// Reads everything, past mismatches as well.
	void verify();
	void request_stop() { stop_ = true; }

	[[nodiscard]] Outcome outcome() const { return outcome_.load(); }
	[[nodiscard]] const std::vector<Mismatch> &mismatches() const { return mismatches_; }
	[[nodiscard]] std::string statistics();

private:
	friend class Worker;

	struct Thread;

	void with_workers(const std::function<void(Worker &)> &body);
	void in_slices(std::size_t device,
		       const std::function<void(Worker &, const Range &)> &body);
	void watch(const std::stop_token &done);
	void serve_control(std::istream &commands, std::ostream &replies,
			   const std::stop_token &done);
	std::string obey(const std::string &command, const std::string &argument);

	void report_mismatch(std::size_t device, std::uint64_t sector,
			     std::span<const std::byte> data, const Range &range);
	void report_again(std::size_t device, std::uint64_t sector);
	void report_history(std::uint64_t sector);
	void report_error(const Operation &operation, std::string_view what);
	void fail(Outcome outcome);
	void insert_snapshot(const std::string &path, SectorModel contents);
	[[nodiscard]] static std::string name(std::size_t device);

	Settings settings_;
	std::ostream &log_;
	Clock::time_point epoch_ = Clock::now();
	unsigned run_ = 0;     // number of this run in the life of the model
	unsigned next_id_ = 1; // for the next subject
	std::atomic<bool> stop_ = false;
	std::atomic<Outcome> outcome_ = Outcome::success;

	// Changed by one thread with the gate closed, read by those inside.
	Gate gate_;
	std::vector<std::unique_ptr<Subject>> subjects_; // the origin first; null: dropped
	std::vector<std::size_t> snapshots_;             // those to draw from
	std::unique_ptr<SectorModel> cut_;               // see obey()

	std::mutex report_mutex_; // log_ and mismatches_
	std::vector<Mismatch> mismatches_;

	std::vector<std::unique_ptr<Thread>> threads_;
};

} // namespace dmsc

#endif // DMSC_CHECKER_H
