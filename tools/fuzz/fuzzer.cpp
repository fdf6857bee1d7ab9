// SPDX-License-Identifier: GPL-2.0-only
#include "fuzzer.h"

#include "../common/disk.h"
#include "../common/error_name.h"
#include "clone_state.h"
#include "sequence.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace dmsc
{

namespace
{

constexpr std::string_view kName = "fuzz";
constexpr std::size_t kMessagesAtOnce = 20;
// The table that messages are sent to has one of each: where they end.
constexpr std::uint64_t kSnapshotEnd = 8;
constexpr std::uint64_t kOriginEnd = 16;
constexpr std::uint64_t kCloneEnd = 4016;

bool is_ours(std::string_view type)
{
	return type == kSnapshot || type == kOrigin || type == kClone;
}

// What device-mapper itself says of our targets.
bool of_core(std::string_view text)
{
	return text == "Gap in table" || text == "couldn't split parameters";
}

std::string print(const std::vector<Target> &targets)
{
	std::string out;

	for (const Target &target : targets)
		out += "[" + std::to_string(target.start) + " " + std::to_string(target.length) +
		       " " + target.type + " " + target.params + "]";
	return out;
}

bool has_clone(const Table &table)
{
	return std::ranges::find(table.targets, kClone, &Target::type) != table.targets.end();
}

// Whether targets are the same but for white space: a clone's arguments are shown as they were
// given.
bool alike(const std::vector<Target> &one, const std::vector<Target> &other)
{
	return std::ranges::equal(one, other, [](Target first, Target second) {
		const bool same = split_arguments(first.params) == split_arguments(second.params);

		first.params.clear();
		second.params.clear();
		return same && first == second;
	});
}

// A field of a struct dm_ioctl or dm_target_spec, or any byte behind them.
void damage(Random &random, Buffer &buffer)
{
	constexpr std::array<std::uint32_t, 10> values{0,  1,   7,   8,          39,
						       40, 304, 305, 0x7fffffff, 0xffffffff};
	const std::uint32_t value =
		random.one_in(3) ? static_cast<std::uint32_t>(random.below(buffer.size() + 64))
				 : random.pick(values);
	dm_ioctl &head = header(buffer);
	const std::size_t room = buffer.size() - sizeof(dm_ioctl);

	switch (random.below(8)) {
	case 0:
		head.data_size = std::min(value, static_cast<std::uint32_t>(buffer.size()));
		break;
	case 1:
		// Not within the header: the kernel splits parameters where they are.
		head.data_start = std::max(value, static_cast<std::uint32_t>(sizeof(dm_ioctl)));
		break;
	case 2:
		head.target_count = value % 1000;
		break;
	case 3:
		if (room >= sizeof(dm_target_spec)) {
			constexpr std::size_t next = offsetof(dm_target_spec, next);

			std::memcpy(buffer.data() + sizeof(dm_ioctl) + next, &value, sizeof(value));
		}
		break;
	case 4:
		if (room > 0)
			buffer.resize(buffer.size() - random.below(room));
		head.data_size = static_cast<std::uint32_t>(buffer.size());
		break;
	default:
		if (room > 0)
			buffer[sizeof(dm_ioctl) + random.below(room)] =
				static_cast<std::byte>(random.next());
		break;
	}
}

} // namespace

Fuzzer::Fuzzer(Devices &devices, const FuzzSettings &settings, const std::string &trouble_file,
	       std::ostream &out)
	: devices_(devices), settings_(settings), out_(out), log_(trouble_file)
{
	renew();
}

Fuzzer::~Fuzzer()
{
	(void)control_.remove(std::string(kName));
}

// A device without a table. It has had one: the first is checked when it is loaded, later ones when
// they are resumed.
void Fuzzer::renew()
{
	const std::string name(kName);
	int error = control_.remove(name);

	if (error == 0 || error == ENXIO)
		error = control_.create(name, number_);
	if (error == 0)
		error = control_.load(name, {{{0, 8, std::string(kNeighbour), ""}}, false});
	if (error == 0)
		error = control_.clear(name);
	if (error != 0)
		throw std::runtime_error("cannot make a new device: " + error_name(error));
	devices_.set_self(number_);
}

Fuzzer::Complaint Fuzzer::check_log()
{
	try {
		log_.read_new();
		return std::nullopt;
	} catch (const std::exception &error) {
		return error.what();
	}
}

Fuzzer::Complaint Fuzzer::refused(const Table &table, const Verdict &verdict, int error)
{
	const std::string name = error_name(error);
	std::vector<Refusal> refusals;
	std::set<Fault> possible = verdict.faults;

	for (const std::string &line : log_.read_new())
		if (auto refusal = parse_refusal(line, number_); refusal && is_ours(refusal->type))
			refusals.push_back(*refusal);
	if (verdict.load == Expect::accept)
		return "refused with " + name +
		       (refusals.empty() ? "" : ": \"" + refusals[0].text + "\"") +
		       "; should be accepted";
	if (refusals.size() > 1)
		return "more than one message in the kernel log";
	if (refusals.empty()) {
		if (!possible.contains(Fault::core))
			return "refused with " + name + " and without a message in the kernel log";
		// Another target may have devices as well: "error" of later kernels has.
		if (error == EINVAL || (is_later_kernel() && fits(Fault::source_device, error)))
			return std::nullopt;
		return "refused with " + name + ", not EINVAL";
	}

	const std::string &text = refusals[0].text;
	const auto reason = std::ranges::find(possible, text, sentence);

	if (of_core(text) && possible.contains(Fault::core))
		return std::nullopt;
	if (reason == possible.end() || text.empty())
		return "refused for a wrong reason: \"" + text + "\"";
	counts_.seen.insert(*reason);
	if (!fits(*reason, error))
		return "refused with " + name + ": \"" + text + "\"";
	// Not every kernel knows the names.
	if (refusals[0].error != name && refusals[0].error != std::to_string(error))
		return "refused with " + name + ", logged " + refusals[0].error;
	(void)table;
	return std::nullopt;
}

Fuzzer::Complaint Fuzzer::accepted(const Table &table, const Verdict &verdict)
{
	constexpr std::uint32_t flags = DM_STATUS_TABLE_FLAG | DM_QUERY_INACTIVE_TABLE_FLAG;
	const std::string name(kName);

	if (verdict.load == Expect::refuse) {
		std::string why = "accepted; should be refused:";

		for (const Fault fault : verdict.faults)
			why += fault == Fault::core ? " by device-mapper"
						    : " \"" + std::string(sentence(fault)) + "\"";
		return why;
	}

	const Shown first = control_.show(name, flags);

	if (first.error != 0 || first.full)
		return "accepted, but cannot be shown: " + error_name(first.error);
	if (verdict.shown && first.targets != verdict.shown->targets)
		return "shown as " + print(first.targets);

	// What is shown is a table, and is shown as itself; unless it depends on what is on a
	// device. That takes long, and there are not many.
	if (verdict.faults.contains(Fault::meta_contents) ||
	    !shown_.insert(print(first.targets)).second)
		return std::nullopt;
	if (const int error = control_.clear(name); error != 0)
		return "cannot be cleared: " + error_name(error);
	if (const int error = control_.load(name, {first.targets, table.read_only}); error != 0)
		return "shown as " + print(first.targets) + ", which is refused with " +
		       error_name(error);

	const Shown second = control_.show(name, flags);

	if (!alike(second.targets, first.targets))
		return "shown as " + print(first.targets) + " and then as " + print(second.targets);
	return std::nullopt;
}

// The status of those among the targets, as they are shown.
Fuzzer::Complaint Fuzzer::check_clones(const std::vector<Target> &targets)
{
	const Shown status = control_.show(std::string(kName), 0);

	if (status.targets.size() != targets.size())
		return "a status has not as many targets as its table";
	for (std::size_t i = 0; i < targets.size(); i++) {
		if (targets[i].type != kClone)
			continue;

		const auto arguments = split_arguments(targets[i].params);
		CloneState clone(targets[i].length, std::span(arguments).subspan(3),
				 devices_.lookup(arguments[0]).device->sectors);

		if (devices_.lookup(arguments[1]).device->name != "dest")
			clone.may_lack_discards();
		if (Complaint complaint = clone.complain(status.targets[i].params))
			return complaint;
	}
	return std::nullopt;
}

Fuzzer::Complaint Fuzzer::resumed(const Table &table, const Verdict &verdict)
{
	const std::string name(kName);
	const int error = control_.resume(name);
	Complaint complaint;

	if (error != 0 && verdict.resume == Expect::accept)
		complaint = "resume failed with " + error_name(error);
	else if (error == 0 && verdict.resume == Expect::refuse)
		complaint = "active, although a device is too small";
	else if (error == 0 && verdict.shown) {
		const Shown shown = control_.show(name, DM_STATUS_TABLE_FLAG);

		if (shown.targets != verdict.shown->targets)
			complaint = "active, and shown as " + print(shown.targets);
		else
			complaint = check_clones(shown.targets);
	}
	if (error == 0)
		counts_.resumed++;
	(void)table;
	renew();
	return complaint;
}

Fuzzer::Complaint Fuzzer::after_load(const Table &table, const Verdict &verdict, int error)
{
	if (error != 0)
		counts_.refused++;
	else
		counts_.accepted++;
	if (verdict.load == Expect::either)
		counts_.either++;
	return error != 0 ? refused(table, verdict, error) : accepted(table, verdict);
}

// Loads a table into the device, which has none before and after.
Fuzzer::Complaint Fuzzer::attempt(const Table &table, bool resume)
{
	const std::string name(kName);
	const Verdict verdict = judge(table, devices_);

	if (has_clone(table))
		clear_clone_metadata(devices_.find("meta")->path);

	const int error = control_.load(name, table);
	Complaint complaint;

	try {
		complaint = after_load(table, verdict, error);
		if (error == 0 && resume && !verdict.self && !complaint)
			complaint = resumed(table, verdict);
	} catch (const std::exception &caught) {
		complaint = caught.what();
	}
	if (const int failed = control_.clear(name); failed != 0 && !complaint)
		complaint = "cannot be cleared: " + error_name(failed);
	if (!complaint)
		complaint = check_log();
	return complaint;
}

// A buffer that is no table. All that can be said is that the kernel survives, and how it refuses.
Fuzzer::Complaint Fuzzer::raw(Random &random, const Generator &generator)
{
	const std::string name(kName);
	Buffer buffer = make_load(name, generator.table(random));

	for (std::size_t left = 1 + random.below(4); left > 0; left--)
		damage(random, buffer);
	counts_.raw++;

	const int error = control_.call(DM_TABLE_LOAD, buffer);

	if (error == 0) {
		const Shown shown =
			control_.show(name, DM_STATUS_TABLE_FLAG | DM_QUERY_INACTIVE_TABLE_FLAG);

		if (shown.error != 0)
			return "accepted, but cannot be shown: " + error_name(shown.error);
	}
	if (const int failed = control_.clear(name); failed != 0)
		return "cannot be cleared: " + error_name(failed);
	for (const std::string &line : log_.read_new()) {
		const auto refusal = parse_refusal(line, number_);

		if (!refusal || !is_ours(refusal->type) || of_core(refusal->text))
			continue;

		bool known = false;

		for (int i = 1; i <= static_cast<int>(kLastFault); i++)
			known |= sentence(static_cast<Fault>(i)) == refusal->text;
		if (!known)
			return "refused for an unknown reason: \"" + refusal->text + "\"";
	}
	return std::nullopt;
}

// To the table of try_messages().
Fuzzer::Complaint Fuzzer::message(const std::string &text, std::uint64_t sector, CloneState &clone)
{
	const std::string_view type = sector < kSnapshotEnd ? kSnapshot
				      : sector < kOriginEnd ? kOrigin
				      : sector < kCloneEnd  ? kClone
							    : "";
	const MessageVerdict verdict = judge_message(type, text, message_forms());
	const int error = control_.message(std::string(kName), sector, text);

	counts_.messages++;
	if (error == 0 && verdict.expect == Expect::refuse)
		return "message accepted; should be refused";
	if (error != 0 && verdict.expect == Expect::accept)
		return "message refused with " + error_name(error);
	if (error != 0 && error != verdict.error && verdict.expect == Expect::refuse)
		return "message refused with " + error_name(error) + ", not " +
		       error_name(verdict.error);
	if (error == 0 && type == kClone && !text.empty() &&
	    !split_arguments(text)[0].starts_with('@'))
		clone.message(text);

	const Shown status = control_.show(std::string(kName), 0);

	if (status.targets.size() != 3)
		return "a status has not as many targets as its table";
	if (Complaint complaint = clone.complain(status.targets[2].params))
		return complaint;
	return check_log();
}

bool Fuzzer::try_messages(Random &random, const Generator &generator, const std::string &what)
{
	const std::string name(kName);
	const auto path = [this](std::string_view device) { return devices_.find(device)->path; };
	const std::array<std::string, 3> arguments{"64", "1", "no_hydration"};
	const Table table = {
		{{0, kSnapshotEnd, std::string(kSnapshot),
		  path("origin") + " " + path("cow") + " N 8"},
		 {kSnapshotEnd, kOriginEnd - kSnapshotEnd, std::string(kOrigin), path("origin")},
		 {kOriginEnd, kCloneEnd - kOriginEnd, std::string(kClone),
		  path("meta") + " " + path("dest") + " " + path("source") + " 64 1 no_hydration"}},
		false};
	CloneState clone(kCloneEnd - kOriginEnd, arguments, devices_.find("meta")->sectors);

	clear_clone_metadata(path("meta"));

	bool good = control_.load(name, table) == 0 && control_.resume(name) == 0;

	if (!good)
		return report(what, print_table(table, devices_), "cannot be made active");
	for (std::size_t i = 0; good && i < kMessagesAtOnce; i++) {
		const std::string text = generator.message(random);
		const std::array<std::uint64_t, 6> sectors{random.below(kSnapshotEnd),
							   kSnapshotEnd,
							   kOriginEnd,
							   kCloneEnd - 1,
							   kOriginEnd,
							   kCloneEnd + random.below(99)};
		const std::uint64_t sector = random.pick(sectors);

		if (const Complaint complaint = message(text, sector, clone))
			good = report(what,
				      "message " + print_table({{{sector, 0, "", text}}, false},
							       devices_),
				      *complaint);
	}
	renew();
	return good;
}

bool Fuzzer::report(const std::string &what, const std::string &line, const std::string &why)
{
	out_ << "FAILED: " << what << ": " << why << '\n' << "  " << line << std::endl;
	return false;
}

// The shortest table that still fails.
Table Fuzzer::shrink(Table table, bool resume)
{
	const auto replace = [&](const Table &candidate) {
		if (candidate == table || !attempt(candidate, resume))
			return false;
		table = candidate;
		return true;
	};

	for (bool shorter = true; shorter;) {
		shorter = false;
		for (std::size_t i = table.targets.size(); i-- > 0;) {
			Table candidate = table;

			candidate.targets.erase(candidate.targets.begin() +
						static_cast<std::ptrdiff_t>(i));
			if (!candidate.targets.empty() && replace(candidate)) {
				shorter = true;
				continue;
			}

			// Words, which lose their white space and their escapes.
			const auto words = split_arguments(table.targets[i].params);

			for (std::size_t without = 0; without <= words.size(); without++) {
				std::string params;

				for (std::size_t k = 0; k < words.size(); k++)
					if (k != without)
						params += (params.empty() ? "" : " ") + words[k];
				candidate = table;
				candidate.targets[i].params = params;
				if (params.size() < table.targets[i].params.size() &&
				    replace(candidate)) {
					shorter = true;
					break;
				}
			}
		}
	}
	return table;
}

bool Fuzzer::try_table(const Table &table, bool resume, const std::string &what)
{
	const Complaint complaint = attempt(table, resume);

	if (!complaint)
		return true;
	report(what,
	       std::string(to_string(judge(table, devices_).load)) + " " +
		       print_table(table, devices_),
	       *complaint);
	// After trouble the kernel is not what it was.
	if (complaint->starts_with("kernel log"))
		return false;

	const Table shortest = shrink(table, resume);
	const Complaint again = attempt(shortest, resume);

	out_ << "  shortest: " << to_string(judge(shortest, devices_).load) << ' '
	     << print_table(shortest, devices_) << '\n'
	     << "  " << again.value_or("(not again)") << std::endl;
	return false;
}

bool Fuzzer::run_corpus(const std::vector<CorpusLine> &corpus)
{
	return std::ranges::all_of(corpus, [this](const CorpusLine &line) {
		const Expect expect = judge(line.table, devices_).load;

		if (expect != line.expect)
			return report("corpus", line.text,
				      "judged as " + std::string(to_string(expect)));
		return try_table(line.table, line.expect == Expect::accept, "corpus");
	});
}

bool Fuzzer::run(const Generator &generator)
{
	const std::uint64_t end = settings_.first + settings_.tries;

	for (std::uint64_t i = settings_.first; i < end;) {
		Random random(settings_.seed, i);
		const std::string what =
			"seed " + std::to_string(settings_.seed) + ", try " + std::to_string(i);
		const std::size_t kind = random.below(1000);

		// Some count as several, so the number of the next depends on the kind.
		if (kind < 10) {
			if (!try_messages(random, generator, what))
				return false;
			i += kMessagesAtOnce;
		} else if (kind < 20) {
			Sequence sequence(control_, devices_, random);
			const Complaint complaint = sequence.run();

			counts_.steps += Sequence::kSteps;
			if (complaint)
				return report(what, sequence.history(), *complaint);
			if (const Complaint trouble = check_log())
				return report(what, sequence.history(), *trouble);
			i += Sequence::kSteps;
		} else if (kind < 150) {
			Complaint complaint;

			try {
				complaint = raw(random, generator);
			} catch (const std::exception &error) {
				complaint = error.what();
			}
			if (complaint)
				return report(what, "a damaged buffer", *complaint);
			i++;
		} else {
			const Table table = generator.table(random);

			if (settings_.verbose)
				out_ << i << ": " << to_string(judge(table, devices_).load) << ' '
				     << print_table(table, devices_) << '\n';
			if (!try_table(table, random.one_in(20), what))
				return false;
			i++;
		}
	}
	return true;
}

} // namespace dmsc
