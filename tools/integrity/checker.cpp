// SPDX-License-Identifier: GPL-2.0-only
#include "checker.h"

#include "binary_io.h"
#include "worker.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <poll.h>
#include <sstream>
#include <thread>

#include <nlohmann/json.hpp>

namespace dmsc
{

namespace
{

constexpr std::uint64_t kFileMagic = 0x314c444d43534d44; // "DMSCMDL1"
constexpr unsigned kMaxRuns = 4096;
constexpr unsigned kMaxIds = 256;
constexpr std::size_t kDetailedReports = 2;
constexpr std::size_t kMaxMismatches = 10000;
constexpr std::size_t kShownOperations = 24;
constexpr std::uint64_t kNeighbours = 4;
constexpr auto kPollInterval = std::chrono::milliseconds(200);

// Closes the device again: it can be opened once only.
std::uint64_t sectors_of(const std::string &path)
{
	return Device(path).sectors();
}

} // namespace

Checker::Checker(const Settings &settings, std::ostream &log) : settings_(settings), log_(log)
{
	for (unsigned i = 0; i < settings_.threads; i++)
		threads_.push_back(std::make_unique<Thread>(i));
}

Checker::~Checker() = default;

std::string Checker::name(std::size_t device)
{
	return device == 0 ? "origin" : "snapshot " + std::to_string(device);
}

void Checker::set_origin(const std::string &path, Tag initial)
{
	const std::uint64_t sectors = sectors_of(path);

	subjects_.push_back(std::make_unique<Subject>(path, next_id_++, settings_.origin_errors,
						      SectorModel(sectors, initial)));
}

void Checker::insert_snapshot(const std::string &path, SectorModel contents)
{
	snapshots_.push_back(subjects_.size());
	subjects_.push_back(std::make_unique<Subject>(path, next_id_, settings_.snapshot_errors,
						      std::move(contents)));
	next_id_ = next_id_ % (kMaxIds - 1) + 1;
	if (subjects_.back()->device.sectors() > subjects_.back()->model.sectors())
		throw std::runtime_error(path + " is larger than the origin");
}

void Checker::add_snapshot(const std::string &path)
{
	insert_snapshot(path, SectorModel(subjects_.front()->model, sectors_of(path)));
}

void Checker::drop_snapshot(const std::string &path)
{
	const auto found = std::ranges::find_if(snapshots_, [&](std::size_t device) {
		return subjects_[device]->device.path() == path;
	});

	if (found == snapshots_.end())
		throw std::runtime_error("no such snapshot: " + path);
	subjects_[*found].reset();
	snapshots_.erase(found);
}

void Checker::save(const std::string &path)
{
	std::ofstream out(path, std::ios::binary);

	put_number(out, kFileMagic);
	put_number(out, run_);
	put_number(out, next_id_);
	put_number(out, snapshots_.size() + 1);
	for (const auto &subject : subjects_) {
		if (!subject)
			continue;
		put_string(out, subject->device.path());
		put_number(out, subject->id);
		put_number(out, subject->dead ? 1 : 0);
		subject->model.save(out);
	}
	if (!out.flush())
		throw std::runtime_error("cannot write " + path);
}

void Checker::load(const std::string &path, const std::optional<std::string> &origin,
		   const std::vector<std::string> &dropped)
{
	std::ifstream in(path, std::ios::binary);

	if (!in)
		throw std::runtime_error("cannot read " + path);
	if (get_number(in) != kFileMagic)
		throw std::runtime_error(path + " is not a model file");
	run_ = static_cast<unsigned>(get_number(in) + 1) % kMaxRuns;
	next_id_ = static_cast<unsigned>(get_number(in));

	const std::uint64_t count = get_number(in);

	for (std::uint64_t i = 0; i < count; i++) {
		std::string device = get_string(in);
		const auto id = static_cast<unsigned>(get_number(in));
		const bool dead = get_number(in) != 0;
		SectorModel model = SectorModel::load(in);

		if (i == 0 && origin)
			device = *origin;
		if (std::ranges::find(dropped, device) != dropped.end())
			continue;
		if (i > 0)
			snapshots_.push_back(subjects_.size());
		subjects_.push_back(std::make_unique<Subject>(
			device, id, i == 0 ? settings_.origin_errors : settings_.snapshot_errors,
			std::move(model)));

		Subject &subject = *subjects_.back();

		subject.dead = dead && subject.on_error == OnError::final;
		if (subject.device.sectors() != subject.model.sectors())
			throw std::runtime_error(device + " has not the size that it had");
	}
}

// Reads the threads' operations in flight. A thread that is stuck in the kernel cannot be joined:
// the process ends here.
void Checker::watch(const std::stop_token &done)
{
	const auto limit = std::chrono::seconds(settings_.hang_seconds);

	while (!done.stop_requested()) {
		std::this_thread::sleep_for(kPollInterval);

		bool hung = false;

		for (const auto &thread : threads_) {
			const std::lock_guard held(thread->mutex);

			if (!thread->current || Clock::now() - thread->current->started < limit)
				continue;
			hung = true;

			Operation operation = *thread->current;

			operation.ended = Clock::now();
			log_ << "thread " << thread->index << " has waited for more than "
			     << settings_.hang_seconds
			     << " s: " << describe_operation(operation, epoch_) << '\n';
		}
		if (hung) {
			log_ << "FAILED: I/O hangs" << std::endl;
			std::_Exit(static_cast<int>(Outcome::hang));
		}
	}
}

void Checker::with_workers(const std::function<void(Worker &)> &body)
{
	const std::jthread watcher([this](const std::stop_token &done) { watch(done); });
	std::vector<std::jthread> running;

	running.reserve(threads_.size());
	for (const auto &thread : threads_)
		running.emplace_back([this, &body, state = thread.get()] {
			Worker worker(*this, *state);

			body(worker);
		});
}

void Checker::in_slices(std::size_t device,
			const std::function<void(Worker &, const Range &)> &body)
{
	const Device &target = subjects_[device]->device;
	const std::uint64_t sectors = target.sectors();
	const std::uint64_t step = settings_.max_sectors;
	std::atomic<std::uint64_t> next = 0;

	with_workers([&](Worker &worker) {
		for (;;) {
			const std::uint64_t first = next.fetch_add(step);

			if (first >= sectors)
				return;
			body(worker, {first, std::min(step, sectors - first)});
		}
	});
}

void Checker::fill()
{
	in_slices(0, [](Worker &worker, const Range &slice) { worker.fill(slice); });
}

void Checker::verify()
{
	for (std::size_t device = 0; device < subjects_.size(); device++)
		if (subjects_[device])
			in_slices(device, [device](Worker &worker, const Range &slice) {
				worker.verify(device, slice);
			});
}

void Checker::run(std::istream *commands, std::ostream &replies)
{
	const std::jthread clock([this](const std::stop_token &done) {
		const auto end = Clock::now() + std::chrono::seconds(settings_.seconds);

		while (settings_.seconds != 0 && !done.stop_requested() && Clock::now() < end)
			std::this_thread::sleep_for(kPollInterval);
		if (settings_.seconds != 0)
			stop_ = true;
	});
	const std::jthread control([&](const std::stop_token &done) {
		if (commands != nullptr)
			serve_control(*commands, replies, done);
	});

	with_workers([](Worker &worker) { worker.run(); });
}

// Waits for lines without blocking in the read, so that the run can end meanwhile.
void Checker::serve_control(std::istream &commands, std::ostream &replies,
			    const std::stop_token &done)
{
	while (!done.stop_requested()) {
		pollfd input{STDIN_FILENO, POLLIN, 0};

		if (commands.rdbuf()->in_avail() <= 0 &&
		    ::poll(&input, 1, static_cast<int>(kPollInterval.count())) <= 0)
			continue;

		std::string line;

		if (!std::getline(commands, line))
			return;

		std::istringstream words(line);
		std::string command;
		std::string argument;

		words >> command >> argument;
		try {
			replies << obey(command, argument) << std::endl;
		} catch (const std::exception &error) {
			replies << "error " << error.what() << std::endl;
		}
	}
}

// A snapshot taken under load: between "cut" and "add" the caller creates it. Every write to the
// origin in that time may be in the snapshot or not, so that each adds a candidate to its contents.
std::string Checker::obey(const std::string &command, const std::string &argument)
{
	if (command == "stop") {
		stop_ = true;
		return "ok";
	}

	const Gate::Closed closed(gate_);

	if (command == "cut") {
		const SectorModel &origin = subjects_.front()->model;

		cut_ = std::make_unique<SectorModel>(origin, origin.sectors());
	} else if (command == "add") {
		if (!cut_)
			throw std::runtime_error("no cut before add");
		insert_snapshot(argument, SectorModel(*cut_, sectors_of(argument)));
		cut_.reset();
	} else if (command == "drop") {
		drop_snapshot(argument);
	} else {
		throw std::runtime_error("no such command: " + command);
	}
	return "ok";
}

void Checker::fail(Outcome outcome)
{
	Outcome success = Outcome::success;

	outcome_.compare_exchange_strong(success, outcome);
}

void Checker::report_error(const Operation &operation, std::string_view what)
{
	const std::lock_guard held(report_mutex_);

	if (outcome_ == Outcome::success)
		log_ << "FAILED: " << name(operation.device) << " ("
		     << subjects_[operation.device]->device.path() << "): an operation " << what
		     << ":\n  " << describe_operation(operation, epoch_) << std::endl;
	fail(operation.result == 0 ? Outcome::mismatch : Outcome::io_error);
	stop_ = true;
}

void Checker::report_mismatch(std::size_t device, std::uint64_t sector,
			      std::span<const std::byte> data, const Range &range)
{
	const std::lock_guard held(report_mutex_);
	const bool detailed = mismatches_.size() < kDetailedReports;

	fail(Outcome::mismatch);
	if (mismatches_.size() < kMaxMismatches)
		mismatches_.push_back({device, sector});
	stop_ = true;
	if (!detailed)
		return;

	const auto decode = [](std::span<const std::byte> from, std::uint64_t index,
			       std::uint64_t number) {
		return describe_sector(from.subspan(index << kSectorShift).first<kSectorBytes>(),
				       number);
	};

	log_ << "FAILED: " << name(device) << " (" << subjects_[device]->device.path()
	     << ") sector " << sector << ", in a read of " << range.first << " + " << range.count
	     << " by run " << run_ << "\n  expected: " << subjects_[device]->model.describe(sector)
	     << "\n  found:    " << decode(data, sector - range.first, sector) << '\n';
	report_again(device, sector);

	log_ << "  neighbourhood:\n";

	const std::uint64_t from = std::max(range.first, sector - std::min(sector, kNeighbours));
	const std::uint64_t to = std::min(range.end(), sector + kNeighbours + 1);

	for (std::uint64_t i = from; i < to; i++)
		log_ << "    " << (i == sector ? '>' : ' ') << i << ": found "
		     << decode(data, i - range.first, i) << "; expected "
		     << subjects_[device]->model.describe(i) << '\n';
	report_history(sector);
	log_.flush();
}

// What the sector holds now, here and on the other devices: tells a wrong read from wrong contents.
void Checker::report_again(std::size_t device, std::uint64_t sector)
{
	constexpr std::size_t kAlignment = 4096;
	const std::unique_ptr<std::byte, decltype(&std::free)> buffer(
		static_cast<std::byte *>(std::aligned_alloc(kAlignment, kAlignment)), &std::free);

	for (std::size_t i = 0; i < subjects_.size() && buffer; i++) {
		if (!subjects_[i] || sector >= subjects_[i]->device.sectors())
			continue;

		const Device &other = subjects_[i]->device;
		const std::uint64_t block = other.block_sectors();
		const std::uint64_t first = sector - sector % block;
		const std::span<std::byte> data(buffer.get(), block << kSectorShift);
		const int result = other.read(first, data);

		log_ << (i == device ? "  now:      " : "  " + name(i) + " now: ");
		if (result != 0)
			log_ << "not readable\n";
		else
			log_ << describe_sector(data.subspan((sector - first) << kSectorShift)
							.first<kSectorBytes>(),
						sector)
			     << "; expected " << subjects_[i]->model.describe(sector) << '\n';
	}
}

void Checker::report_history(std::uint64_t sector)
{
	std::vector<Operation> operations;

	for (const auto &thread : threads_)
		thread->history.collect(operations, {sector, 1});
	std::ranges::sort(operations, {}, &Operation::started);
	if (operations.size() > kShownOperations)
		operations.erase(operations.begin(),
				 operations.end() - static_cast<std::ptrdiff_t>(kShownOperations));
	log_ << "  last operations on this sector (device 0 is the origin):\n";
	for (const Operation &operation : operations)
		log_ << "    " << describe_operation(operation, epoch_) << '\n';
}

std::string Checker::statistics()
{
	KindCounters total;
	nlohmann::ordered_json out;

	for (const auto &thread : threads_) {
		const std::lock_guard held(thread->mutex);

		for (std::size_t i = 0; i < kKinds; i++)
			total.at(i) += thread->counters.at(i);
	}
	out["seed"] = settings_.seed;
	out["run"] = run_;
	out["outcome"] = static_cast<int>(outcome_.load());
	out["mismatches"] = mismatches_.size();
	for (std::size_t i = 0; i < kKinds; i++) {
		const Counters &counters = total.at(i);

		out["operations"][std::string(kind_name(static_cast<Kind>(i)))] = {
			{"done", counters.done},
			{"sectors", counters.sectors},
			{"errors", counters.errors},
			{"unsupported", counters.unsupported},
			{"longest_ms",
			 std::chrono::duration<double, std::milli>(counters.longest).count()},
		};
	}
	for (const auto &subject : subjects_)
		if (subject)
			out["devices"].push_back({
				{"path", subject->device.path()},
				{"sectors", subject->device.sectors()},
				{"failed", subject->dead.load()},
				{"discards", subject->discards.load()},
				{"ambiguous_sectors", subject->model.ambiguous_sectors()},
			});
	return out.dump(1, '\t');
}

} // namespace dmsc
