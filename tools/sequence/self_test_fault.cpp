// SPDX-License-Identifier: GPL-2.0-only
// Stories of devices below that fail.
#include "self_test.h"

#include "story.h"

#include <initializer_list>
#include <string>

namespace dmsc
{

namespace
{

bool fails_where_it_is_bad()
{
	Story story;
	bool good = true;

	story("create v0")("load v0 0 1024 linear a 0")("resume v0").write("v0 8 8", 100);
	story("base a bad 9 2");
	good = story.must_fail_to_read("v0", 9) && story.must_fail_to_read("v0", 10) &&
	       !story.fails_to_read("v0", 8) && !story.fails_to_read("v0", 11) &&
	       story.answers("write v0 9 1") == Answer::bad &&
	       story.answers("write v0 0 16") == Answer::bad &&
	       story.answers("write v0 11 1") == Answer::good &&
	       story.answers("flush v0") == Answer::good;
	story("base a bad 10 1 writes");
	good = good && !story.fails_to_read("v0", 10) &&
	       story.answers("write v0 10 1") == Answer::bad;
	story("base a bad 8 1 reads");
	good = good && story.must_fail_to_read("v0", 8) &&
	       story.answers("write v0 8 1") == Answer::good;
	story("base a ok");
	return good && story.is_good() && story.may_hold("v0", 10, 100) &&
	       !story.may_hold("v0", 10, kOfA) && story.answers("write v0 10 1") == Answer::good;
}

// It is under way when the sector becomes bad, or good again.
bool meets_it_or_not()
{
	Story story;
	bool good = true;

	story("create v0")("load v0 0 1024 linear a 0")("resume v0");
	story("create v1")("load v1 0 1024 linear b 0")("resume v1");
	for (const bool answer : {false, true}) {
		story.begin("write v0 0 8", 100)("base a bad 0 1")("base a ok").end(answer);
		story("base a bad 0 1").begin("write v0 0 8", 101)("base a ok").end(answer);
		// Others do not.
		story.begin("write v1 0 8", 102)("base a bad 0 1").end(true)("base a ok");
	}
	good = story.is_good();
	story.begin("write v1 0 8", 103)("base a bad 0 1").end(false);
	return good && !story.is_good();
}

// A chunk that cannot be copied costs the snapshot, not the origin.
bool loses_the_snapshot_alone()
{
	Story story = snapshot_of("a0 P 16");
	bool good = true;

	story.write("v0 64 8", 100)("base a bad 9 1 reads");
	good = story.answers("write v0 16 1") == Answer::good && story.may_hold("v1", 64, kOfA) &&
	       !story.fails_to_read("v1", 0) && story.must_fail_to_read("v1", 9);
	story.write("v0 0 1", 101);
	good = good && story.must_fail_to_read("v1", 64) && story.must_fail_to_read("v1", 0) &&
	       !story.may_show("v1", "snapshot", "a a0 P 16", "64/2600 32") &&
	       story.may_show("v1", "snapshot", "a a0 P 16", "Invalid");
	story("base a ok");
	return good && story.is_good() && story.must_fail_to_read("v1", 64) &&
	       story.may_hold("v0", 0, 101);
}

// Nobody says where a chunk is, but it is there when the sector is good again.
bool keeps_what_the_cow_device_has()
{
	Story story = snapshot_of("a0 P 16");
	bool good = true;

	story.write("v0 64 8", 100).write("v1 80 16", 101).begin("flush v1", kZeroes).end(true);
	story("base a0 bad 100 1");
	good = story.fails_to_read("v1", 64) && story.may_hold("v1", 64, kOfA) &&
	       !story.fails_to_read("v1", 0) && !story.fails_to_read("v0", 64);
	good = good && story.answers("write v0 64 8") == Answer::good &&
	       story.may_show("v1", "snapshot", "a a0 P 16", "64/2600 32") &&
	       !story.may_show("v1", "snapshot", "a a0 P 16", "Invalid");
	story("base a0 ok");
	good = good && story.answers("write v1 80 1") == Answer::good &&
	       story.may_hold("v1", 81, 101) && !story.fails_to_read("v1", 64);
	// One chunk more: that may need the sector.
	story.begin("flush v1", kZeroes).end(true)("base a0 bad 100 1").write("v0 0 1", 102);
	return good && story.is_good() && story.may_show("v1", "snapshot", "a a0 P 16", "Invalid");
}

// Only what it has to read.
bool loads_if_metadata_can_be_read()
{
	Story story = snapshot_of("a0 P 16");
	bool good = true;

	story.write("v0 64 8", 100)("remove v1")("create v1")("base a0 bad 32 1");
	good = story.expect("load v1 0 1024 snapshot a a0 P 16") == Answer::good;
	story("base a0 bad 31 1");
	good = good && story.expect("load v1 0 1024 snapshot a a0 P 16") == Answer::either &&
	       story.expect("load v1 0 1024 snapshot a a0 N 16") == Answer::good;
	story("base a0 ok")("load v1 0 1024 snapshot a a0 P 16")("resume v1");
	return good && story.is_good() && story.may_hold("v1", 64, kOfA) &&
	       !story.may_hold("v1", 64, 100);
}

// What it cannot merge it shows still.
bool fails_while_it_merges()
{
	Story story = snapshot_of("a0 P 16");
	bool good = true;

	story.write("v1 64 16", 100);
	story("load v0 0 1024 merge a a0 P 16")("suspend v1")("suspend v0")("resume v0");
	good = !story.may_show("v0", "merge", "a a0 P 16", "Merge failed") &&
	       story.answers("write v0 0 8") == Answer::good;
	story("base a0 bad 16 1 writes");
	good = good && story.may_show("v0", "merge", "a a0 P 16", "Merge failed") &&
	       story.answers("write v0 64 1") == Answer::either &&
	       story.answers("write v0 0 8") == Answer::good;
	story("base a0 ok");
	return good && story.is_good() && story.may_hold("v0", 65, 100) &&
	       !story.may_hold("v0", 65, kOfA);
}

// A region of 16 sectors, and no other.
bool costs_its_own_region()
{
	Story story = clone_of("");
	Story dest = clone_of("");
	bool good = true;

	story("base a bad 20 1");
	good = story.answers("write v0 16 1") == Answer::either &&
	       story.answers("write v0 15 1") == Answer::good &&
	       story.answers("write v0 32 1") == Answer::good && story.fails_to_read("v0", 20) &&
	       !story.fails_to_read("v0", 21) && !story.shows_hydrated("v0", 0, "ro");
	// What can be copied has to be.
	const auto status = [](const std::string &regions) {
		return ShownLines{{0, 1024, "clone", "8 5/128 16 " + regions + "/64 0"}};
	};

	good = good && story.model().goes_on("v0", status("62")) &&
	       !story.model().goes_on("v0", status("63"));
	dest("base d bad 20 1 writes");
	good = good && dest.answers("write v0 16 1") == Answer::either &&
	       dest.answers("write v0 20 1") == Answer::bad &&
	       dest.answers("write v0 0 16") == Answer::good && !dest.fails_to_read("v0", 20) &&
	       dest.answers("flush v0") == Answer::good;
	dest("base d ok");
	return good && story.is_good() && dest.answers("write v0 20 1") == Answer::good;
}

// What was written to a snapshot may not be in it yet when a sector becomes bad, and it may take a
// while until that shows.
bool is_told_late()
{
	Story story = snapshot_of("a0 P 16");
	Story commits = snapshot_of("a0 P 16 1 commit=write");
	const std::string table("a a0 P 16");
	bool good = true;

	for (Story *each : {&story, &commits})
		each->write("v1 80 16", 100)("base a0 bad 100 1 reads");
	good = story.answers("flush v1") == Answer::either &&
	       story.answers("flush v0") == Answer::good &&
	       commits.answers("flush v1") == Answer::good &&
	       !commits.may_show("v1", "snapshot", table + " 1 commit=write", "Invalid");
	for (Story *each : {&story, &commits})
		(*each)("base a0 ok");
	story.shows("v1", "snapshot", table, "48/2600 32");
	good = good && story.fails_to_read("v1", 0) && story.answers("flush v1") == Answer::either;
	story.shows("v1", "snapshot", table, "48/2600 32");
	good = good && story.fails_to_read("v1", 0) && !commits.fails_to_read("v1", 0);
	// It could be told.
	story.begin("flush v1", kZeroes).end(true).shows("v1", "snapshot", table, "48/2600 32");
	good = good && !story.fails_to_read("v1", 0) &&
	       !story.may_show("v1", "snapshot", table, "Invalid");
	// What is under way then is not in it yet.
	story.begin("write v1 0 1", 101).begin("flush v1", kZeroes)("base a0 bad 100 1");
	story("base a0 ok").end(kZeroes, true).end(101, true);
	story.shows("v1", "snapshot", table, "64/2600 32");
	good = good && story.fails_to_read("v1", 80);
	// By now it would show.
	story("pause").shows("v1", "snapshot", table, "64/2600 32");
	return good && story.is_good() && commits.is_good() && !story.fails_to_read("v1", 80);
}

// Of what a snapshot has been asked for before the fault nothing is left to be told.
bool is_told_in_time()
{
	bool good = true;

	for (const std::string how : {"suspend v1", "remove v1", "pause"}) {
		Story story = snapshot_of("a0 P 16");

		story.write("v1 80 16", 100)(how)("base a0 error")("base a0 ok");
		if (how == "remove v1")
			story("create v1")("load v1 0 1024 snapshot a a0 P 16");
		story("resume v1");
		good = good && story.is_good() && !story.fails_to_read("v1", 80) &&
		       story.may_hold("v1", 80, 100) &&
		       !story.may_show("v1", "snapshot", "a a0 P 16", "Invalid");
	}
	return good;
}

// A device that is suspended stands in the way of who waits for that.
bool waits_for_who_is_told()
{
	Story story;
	bool good = true;

	story("create w0")("load w0 0 2600 linear z 0")("resume w0");
	story("create v0")("load v0 0 1024 origin a")("resume v0");
	story("create v1")("load v1 0 1024 snapshot a w0 P 16")("resume v1");
	story("suspend w0");
	good = story.expect("remove v1") == Answer::good;
	story("resume w0").write("v1 0 8", 100)("load v0 0 1024 merge a w0 P 16");
	story("create v2")("load v2 0 1024 linear a 0")("suspend w0");
	good = good && !story.expect("remove v1") && story.expect("suspend v1") == Answer::good &&
	       story.expect("remove v2") == Answer::good;
	story("suspend v1")("suspend v0");
	good = good && !story.expect("resume v0");
	// It is told when that one goes on.
	story("resume w0");
	good = good && story.expect("resume v0") == Answer::good;
	story("clear v0")("resume v0")("resume v1").begin("flush v1", kZeroes).end(true);
	story("suspend w0");
	return good && story.is_good() && story.expect("remove v1") == Answer::good;
}

} // namespace

void self_test_fault(const Check &check)
{
	check("an I/O fails if one of its sectors does, and no other", fails_where_it_is_bad());
	check("one that is under way may fail", meets_it_or_not());
	check("a chunk that cannot be copied costs the snapshot alone", loses_the_snapshot_alone());
	check("a bad sector of a COW device loses nothing", keeps_what_the_cow_device_has());
	check("a snapshot is loaded if its metadata can be read", loads_if_metadata_can_be_read());
	check("a merge fails, and nothing is lost", fails_while_it_merges());
	check("a bad sector costs a clone its own region", costs_its_own_region());
	check("a COW device is told late what a snapshot has", is_told_late());
	check("but not later than when the snapshot is suspended", is_told_in_time());
	check("who waits for that is known", waits_for_who_is_told());
}

} // namespace dmsc
