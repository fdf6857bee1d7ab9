// SPDX-License-Identifier: GPL-2.0-only
// Stories of writes that are more than writes, with FUA or of zeroes, or less: to read-only
// devices.
#include "self_test.h"

#include "story.h"

namespace dmsc
{

namespace
{

Story linear()
{
	Story story;

	story("create v0")("load v0 0 1024 linear a 0")("resume v0");
	return story;
}

// It is durable without a flush, and makes nothing else durable.
bool is_durable_itself()
{
	Story story = linear();
	bool good = true;

	story.write("v0 0 8", 100).write("v0 0 8", 101).begin("fua v0 0 4", 102);
	good = story.may_survive("a", 0, kOfA) && story.may_survive("a", 0, 102);
	story.end(true);
	good = good && story.survives("a", 0, 102) && story.may_survive("a", 4, kOfA) &&
	       story.may_survive("a", 4, 101);
	// What was written meanwhile may have come later.
	story.begin("write v0 0 1", 103).begin("fua v0 0 1", 104).end(103, true).end(104, true);
	return good && story.is_good() && story.may_survive("a", 0, 103) &&
	       story.may_survive("a", 0, 104) && !story.may_survive("a", 0, 101);
}

// So is what is needed to find it.
bool is_found_again()
{
	Story snapshot = snapshot_of("a0 P 8");
	Story clone = clone_of(" 1 no_hydration");
	bool good = true;

	snapshot.write("v1 8 8", 100).begin("fua v1 0 4", 101).end(true);
	good = snapshot.is_good() && snapshot.survives("a0", 0, 101) &&
	       snapshot.survives("a0", 4, kOfA) && snapshot.may_survive("a0", 8, kOfA) &&
	       snapshot.model().survival("a0") == Model::Survival{true, true, false};
	// Also if another write had made the chunk.
	snapshot.begin("fua v1 8 1", 102).end(true);
	good = good && snapshot.survives("a0", 8, 102) && snapshot.may_survive("a0", 9, 100) &&
	       snapshot.may_survive("a0", 9, kOfA);
	clone.write("v0 16 4", 100).begin("fua v0 0 8", 101).end(true);
	good = good && clone.is_good() && clone.survives("m", 0, 101) &&
	       clone.survives("m", 8, kOfA) && clone.may_survive("m", 16, kOfA) &&
	       clone.model().clone_left("m").durable == 1;
	clone.begin("fua v0 16 4", 102).end(true);
	return good && clone.survives("m", 16, 102) && clone.model().clone_left("m").durable == 2;
}

// The origin has it, the snapshot what was there before.
bool is_not_the_snapshots()
{
	Story story = snapshot_of("a0 P 8");

	story.begin("fua v0 0 8", 100).end(true);
	return story.is_good() && story.survives("a", 0, 100) && story.survives("a0", 0, kOfA);
}

// The block layer drops FUA if the device has no cache as far as it knows.
bool is_nothing_without_a_cache()
{
	Story story;
	bool good = true;

	story("base a error")("create v0")("load v0 0 1024 linear a 0")("resume v0");
	story("base a ok").begin("fua v0 0 8", 100).end(true);
	good = story.may_survive("a", 0, kOfA) && story.may_survive("a", 0, 100);
	story("load v0 0 1024 linear a 0").begin("fua v0 8 8", 101)("resume v0").end(true);
	good = good && story.may_survive("a", 8, kOfA);
	story.begin("fua v0 8 8", 102)("base a error")("base a ok").end(true);
	good = good && story.may_survive("a", 8, kOfA);
	story.begin("fua v0 8 8", 103).end(true);
	return good && story.survives("a", 8, 103);
}

// Each is a write of its own, although all of them write the same.
bool zeroes()
{
	Story story = linear();
	bool good = true;

	story.begin("zero v0 0 8", kZeroing | 100).begin("zero v0 0 8", kZeroing | 101);
	good = story.may_hold("v0", 0, kZeroes) && story.may_hold("v0", 0, kOfA);
	story.end(kZeroing | 100, true);
	good = good && !story.may_hold("v0", 0, kOfA) && !story.may_hold("v0", 8, kZeroes);
	story.write("v0 0 8", 102);
	good = good && story.may_hold("v0", 0, 102) && story.may_hold("v0", 0, kZeroes);
	story.end(kZeroing | 101, true).begin("fua v0 0 1", 103).end(true);
	return good && story.is_good() && !story.may_hold("v0", 0, kZeroes) &&
	       story.may_hold("v0", 1, kZeroes) && story.may_survive("a", 1, kZeroes) &&
	       story.survives("a", 0, 103);
}

// A snapshot shows what was there before, and its chunk what was written to it.
bool zeroes_copy()
{
	Story story = snapshot_of("a0 N 8");

	story.begin("zero v0 0 8", kZeroing | 100).end(true);
	story.begin("zero v1 16 4", kZeroing | 101).end(true);
	return story.is_good() && story.may_hold("v1", 0, kOfA) &&
	       !story.may_hold("v1", 0, kZeroes) && story.may_hold("v1", 16, kZeroes) &&
	       !story.may_hold("v1", 16, kOfA) && story.may_hold("v1", 20, kOfA) &&
	       !story.may_hold("v0", 16, kZeroes);
}

// A read-only snapshot refuses writes, also while it is suspended, and keeps what its origin was.
bool refuses_writes()
{
	Story story;

	story("create v0")("load v0 0 1024 origin a")("resume v0")("create v1");
	story("load v1 readonly 0 1024 snapshot a a0 P 16");
	if (story.model().is_read_only("v1", false) || !story.model().is_read_only("v1", true))
		return false;
	story("resume v1")
		.begin("write v1 0 8", 100)
		.end(false)
		.begin("fua v1 0 8", 101)
		.end(false);
	story("suspend v1").begin("zero v1 0 8", kZeroing | 102);
	// Nobody waits for it.
	const bool may_end = story.expect("remove v1") == Answer::either;

	story.end(false)("resume v1").write("v0 0 8", 103);
	return may_end && story.is_good() && story.model().is_read_only("v1", false) &&
	       story.may_hold("v1", 0, kOfA) && !story.may_hold("v1", 0, 103) &&
	       !story.may_hold("v1", 0, 100) &&
	       !story.begin("write v1 0 8", 104).end(true).is_good();
}

// A write that is on its way when that changes may be refused or not.
bool may_refuse()
{
	Story story;
	bool good = true;

	story("create v0")("load v0 0 1024 linear a 0")("resume v0").begin("write v0 0 8", 100);
	story("load v0 readonly 0 1024 linear a 0")("resume v0").end(false);
	good = story.is_good() && story.may_hold("v0", 0, 100) && story.may_hold("v0", 0, kOfA);
	story.begin("write v0 0 8", 101)("load v0 0 1024 linear a 0")("resume v0").end(true);
	good = good && story.is_good() && story.may_hold("v0", 0, 101);
	// It waits for the old table, and comes to the new one.
	story("suspend v0").begin("write v0 0 8", 102)("load v0 readonly 0 1024 linear a 0");
	story("resume v0").end(true)("load v0 0 1024 linear a 0")("resume v0");
	good = good && story.is_good() && story.may_hold("v0", 0, 102);
	// The device is longer before it is read-only.
	story("load v0 0 512 linear a 0")("resume v0").begin("write v0 600 8", 103);
	story("load v0 readonly 0 1024 linear a 0")("resume v0").end(true);
	good = good && story.is_good() && story.may_hold("v0", 600, 103);
	story("load v0 0 1024 linear a 0")("resume v0").begin("write v0 0 8", 104).end(false);
	return good && !story.is_good();
}

// What is behind the end is there again when the device is as long as before.
bool ends_earlier()
{
	Story story = linear();

	story.write("v0 0 8", 100).write("v0 1000 8", 101)("base a resize 512");
	if (!story.is_good() || !story.fails_to_read("v0", 1000) || story.fails_to_read("v0", 0) ||
	    !story.may_hold("v0", 0, 100))
		return false;
	story.begin("write v0 512 8", 102).end(false)("base a ok");
	return story.is_good() && story.may_hold("v0", 1000, 101) &&
	       !story.may_hold("v0", 1000, kOfA) && !story.may_hold("v0", 512, 102);
}

// A table that is too long is refused when it is the first one, later when it is resumed: the
// device is suspended then, and has the old one.
bool refuses_long_tables()
{
	Story story = linear();

	story("base a resize 512")("create v1");
	if (story.expect("load v1 0 1024 linear a 0") != Answer::bad ||
	    story.expect("load v1 0 512 linear a 0") != Answer::good ||
	    story.expect("load v0 0 1024 origin a") != Answer::good)
		return false;
	story("load v0 0 1024 origin a");
	if (story.expect("resume v0") != Answer::bad)
		return false;
	story("resume v0");
	if (!story.model().is_suspended("v0") || story.model().has_inactive("v0"))
		return false;
	if (story.expect("resume v0") != Answer::good)
		return false;
	// What is behind the end is refused by a suspended device, too.
	story("load v0 0 512 linear a 0")("resume v0")("suspend v0")
		.begin("read v0 512 8", kZeroes);
	story.end(false).begin("zero v0 508 8", kZeroing | 100).end(false);
	return story.is_good() && !story.begin("read v0 508 8", kZeroes).end(false).is_good();
}

// A snapshot has what it has copied; a chunk behind the end cannot be copied.
bool outlives_its_origin()
{
	Story story = snapshot_of("a0 P 8");

	story.write("v0 600 8", 100)("base a resize 512");
	story("load v0 0 512 origin a")("resume v0").write("v0 0 8", 101);
	return story.is_good() && story.may_hold("v1", 600, kOfA) &&
	       !story.may_hold("v1", 600, 100) && story.may_hold("v1", 0, kOfA) &&
	       story.fails_to_read("v1", 1000) &&
	       story.expect("load v0 0 1024 clone m d a 16") == Answer::bad;
}

// A device with a snapshot waits for I/O to the origin, which may wait for that very device.
bool waits_for_what_it_holds_up()
{
	Story story = linear();

	story("create v1")("load v1 0 256 linear v0 0 ; 256 768 merge a a0 P 16")("resume v1");
	story("load v0 0 512 linear b 0 ; 512 512 snapshot a a1 N 8")("suspend v0");
	if (story.expect("resume v0") != Answer::good)
		return false;
	story.begin("read v1 0 8", kZeroes);
	return !story.expect("resume v0");
}

// What a merge holds back while it is suspended does not keep it from being resumed.
bool holds_up_only_others()
{
	Story story;

	story("create v0")("load v0 0 1024 merge a a2 P 16")("resume v0");
	story("create v4")("load v4 0 1024 origin v0")("resume v4")("suspend v0 noflush");
	story.begin("read v4 792 8", kZeroes);
	return story.expect("resume v0") == Answer::good;
}

// So does an inactive table that is cleared, or another one that is loaded.
bool waits_for_what_is_on_its_way()
{
	Story story;

	story("create w0")("load w0 0 300 linear z 0")("resume w0");
	story("create v1")("load v1 0 1024 snapshot a w0 P 64")("resume v1");
	story("load v1 0 1024 linear a 0")("suspend w0").begin("write v1 0 8", 100);
	return !story.expect("clear v1") && !story.expect("load v1 0 1024 linear b 0") &&
	       story.expect("resume w0") == Answer::good;
}

// What is on the metadata device tells of one length.
bool is_as_long_as_it_was()
{
	Story story = clone_of(" 1 no_hydration");

	return story.expect("load v0 0 512 clone m d a 16") == Answer::bad &&
	       story.expect("load v0 0 1024 clone m d a 16") == Answer::good;
}

} // namespace

void self_test_io(const Check &check)
{
	check("a write with FUA is durable, and nothing else", is_durable_itself());
	check("so is its chunk, or its region", is_found_again());
	check("one to the origin leaves the snapshot alone", is_not_the_snapshots());
	check("it is a write like others if there is no cache", is_nothing_without_a_cache());
	check("writes of zeroes are told from each other", zeroes());
	check("they make snapshots copy", zeroes_copy());
	check("a read-only device refuses writes", refuses_writes());
	check("a write on its way when that changes may be refused", may_refuse());
	check("a snapshot is not resumed while it holds up I/O to its origin",
	      waits_for_what_it_holds_up());
	check("a merge is resumed while it holds up I/O itself", holds_up_only_others());
	check("an inactive table goes when no I/O is on its way into the device",
	      waits_for_what_is_on_its_way());
	check("a device below ends earlier for a while", ends_earlier());
	check("tables that are too long are refused", refuses_long_tables());
	check("a snapshot is longer than its origin", outlives_its_origin());
	check("a clone is as long as its metadata say", is_as_long_as_it_was());
}

} // namespace dmsc
