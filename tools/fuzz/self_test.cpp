// SPDX-License-Identifier: GPL-2.0-only
#include "self_test.h"

#include "../common/clone_metadata.h"
#include "clone_image.h"
#include "clone_state.h"
#include "corpus.h"
#include "generator.h"
#include "oracle.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <set>

namespace dmsc
{

namespace
{

constexpr std::uint64_t kTables = 20000;
constexpr std::uint64_t kImages = 200;

bool step(std::ostream &out, const char *what, bool passed)
{
	out << (passed ? "ok" : "not ok") << " - " << what << std::endl;
	return passed;
}

std::vector<Table> tables(const Generator &generator, std::uint64_t seed)
{
	std::vector<Table> made;

	made.reserve(kTables);
	for (std::uint64_t i = 0; i < kTables; i++) {
		Random random(seed, i);

		made.push_back(generator.table(random));
	}
	return made;
}

bool judges_valid(const Generator &generator, const Devices &devices, std::ostream &out)
{
	for (std::uint64_t i = 0; i < kTables; i++) {
		Random random(1, i);
		const Table table = generator.valid(random);
		const Verdict verdict = judge(table, devices);

		if (verdict.load != Expect::accept || verdict.resume != Expect::accept ||
		    !verdict.shown || judge(*verdict.shown, devices).shown != verdict.shown) {
			out << "# " << to_string(verdict.load) << ' ' << print_table(table, devices)
			    << '\n';
			return false;
		}
	}
	return true;
}

bool corpus_agrees(const std::vector<CorpusLine> &corpus, const Devices &devices, std::ostream &out)
{
	bool agrees = !corpus.empty();

	for (const CorpusLine &line : corpus) {
		const Expect expect = judge(line.table, devices).load;

		if (expect == line.expect)
			continue;
		out << "# judged as " << to_string(expect) << ": " << line.text << '\n';
		agrees = false;
	}
	return agrees;
}

bool prints_and_parses(const std::vector<Table> &made, const Devices &devices, std::ostream &out)
{
	for (const Table &table : made) {
		const std::string text = print_table(table, devices);

		if (parse_table(text, devices) == table)
			continue;
		out << "# " << text << "\n# " << print_table(parse_table(text, devices), devices)
		    << '\n';
		return false;
	}
	return true;
}

// A good mixture: each fault is made, and each verdict has its share.
bool is_mixed(const std::vector<Table> &made, const Devices &devices, std::ostream &out)
{
	std::map<Expect, std::size_t> shares;
	std::set<Fault> faults;
	bool mixed = true;

	for (const Table &table : made) {
		const Verdict verdict = judge(table, devices);

		shares[verdict.load]++;
		if (verdict.load == Expect::refuse && verdict.faults.size() == 1)
			faults.insert(*verdict.faults.begin());
	}
	for (int i = 0; i <= static_cast<int>(kLastFault); i++) {
		const auto fault = static_cast<Fault>(i);

		// Zero is no power of two either.
		if (faults.contains(fault) || is_about_contents(fault) || !is_possible(fault))
			continue;
		out << "# never alone: " << sentence(fault) << '\n';
		mixed = false;
	}
	out << "# accept " << shares[Expect::accept] << ", refuse " << shares[Expect::refuse]
	    << ", either " << shares[Expect::either] << '\n';
	return mixed && shares[Expect::accept] > kTables / 8 &&
	       shares[Expect::refuse] > kTables / 4 && shares[Expect::either] < kTables / 10;
}

bool splits()
{
	const std::vector<std::string> words{"a", "b c", "\\", "d\\"};

	return split_arguments(" a\t b\\ c\xa0\\\\\n d\\") == words &&
	       split_arguments(" \v").empty() && split_arguments("").empty();
}

bool judges_messages()
{
	const auto is = [](std::string_view type, std::string_view message, Expect expect,
			   int error = EINVAL) {
		const MessageVerdict verdict = judge_message(type, message, message_forms());

		return verdict.expect == expect && verdict.error == error;
	};

	return is(kClone, "enable_hydration", Expect::accept) &&
	       is(kClone, " Hydration_Threshold  8", Expect::accept) &&
	       is(kClone, "hydration_batch_size 4294967295", Expect::accept) &&
	       is(kClone, "hydration_batch_size 4294967296", Expect::refuse) &&
	       is(kClone, "hydration_batch_size 8\\\n", Expect::either) &&
	       is(kClone, "hydration_threshold x", Expect::refuse) &&
	       is(kClone, "hydration_threshold", Expect::refuse) &&
	       is(kClone, "enable_hydration 1", Expect::refuse) &&
	       is(kClone, "stats", Expect::accept) && is(kClone, "Stats", Expect::refuse) &&
	       is(kClone, "offload off", Expect::refuse, EOPNOTSUPP) &&
	       is(kClone, "offload on", Expect::refuse) && is(kClone, "", Expect::refuse) &&
	       is(kClone, "@stats_list", Expect::either) &&
	       is(kSnapshot, "stats", Expect::accept) &&
	       is(kSnapshot, "enable_hydration", Expect::refuse) &&
	       is(kOrigin, "stats", Expect::refuse);
}

// A status that is right, and all that are a character shorter, which are not.
bool is_status(const CloneState &state, const std::string &status)
{
	if (state.complain(status))
		return false;
	for (std::size_t i = 0; i < status.size(); i++)
		if (!state.complain(std::string(status).erase(i, 1)))
			return false;
	return true;
}

bool knows_status()
{
	const std::vector<std::string> line{
		"+8", "02", "No_Discard_Passdown", "no_hydration", "2", "hydration_batch_size",
		"16"};
	CloneState state(4001, line, 8192);

	if (!is_status(state, "8 3/1024 8 0/501 0 2 no_hydration no_discard_passdown "
			      "4 hydration_threshold 4096 hydration_batch_size 16 rw"))
		return false;
	state.set_hydrated(7);
	state.message(" HYDRATION_threshold 0");
	state.message("enable_hydration");
	if (!is_status(state, "8 3/1024 8 7/501 0 1 no_discard_passdown "
			      "4 hydration_threshold 0 hydration_batch_size 16 rw"))
		return false;
	// Now it copies.
	state.message("hydration_threshold 5");
	return !state.complain("8 3/1024 8 77/501 5 1 no_discard_passdown "
			       "4 hydration_threshold 5 hydration_batch_size 16 rw") &&
	       state.complain("8 3/1024 8 6/501 5 1 no_discard_passdown "
			      "4 hydration_threshold 5 hydration_batch_size 16 rw") &&
	       state.complain("8 3/1024 8 502/501 5 1 no_discard_passdown "
			      "4 hydration_threshold 5 hydration_batch_size 16 rw");
}

CloneImageVerdict judge_whole(const CloneImage &image)
{
	return judge_clone_image(image.bytes, image.super.geometry);
}

// Each kind of damage has its effect, on any image that has a place for it.
bool judges_damage(const CloneDamage &damage, std::ostream &out)
{
	std::uint64_t done = 0;

	for (std::uint64_t i = 0; i < kImages; i++) {
		Random random(2, i);
		CloneImage image = make_clone_image(random);
		const Image before = image.bytes;

		if (!damage.apply(random, image))
			continue;

		const CloneImageVerdict verdict = judge_whole(image);
		const std::set<Fault> wanted =
			damage.fault == Fault::core ? std::set<Fault>() : std::set{damage.fault};

		if (verdict.faults != wanted) {
			out << "# " << damage.name << ": image " << i << '\n';
			return false;
		}
		done += image.bytes != before ? 1 : 0;
	}
	// Some may leave what is there already.
	return done > kImages / 4;
}

// What dmsc-clone reads there is what a clone must find there.
bool agrees(const CloneImage &image)
{
	const CloneImageVerdict verdict = judge_whole(image);
	const auto reader = [&image](std::uint64_t position, std::span<std::byte> bytes) {
		std::ranges::copy(std::span(image.bytes).subspan(position, bytes.size()),
				  bytes.begin());
	};

	if (!verdict.faults.empty() && !verdict.sector)
		return true;
	if (verdict.fresh)
		return true;

	const auto metadata = CloneMetadata::read(reader);

	if (verdict.sector)
		return !metadata.damaged().empty() && metadata.damaged().front() == *verdict.sector;
	return metadata.damaged().empty() && metadata.bits() == verdict.bits &&
	       metadata.geometry() == image.super.geometry;
}

bool judges_images(std::ostream &out)
{
	for (std::uint64_t i = 0; i < kImages; i++) {
		Random random(3, i);
		CloneImage image = make_clone_image(random);
		const CloneImageVerdict sound = judge_whole(image);

		if (!sound.faults.empty() || sound.fresh || sound.bits != image.bits ||
		    open_clone_image(image.bytes, sound) != image.bytes) {
			out << "# image " << i << '\n';
			return false;
		}
		damage_clone_image(random, image);
		if (!agrees(image)) {
			out << "# damaged image " << i << '\n';
			return false;
		}

		// What has been opened is whole.
		const CloneImageVerdict verdict = judge_whole(image);

		if (!verdict.faults.empty() || verdict.fresh)
			continue;
		image.bytes = open_clone_image(image.bytes, verdict);

		const CloneImageVerdict again = judge_whole(image);

		if (!again.faults.empty() || again.bits != verdict.bits ||
		    open_clone_image(image.bytes, again) != image.bytes) {
			out << "# opened image " << i << '\n';
			return false;
		}
	}
	return std::ranges::all_of(clone_damages(), [&out](const CloneDamage &damage) {
		return judges_damage(damage, out);
	});
}

} // namespace

bool self_test(const std::vector<std::string> &corpus_files, std::ostream &out)
{
	const Devices devices = imagined_devices();
	const auto corpus = read_corpus(corpus_files, devices);
	std::vector<Table> seeds;

	seeds.reserve(corpus.size());
	for (const CorpusLine &line : corpus)
		seeds.push_back(line.table);

	const Generator generator(devices, seeds);
	const auto made = tables(generator, 1);
	bool passed = step(out, "arguments are split as device-mapper splits them", splits());

	passed &= step(out, "a seed makes the same tables again", made == tables(generator, 1));
	passed &= step(out, "another seed makes others", made != tables(generator, 2));
	passed &= step(out, "the grammar's tables are judged valid",
		       judges_valid(generator, devices, out));
	passed &= step(out, "the corpus is judged as it says", corpus_agrees(corpus, devices, out));
	passed &= step(out, "tables survive being printed", prints_and_parses(made, devices, out));
	passed &= step(out, "the tables are mixed well", is_mixed(made, devices, out));
	passed &= step(out, "messages are judged by their forms", judges_messages());
	passed &= step(out, "a clone's status is known", knows_status());
	passed &= step(out, "damaged metadata of clones are judged as such", judges_images(out));
	return passed;
}

} // namespace dmsc
