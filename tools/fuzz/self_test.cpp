// SPDX-License-Identifier: GPL-2.0-only
#include "self_test.h"

#include "corpus.h"
#include "generator.h"
#include "oracle.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace dmsc
{

namespace
{

constexpr std::uint64_t kTables = 20000;

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
		if (faults.contains(fault) || is_about_contents(fault))
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
	constexpr std::array forms{MessageForm{"clone", "hydration_threshold <number>"},
				   MessageForm{"clone", "enable_hydration"}};
	const auto is = [&](std::string_view type, std::string_view message, Expect expect) {
		return judge_message(type, message, forms) == expect;
	};

	return is("clone", "enable_hydration", Expect::accept) &&
	       is("clone", " Hydration_Threshold  8", Expect::accept) &&
	       is("clone", "hydration_threshold x", Expect::refuse) &&
	       is("clone", "hydration_threshold", Expect::refuse) &&
	       is("clone", "enable_hydration 1", Expect::refuse) &&
	       is("clone", "", Expect::refuse) && is("clone", "@stats_list", Expect::either) &&
	       is("snapshot-scaled", "enable_hydration", Expect::refuse);
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
	return passed;
}

} // namespace dmsc
