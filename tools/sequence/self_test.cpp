// SPDX-License-Identifier: GPL-2.0-only
#include "self_test.h"

#include "generator.h"
#include "layout.h"
#include "shrink.h"
#include "story.h"

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

namespace dmsc
{

namespace
{

bool shows_the_past()
{
	Story story = snapshot_of("a0 N 16");

	story.write("v0 0 8", 100).write("v1 64 8", 101);
	return story.is_good() && story.may_hold("v0", 0, 100) && !story.may_hold("v0", 0, kOfA) &&
	       story.may_hold("v1", 0, kOfA) && !story.may_hold("v1", 0, 100) &&
	       story.may_hold("v1", 64, 101) && story.may_hold("v0", 64, kOfA) &&
	       !story.may_hold("v0", 64, 101);
}

// A write past a clone that is under way when the clone begins comes before its copy, or after.
bool overtakes_copies()
{
	Story story;

	story("create v0")("load v0 0 1024 linear d 0")("resume v0");
	story("create v1")("load v1 0 1024 clone m d a 64");
	story.begin("write v0 64 8", 100);
	story("resume v1");
	story.end(true);
	story.write("v1 64 1", 101);
	return story.is_good() && story.may_hold("v0", 65, 100) && story.may_hold("v0", 65, kOfA) &&
	       story.may_hold("v1", 64, 101) && !story.may_hold("v1", 64, kOfA) &&
	       !story.may_hold("v0", 65, kOfB);
}

// A write past the origin target shows where nothing was copied.
bool is_not_told()
{
	Story story = snapshot_of("a0 N 16");

	story("create v2")("load v2 0 1024 linear a 0")("resume v2");
	story.write("v0 0 1", 100).write("v2 8 8", 101).write("v2 32 8", 102);
	return story.is_good() && story.may_hold("v1", 8, kOfA) && !story.may_hold("v1", 8, 101) &&
	       story.may_hold("v1", 32, 102) && !story.may_hold("v1", 32, kOfA);
}

bool waits_in_front()
{
	Story story;

	story("create v0")("load v0 0 1024 origin a")("resume v0")("suspend v0");
	story.begin("write v0 0 8", 100);
	story("create v1")("load v1 0 1024 snapshot a a0 N 8")("resume v1")("resume v0");
	story.end(true);
	return story.is_good() && story.may_hold("v1", 0, kOfA) && !story.may_hold("v1", 0, 100);
}

bool overflows()
{
	// 500 sectors have room for 31 chunks of 16.
	Story story = snapshot_of("a2 N 16");

	for (std::uint64_t i = 0; i < 31; i++)
		story.write("v0 " + std::to_string(i * 16) + " 1", 100 + i);
	if (!story.may_hold("v1", 0, kOfA))
		return false;
	story.write("v0 1000 1", 200);
	return story.is_good() && story.fails_to_read("v1", 0) && story.may_hold("v0", 1000, 200);
}

// A COW device with room for all of the origin never fills up, whatever is lost when it is loaded,
// and however little is known of what is copied.
bool has_room()
{
	Story story = snapshot_of("a1 P 16");
	Story part;
	bool good = true;

	story.write("v0 0 1", 100)("remove v1")("create v1");
	story("load v1 0 1024 snapshot a a1 P 16")("resume v1");
	// 66 chunks, of which two are metadata.
	good = story.may_show("v1", "snapshot", "a a1 P 16", "48/1056 32") &&
	       !story.may_show("v1", "snapshot", "a a1 P 16", "64/1056 32");
	for (std::uint64_t i = 1; i < 64; i++)
		story.write("v0 " + std::to_string(i * 16) + " 1", 100 + i);
	good = good && story.is_good() && story.may_hold("v1", 1000, kOfA) &&
	       !story.fails_to_read("v1", 1000);
	part("create v0")("load v0 0 1024 origin a")("resume v0")("create v1");
	part("load v1 0 512 linear a 0 ; 512 512 snapshot a a0 P 16")("resume v1");
	part.write("v0 512 1", 100).write("v0 0 1", 101);
	return good && part.is_good() && !part.fails_to_read("v1", 512);
}

bool refuses_snapshots()
{
	Story story = snapshot_of("a0 PO 16");

	story("create v2");
	for (const char *line :
	     {"snapshot a a1 N", "snapshot a a1 X 8", "snapshot a a1 N 12", "snapshot a a1 N 8 1",
	      "snapshot a a1 N 8 1 discard_passdown_origin", "merge a a1 N 8", "snapshot b a0 P 8",
	      "origin a b", "origin a0"})
		if (story.expect("load v2 0 1024 " + std::string(line)) != Answer::bad)
			return false;
	if (story.expect("load v2 0 512 merge a a1 P 8 ; 512 512 merge a a2 P 8") != Answer::bad)
		return false;
	return story.expect("load v2 0 1024 snapshot a a1 PO 8 1 discard_zeroes_cow") ==
	       Answer::good;
}

// When writes are to be durable is asked for once, and of a persistent snapshot. Only ours knows
// it.
bool knows_commit()
{
	Story story = snapshot_of("a0 P 16 2 discard_zeroes_cow commit=flush");
	const std::string both("discard_zeroes_cow discard_passdown_origin");
	Model stock(Subject::stock);
	bool good = true;

	story("create v2");
	for (const std::string line :
	     {"N 8 1 commit=flush", "P 8 1 commit=", "P 8 1 commit=writes",
	      "P 8 2 commit=write commit=write", "P 8 2 commit=write commit=flush"})
		good = good && story.expect("load v2 0 1024 snapshot a a1 " + line) == Answer::bad;
	for (const std::string &line :
	     {std::string("P 8 1 commit=flush"), "PO 8 3 commit=write " + both,
	      "P 8 3 " + both + " commit=flush"})
		good = good && story.expect("load v2 0 1024 snapshot a a1 " + line) == Answer::good;
	good = good && story.expect("load v2 0 1024 snapshot a a1 P 8 4 commit=flush " + both +
				    " discard_zeroes_cow") == Answer::bad;
	stock.apply(Operation("create v1"), true);
	good = good && stock.expect(Operation("load v1 0 1024 snapshot a a0 P 8 1 commit=write")) ==
			       Answer::bad;
	// What is so in any case is not shown, nor what a transient one cannot promise.
	story.shows("v1", "snapshot", "a a0 P 16 1 discard_zeroes_cow", "32/2600 32");
	story("load v1 0 1024 snapshot a a0 P 16 2 commit=write discard_zeroes_cow")("resume v1");
	story.shows("v1", "snapshot", "a a0 P 16 2 discard_zeroes_cow commit=write", "32/2600 32");
	story("load v2 0 1024 snapshot a a1 N 16")("resume v2");
	story("load v2 0 1024 snapshot a a1 P 16 1 commit=write")("resume v2");
	story.shows("v2", "snapshot", "a a1 N 16", "0/1056 0");
	return good && story.is_good();
}

bool hands_over()
{
	Story story = snapshot_of("a0 P 16");

	story.write("v0 0 8", 100);
	story("create v2")("load v2 0 1024 snapshot a a0 P 16");
	if (story.expect("resume v2") != Answer::bad)
		return false;
	story("suspend v1");
	if (story.expect("resume v1") != Answer::bad || story.expect("resume v2") != Answer::good)
		return false;
	story("resume v2")("resume v1");
	return story.may_hold("v2", 0, kOfA) && story.fails_to_read("v1", 0);
}

bool comes_back()
{
	Story story = snapshot_of("a0 P 16");

	story.write("v0 0 8", 100).write("v1 64 1", 101);
	story("remove v1")("create v1")("load v1 0 1024 snapshot a a0 P 8")("resume v1");
	return story.is_good() && story.may_hold("v1", 0, kOfA) && !story.may_hold("v1", 0, 100) &&
	       story.may_hold("v1", 64, 101);
}

bool merges()
{
	Story story = snapshot_of("a0 P 16");

	story.write("v0 0 8", 100).write("v1 64 8", 101);
	story("create v2")("load v2 0 1024 snapshot a a1 P 16")("resume v2");
	story("load v0 0 1024 merge a a0 P 16")("suspend v1")("suspend v0")("resume v0");
	// At once, and for the other snapshot never.
	return story.is_good() && story.may_hold("v0", 0, kOfA) && !story.may_hold("v0", 0, 100) &&
	       story.may_hold("v0", 64, 101) && story.may_hold("v2", 0, 100) &&
	       !story.may_hold("v2", 64, 101) && story.may_hold("v2", 64, kOfA);
}

bool knows_who_waits()
{
	Story story = snapshot_of("a0 N 16");

	story("base a suspend");
	story.begin("write v0 0 8", 100);
	return !story.expect("suspend v0") && story.expect("create v2") == Answer::good &&
	       story.expect("load v3 0 8 zero") == Answer::bad && story.model().in_flight() == 1;
}

bool stacks()
{
	Story story;

	story("create v0")("load v0 0 512 linear b 0 ; 512 512 zero")("resume v0");
	story("create v1")("load v1 0 1024 origin v0")("resume v1");
	story("create v2")("load v2 0 1024 snapshot v0 s0 N 8")("resume v2");
	story.write("v1 8 8", 100);
	return story.is_good() && story.may_hold("v2", 8, kOfB) && story.may_hold("v0", 8, 100) &&
	       story.expect("remove v0") == Answer::bad && story.may_hold("v2", 600, kZeroes);
}

// Copies may become zeroes; what is in the origin only if it is told.
bool discards()
{
	Story story = snapshot_of("a0 N 16 1 discard_zeroes_cow");
	Story other = snapshot_of("a0 N 16 2 discard_zeroes_cow discard_passdown_origin");

	for (Story *each : {&story, &other})
		each->write("v0 0 8", 100).begin("discard v1 0 32", kZeroes).end(true);
	return story.is_good() && story.may_hold("v1", 0, kZeroes) &&
	       story.may_hold("v1", 0, kOfA) && !story.may_hold("v1", 16, kZeroes) &&
	       !story.may_hold("v0", 0, kZeroes) && other.may_hold("v1", 16, kZeroes) &&
	       other.may_hold("v0", 0, kZeroes);
}

bool hydrates_by_writing()
{
	Story story = clone_of(" 1 no_hydration");

	story("create v1")("load v1 0 1024 linear d 0")("resume v1");
	story.write("v0 0 8", 100);
	return story.is_good() && story.may_hold("v0", 0, 100) && story.may_hold("v0", 8, kOfA) &&
	       !story.may_hold("v0", 8, kOfD) && story.may_hold("v1", 8, kOfA) &&
	       !story.may_hold("v1", 8, kOfD) && story.may_hold("v1", 16, kOfD) &&
	       !story.may_hold("v1", 16, kOfA);
}

bool hydrates_by_itself()
{
	Story story = clone_of("");

	story("create v1")("load v1 0 1024 linear d 0")("resume v1");
	return story.may_hold("v0", 16, kOfA) && !story.may_hold("v0", 16, kOfD) &&
	       story.may_hold("v1", 16, kOfA) && story.may_hold("v1", 16, kOfD);
}

// What it copied it knows, although the source is lost.
bool remembers()
{
	Story story = clone_of(" 1 no_hydration");

	story.write("v0 0 8", 100);
	story("remove v0")("create v0");
	if (story.expect("load v0 0 1024 clone m d a 32") != Answer::bad)
		return false;
	story("load v0 0 1024 clone m d a 16 1 no_hydration")("base a error")("resume v0");
	return story.is_good() && story.may_hold("v0", 0, 100) && !story.may_hold("v0", 0, kOfA) &&
	       story.may_hold("v0", 8, kOfA) && !story.fails_to_read("v0", 8) &&
	       story.fails_to_read("v0", 16);
}

bool forgets()
{
	Story story = clone_of(" 1 no_hydration");

	story.write("v0 0 8", 100)("base m error")("remove v0")("base m ok");
	story("create v0")("load v0 0 1024 clone m d a 16 1 no_hydration")("resume v0");
	return story.is_good() && story.may_hold("v0", 0, 100) && story.may_hold("v0", 0, kOfA) &&
	       !story.may_hold("v0", 0, kOfD);
}

bool refuses_clones()
{
	Story story = clone_of("");

	story("create v1");
	return story.expect("load v1 0 1024 clone m e a 16") == Answer::bad &&
	       story.expect("load v1 0 1024 clone n d a 16") == Answer::bad &&
	       story.expect("load v1 0 1024 origin d") == Answer::bad &&
	       story.expect("load v1 0 1024 clone n e d 16") == Answer::bad &&
	       story.expect("load v1 0 1024 clone n e a2 16") == Answer::bad &&
	       story.expect("load v1 0 1024 clone n e a 12") == Answer::bad &&
	       story.expect("load v1 0 1024 clone n e a 16 1") == Answer::bad &&
	       story.expect("load v1 0 1024 clone n e a 16 0 2 hydration_threshold 1") ==
		       Answer::good &&
	       story.expect("load v0 0 1024 clone m d a 16 1 no_hydration") == Answer::good &&
	       story.expect("message v0 hydration_threshold 2") == Answer::good &&
	       story.expect("message v0 hydration_threshold") == Answer::bad &&
	       story.expect("message v1 enable_hydration") == Answer::bad;
}

// Of writes that overlap the last one is any; what was there before is gone.
bool settles()
{
	Story story;
	bool good = true;

	story("create v0")("load v0 0 1024 linear a 0")("resume v0");
	story.begin("write v0 0 8", 100).begin("write v0 4 8", 101);
	good = story.may_hold("v0", 4, kOfA);
	story.end(100, true);
	good = good && !story.may_hold("v0", 0, kOfA) && !story.may_hold("v0", 4, kOfA) &&
	       story.may_hold("v0", 8, kOfA);
	story.end(101, true).begin("flush v0", kZeroes).end(true);
	good = good && story.may_hold("v0", 4, 100) && story.may_hold("v0", 4, 101) &&
	       story.survives("a", 0, 100) && story.survives("a", 8, 101) &&
	       !story.may_survive("a", 4, kOfA);
	// What has ended before another one began is gone, too.
	story.begin("write v0 0 8", 102).begin("write v0 0 8", 103).end(102, true);
	story.begin("write v0 0 8", 104).end(103, true).end(104, true);
	good = good && story.may_hold("v0", 0, 103) && story.may_hold("v0", 0, 104) &&
	       !story.may_hold("v0", 0, 102) && !story.may_hold("v0", 0, 100);
	// One that has failed may have come last.
	story("base a error").begin("write v0 16 8", 105)("base a ok").begin("write v0 16 8", 106);
	story.end(105, false).end(106, true);
	return good && story.is_good() && story.may_hold("v0", 16, 105) &&
	       story.may_hold("v0", 16, 106) && !story.may_hold("v0", 16, kOfA);
}

// A removal may succeed before it is known that the last I/O has ended.
bool ends_late()
{
	Story story = snapshot_of("a0 N 16");

	story.begin("write v1 0 8", 100)("remove v1")("wipe a0").end(true);
	story("create v2")("load v2 0 1024 clone m d a 16 1 no_hydration")("resume v2");
	story.begin("discard v2 0 64", kZeroes)("remove v2")("wipe m").end(true);
	return story.is_good() && story.may_hold("v0", 0, kOfA);
}

// A table is exchanged: the write takes the old way or the new one, but goes to the origin.
bool settles_on_either_way()
{
	Story story = snapshot_of("a0 N 16");

	story("create v2")("load v2 0 1024 snapshot a a1 N 16").begin("write v0 0 8", 100);
	story("resume v2").end(true);
	return story.is_good() && story.may_hold("v0", 0, 100) && !story.may_hold("v0", 0, kOfA) &&
	       story.may_hold("v2", 0, 100) && story.may_hold("v2", 0, kOfA);
}

// A merge ends while a write to it is under way.
bool settles_in_a_merge()
{
	Story story = snapshot_of("a0 P 16");

	story.write("v1 0 8", 100);
	story("load v0 0 1024 merge a a0 P 16")("suspend v1")("suspend v0")("resume v0");
	story.begin("write v0 0 8", 101);
	story.shows("v0", "merge", "a a0 P 16", "32/2600 32");
	story.end(true)("create v2")("load v2 0 1024 linear a 0")("resume v2");
	return story.is_good() && story.may_hold("v0", 0, 101) && !story.may_hold("v0", 0, 100) &&
	       story.may_hold("v2", 0, 101) && !story.may_hold("v2", 0, 100) &&
	       !story.may_hold("v2", 0, kOfA);
}

// What is written to a chunk that is not merged yet stays in the snapshot, and others copy later.
bool copies_when_it_merges()
{
	Story story = snapshot_of("a0 P 16");

	story.write("v1 64 8", 100)("create v2")("load v2 0 1024 snapshot a a1 N 16")("resume v2");
	story("load v0 0 1024 merge a a0 P 16")("suspend v1")("suspend v0")("resume v0");
	story.write("v0 64 8", 101);
	return story.is_good() && story.may_show("v2", "snapshot", "a a1 N 16", "0/1056 0") &&
	       story.may_show("v2", "snapshot", "a a1 N 16", "16/1056 0") &&
	       !story.may_show("v2", "snapshot", "a a1 N 16", "64/1056 0") &&
	       story.may_hold("v2", 64, kOfA) && !story.may_hold("v2", 64, 101);
}

// A merge goes on, and another snapshot may have no room for what that has to copy.
bool may_overflow_by_a_merge()
{
	Story story = snapshot_of("a0 P 8");

	story.write("v1 0 512", 100)("create v2")("load v2 0 1024 snapshot a a2 N 8")("resume v2");
	story("load v1 0 1024 merge a a0 P 8")("suspend v0")("resume v1");
	story.shows("v2", "snapshot", "a a2 N 8", "8/500 0");
	return story.is_good() && story.may_show("v2", "snapshot", "a a2 N 8", "Invalid");
}

// Two writes to a chunk that was not copied yet.
bool copies_for_both()
{
	Story story = snapshot_of("a0 P 16");
	bool good = true;

	story.begin("write v1 0 8", 100).begin("write v1 4 8", 101).end(100, true);
	story.end(101, true).begin("flush v1", kZeroes).end(true);
	good = story.survives("a0", 0, 100) && !story.may_survive("a0", 4, kOfA);
	// The one that would have copied fails.
	story.begin("write v1 32 8", 102).begin("write v1 40 8", 103);
	story("base a error")("base a ok").end(102, false).end(103, true);
	story.shows("v1", "snapshot", "a a0 P 16", "64/2600 32");
	story.write("v1 40 8", 104).begin("flush v1", kZeroes).end(true);
	return good && story.is_good() && story.survives("a0", 40, 104) &&
	       !story.may_survive("a0", 32, 104);
}

// What is in the destination stays there although the metadata device has failed.
bool keeps_what_it_has()
{
	Story story = clone_of(" 1 no_hydration");

	story("base m error").write("v0 0 8", 100);
	if (!story.is_good() || !story.may_hold("v0", 0, 100) || story.may_hold("v0", 0, kOfA) ||
	    story.shows_hydrated("v0", 0, "ro"))
		return false;
	story("base m ok")("suspend v0")("resume v0");
	return story.may_hold("v0", 0, 100) && !story.may_hold("v0", 0, kOfA) &&
	       story.shows_hydrated("v0", 1, "ro");
}

bool does_not_go_back()
{
	Story story = clone_of("");

	if (!story.shows_hydrated("v0", 5, "rw") || story.shows_hydrated("v0", 4, "rw"))
		return false;
	story("remove v0")("create v0")("load v0 0 1024 clone m d a 16")("resume v0");
	if (story.shows_hydrated("v0", 4, "rw") || !story.shows_hydrated("v0", 6, "rw"))
		return false;
	story("remove v0")("wipe m")("create v0")("load v0 0 1024 clone m d a 16")("resume v0");
	return story.shows_hydrated("v0", 0, "rw");
}

// Until all of it is hydrated, or merged, unless something is in the way.
bool knows_what_goes_on()
{
	const auto status = [](const std::string &type, const std::string &text) {
		return ShownLines{{0, 1024, type, text}};
	};
	Story clone = clone_of(" 1 no_hydration 2 hydration_threshold 0");
	Story merge = snapshot_of("a0 P 16");
	const ShownLines some = status("clone", "8 5/128 16 5/64 0");
	const ShownLines all = status("clone", "8 5/128 16 64/64 0");
	bool good = !clone.model().goes_on("v0", some);

	for (const Operation &each : clone.model().starters("v0"))
		clone(each.to_string());
	good = good && clone.model().goes_on("v0", some) && !clone.model().goes_on("v0", all);
	clone("base m error");
	good = good && !clone.model().goes_on("v0", some) && clone.model().starters("v0").empty();
	merge.write("v1 0 8", 100);
	merge("load v0 0 1024 merge a a0 P 16")("suspend v1")("suspend v0")("resume v0");
	good = good && merge.model().goes_on("v0", status("merge", "64/2600 32")) &&
	       !merge.model().goes_on("v0", status("merge", "32/2600 32")) &&
	       !merge.model().goes_on("v0", status("merge", "Merge failed"));
	// A snapshot again, in the same device.
	merge("load v0 0 1024 snapshot a a0 P 16")("resume v0");
	return good && !merge.model().goes_on("v0", status("snapshot", "64/2600 32"));
}

bool counts_what_it_compares()
{
	Story story;

	story("create v0")("load v0 0 1024 linear a 0")("resume v0").begin("write v0 0 1", 100);
	(void)story.may_hold("v0", 0, 100);
	story.end(100, true);
	(void)story.may_hold("v0", 0, 100);
	(void)story.may_hold("a0", 0, kAny);

	const Model::Compared &compared = story.model().compared();

	return compared.one == 1 && compared.several == 1 && compared.any == 1;
}

bool shrinks()
{
	std::istringstream in(
		"create v0\n# a comment\nwrite v0 0 8\nwait\nsuspend v0\nwrite v0 8 8\n");
	const Operations operations = read_operations(in);
	const Operations shorter = shrink(operations, 1, [](const Operations &some) {
		bool suspended = false;

		for (const Operation &each : some) {
			suspended = suspended || each.verb() == "suspend";
			if (suspended && each.verb() == "write")
				return true;
		}
		return false;
	});

	return operations.size() == 5 && shorter.size() == 2 &&
	       shorter[0].to_string() == "suspend v0" && shorter[1].to_string() == "write v0 8 8";
}

bool generates_the_same()
{
	const Model model;
	Generator one(7, 3, {});
	Generator other(7, 3, {});

	for (int i = 0; i < 1000; i++)
		if (one.next(model).to_string() != other.next(model).to_string())
			return false;
	return true;
}

// All that a persistent snapshot can be asked for, and nothing of it of stock's.
bool generates_commits()
{
	Model model;
	std::size_t flush = 0;
	std::size_t write = 0;
	std::size_t neither = 0;
	std::size_t foreign = 0;

	for (const std::string_view name : kMapped)
		model.apply(Operation("create " + std::string(name)), true);
	for (const bool commits : {false, true}) {
		Generator::Habits habits;

		habits.commits = commits;

		Generator generator(7, 3, habits);

		for (int i = 0; i < 3000; i++) {
			const Operation operation = generator.next(model);
			const std::string text = operation.to_string();
			// But for what any refuses.
			const bool asks = text.find("commit=") != std::string::npos &&
					  model.expect(operation) != Answer::bad;

			foreign += !commits && (text == "pause" || asks) ? 1 : 0;
			flush += commits && text.find(" commit=flush") != std::string::npos;
			write += commits && text.find(" commit=write") != std::string::npos;
			neither += commits && !asks && text.find(" P 8") != std::string::npos;
		}
	}
	return flush > 0 && write > 0 && neither > 0 && foreign == 0;
}

} // namespace

bool self_test(std::ostream &out)
{
	bool good = true;
	const Check check = [&](const char *what, bool passed) {
		out << (passed ? "ok" : "not ok") << " - " << what << std::endl;
		good = good && passed;
	};

	check("a snapshot shows the past", shows_the_past());
	check("a write past a clone overtakes its copies, or not", overtakes_copies());
	check("it is not told of writes past the origin target", is_not_told());
	check("a write that a suspended origin holds back comes after it", waits_in_front());
	check("a full COW device makes it invalid", overflows());
	check("a COW device with room for all never fills up", has_room());
	check("wrong table lines are refused", refuses_snapshots());
	check("when writes are durable is asked for", knows_commit());
	check("it is handed over from a suspended device only", hands_over());
	check("a persistent one comes back", comes_back());
	check("a write to a merge is copied for others later", copies_when_it_merges());
	check("a merge takes the room of another snapshot", may_overflow_by_a_merge());
	check("a merge shows at once, and never to others", merges());
	check("what would wait is known", knows_who_waits());
	check("devices stand on devices", stacks());
	check("a discard zeroes copies, and is passed on", discards());
	check("a write hydrates a region of a clone", hydrates_by_writing());
	check("the background may hydrate any", hydrates_by_itself());
	check("a clone that comes back remembers what it has", remembers());
	check("but not if the metadata device failed", forgets());
	check("wrong clones are refused", refuses_clones());
	check("of writes that overlap any may be the last", settles());
	check("an I/O ends after its device is gone", ends_late());
	check("a write takes the old way or the new", settles_on_either_way());
	check("a merge ends while a write is under way", settles_in_a_merge());
	check("a chunk is copied when any write to it has ended", copies_for_both());
	check("a clone keeps what it has if the metadata device fails", keeps_what_it_has());
	check("hydrated regions do not become fewer", does_not_go_back());
	check("what goes on by itself is known", knows_what_goes_on());
	check("what is compared is counted", counts_what_it_compares());
	check("a sequence is shrunk", shrinks());
	check("a seed makes the same sequence again", generates_the_same());
	check("persistent snapshots are told when writes are to be durable", generates_commits());
	self_test_fault(check);
	self_test_io(check);
	self_test_crash(check);
	return good;
}

} // namespace dmsc
