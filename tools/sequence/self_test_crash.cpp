// SPDX-License-Identifier: GPL-2.0-only
// Stories of power cuts.
#include "self_test.h"

#include "story.h"

#include <string>

namespace dmsc
{

namespace
{

// A flush makes durable what had ended when it was submitted.
bool forgets_what_was_not_flushed()
{
	Story story;
	bool before = false;

	story("create v0")("load v0 0 1024 linear a 0")("resume v0");
	story.write("v0 0 8", 100).write("v0 0 1", 101).begin("flush v0", kZeroes);
	before = story.may_survive("a", 0, kOfA) && story.may_survive("a", 0, 100) &&
		 story.may_survive("a", 0, 101) && !story.may_survive("a", 8, 100);
	story.end(true);
	before = before && story.survives("a", 0, 101) && story.survives("a", 1, 100);
	// This one has failed, but may have arrived.
	story("base a error").begin("write v0 0 1", 102).end(false);
	story("base a ok").write("v0 1 1", 103);
	return before && story.may_survive("a", 0, 101) && story.may_survive("a", 0, 102) &&
	       story.may_survive("a", 1, 100);
}

// The chunk is durable before the origin is written; a write to the snapshot is not.
bool copies_durably()
{
	Story story = snapshot_of("a0 P 8");
	bool good = story.model().survival("a0") == Model::Survival{true, false, false};

	story.write("v0 0 8", 100);
	good = good && story.model().survival("a0") == Model::Survival{true, true, false} &&
	       story.survives("a0", 0, kOfA) && story.may_survive("a", 0, 100);
	story.write("v1 0 8", 101).write("v1 16 1", 102);
	good = good && story.may_survive("a0", 0, 101) && story.may_survive("a0", 0, kOfA) &&
	       !story.may_survive("a0", 0, 100) && story.may_survive("a0", 16, kOfA);
	story.write("v0 16 8", 103);
	good = good && !story.may_survive("a0", 16, 103);
	story.begin("flush v1", kZeroes).end(true);
	return good && story.is_good() && story.survives("a0", 0, 101) &&
	       story.survives("a0", 16, 102) && story.survives("a0", 17, kOfA) &&
	       story.may_survive("a", 0, kOfA) && story.may_survive("a", 16, 103);
}

// The chunk is, if the snapshot promises it; when the origin is written; and when there was time.
bool has_chunks_durably()
{
	Story commits = snapshot_of("a0 P 8 1 commit=write");
	Story story = snapshot_of("a0 P 8 1 commit=flush");
	const auto may_be_lost = [](Story &some, const std::string &past) {
		const std::uint64_t sector = std::stoull(past);

		// Past the snapshot: it may show that if it has no chunk.
		some.write("v3 " + past + " 1", kUnused);
		return some.may_survive("a0", sector, kUnused);
	};
	bool good = true;

	for (Story *each : {&commits, &story}) {
		(*each)("create v3")("load v3 0 1024 linear a 0")("resume v3");
		each->write("v1 0 1", 100).write("v1 8 1", 101).write("v1 16 1", 102);
	}
	good = !may_be_lost(commits, "1") && may_be_lost(story, "1") &&
	       commits.may_survive("a0", 0, kOfA) && commits.may_survive("a0", 0, 100);
	story.write("v0 8 1", 103);
	good = good && !may_be_lost(story, "9") && may_be_lost(story, "17");
	for (const std::string how : {"suspend v1", "remove v1", "pause"}) {
		Story other = snapshot_of("a0 P 8");

		other("create v3")("load v3 0 1024 linear a 0")("resume v3").write("v1 0 1", 100);
		other(how);
		good = good && other.is_good() && !may_be_lost(other, "1") &&
		       other.may_survive("a0", 0, kOfA) && other.may_survive("a0", 0, 100);
	}
	// Nothing is told to a device that does not take it.
	story("base a0 suspend")("pause")("base a0 ok");
	good = good && may_be_lost(story, "18");
	story("base a0 bad 100 1")("pause")("base a0 ok");
	return good && may_be_lost(story, "19") && story.is_good() && commits.is_good();
}

// A flush of the origin is none of what is on the COW device.
bool flushes_each_for_itself()
{
	Story story = snapshot_of("a0 P 8");

	story.write("v1 0 8", 100).write("v0 64 8", 101).begin("flush v0", kZeroes).end(true);
	return story.is_good() && story.survives("a", 64, 101) &&
	       story.may_survive("a0", 0, kOfA) && story.may_survive("a0", 0, 100) &&
	       story.survives("a0", 64, kOfA);
}

bool does_not_survive_as_it_was()
{
	Story story = snapshot_of("a0 P 8");

	// Nobody knows what of the old snapshot is left.
	story("remove v1")("wipe a0")("create v1")("load v1 0 1024 snapshot a a0 P 8");
	if (story.model().survival("a0").known)
		return false;
	story("resume v1").begin("flush v1", kZeroes).end(true);
	return story.model().survival("a0") == Model::Survival{true, true, false};
}

bool takes_no_flushes()
{
	Story story;

	// As device-mapper finds no cache when the table is resumed.
	story("base a error")("create v0")("load v0 0 1024 linear a 0")("resume v0");
	story("base a ok").write("v0 0 8", 100).begin("flush v0", kZeroes).end(true);
	return story.may_survive("a", 0, kOfA) && story.may_survive("a", 0, 100);
}

// The block layer ends a flush of a device that has no cache at the moment.
bool flushes_nothing_while_it_fails()
{
	Story story;
	bool good = true;

	story("create v0")("load v0 0 1024 linear a 0")("resume v0").write("v0 0 8", 100);
	story.begin("flush v0", kZeroes)("base a error")("base a ok").end(true);
	good = story.may_survive("a", 0, kOfA) && story.may_survive("a", 0, 100);
	story("base a error").begin("flush v0", kZeroes).end(true)("base a ok");
	good = good && story.may_survive("a", 0, kOfA);
	story.begin("flush v0", kZeroes).end(true);
	return good && story.survives("a", 0, 100);
}

bool flushes_no_chunks_while_cow_fails()
{
	Story story = snapshot_of("a0 P 8");
	bool good = true;

	story.write("v1 0 8", 100).begin("flush v1", kZeroes)("base a0 error")("base a0 ok");
	story.end(true);
	good = story.may_survive("a0", 0, kOfA) && story.may_survive("a0", 0, 100);
	story.begin("flush v1", kZeroes).end(true);
	return good && story.survives("a0", 0, 100);
}

// A snapshot that becomes invalid does not vanish.
bool is_there_if_invalid()
{
	Story story = snapshot_of("a2 P 16");

	story.write("v0 0 1", 100);
	for (std::uint64_t i = 1; i < 32; i++)
		story.write("v0 " + std::to_string(i * 16) + " 1", 100 + i);
	return story.is_good() && story.fails_to_read("v1", 0) &&
	       story.model().survival("a2") == Model::Survival{true, true, true};
}

// After a power cut a region of a clone shows the source, or what was copied and written, and
// only the latter when that was durable.
bool keeps_durable_regions()
{
	Story story = clone_of(" 1 no_hydration");
	bool good = story.survives("m", 0, kOfA);

	story.write("v0 0 8", 100);
	good = good && story.may_survive("m", 0, kOfA) && story.may_survive("m", 0, 100) &&
	       !story.may_survive("m", 0, kOfD) && !story.may_survive("m", 8, kOfD) &&
	       story.may_survive("d", 0, kOfD) && story.model().clone_left("m").durable == 0;
	story.begin("flush v0", kZeroes).end(true);
	good = good && story.survives("m", 0, 100) && story.survives("m", 8, kOfA) &&
	       story.survives("d", 0, 100) && story.survives("d", 8, kOfA) &&
	       story.survives("m", 16, kOfA) && story.model().clone_left("m").durable == 1;
	// What was not flushed may be lost, but does not take the region with it.
	story.write("v0 0 8", 101);
	good = good && story.may_survive("m", 0, 100) && story.may_survive("m", 0, 101) &&
	       !story.may_survive("m", 0, kOfA);
	// The destination may have a part of it without the metadata device knowing.
	story.begin("write v0 32 8", 102).begin("flush v0", kZeroes).end(true);
	good = good && story.may_survive("m", 32, kOfA) && story.may_survive("m", 32, 102) &&
	       !story.may_survive("m", 32, kOfD) && !story.may_survive("m", 40, kOfD) &&
	       story.may_survive("d", 32, kOfD) && story.may_survive("d", 32, 102);
	return good && story.is_good();
}

// Suspending it makes regions durable, but what was written after they had been copied is not
// flushed: the destination may have what was copied.
bool commits_when_suspended()
{
	Story story = clone_of(" 1 no_hydration");
	bool good = true;

	story.write("v0 0 8", 100).write("v0 0 8", 101);
	story("create v1")("load v1 0 1024 linear d 0")("resume v1").write("v1 8 1", 102);
	good = story.may_survive("m", 8, 102) && story.may_survive("m", 8, kOfA);
	story("suspend v0");
	good = good && story.may_survive("m", 0, 101) && story.may_survive("m", 0, kOfA) &&
	       !story.may_survive("m", 0, kOfD) && story.may_survive("m", 8, 102) &&
	       !story.may_survive("m", 8, kOfD) && !story.may_survive("d", 9, kOfD) &&
	       story.model().clone_left("m").durable == 1;
	// Nothing is told to the metadata device when it is suspended already.
	story.begin("write v1 0 8", 103).end(true)("suspend v0");
	good = good && story.may_survive("m", 0, 101) && story.may_survive("m", 0, 103);
	story("resume v0").begin("flush v0", kZeroes).end(true);
	return good && story.survives("m", 0, 103) && story.survives("m", 8, 102) &&
	       story.is_good();
}

bool knows_when_clones_are_unknown()
{
	const auto is_known = [](Story &story) { return story.model().clone_left("m").known; };
	Story loaded;
	Story mapped;
	Story again = clone_of("");
	Story failed = clone_of("");
	bool good = is_known(again) && is_known(failed) && !again.may_survive("m", 0, kOfD);

	loaded("create v0")("load v0 0 1024 clone m d a 16");
	good = good && !is_known(loaded);
	loaded("resume v0");
	mapped("create v0")("load v0 0 1024 linear a 0")("resume v0");
	mapped("create v1")("load v1 0 1024 clone m d v0 16")("resume v1");
	good = good && is_known(loaded) && !is_known(mapped);
	// Of the old one something may be left until the first flush.
	again("remove v0")("wipe m")("create v0")("load v0 0 1024 clone m d b 32")("resume v0");
	good = good && !is_known(again);
	again.begin("flush v0", kZeroes).end(true);
	failed("base d error")("base d ok");
	good = good && is_known(again) && again.model().clone_left("m").region == 32;
	// But one that is there can be loaded.
	again("base m error")("base m ok");
	return good && !is_known(again) && again.model().clone_left("m").loads &&
	       !is_known(failed) && !failed.model().clone_left("m").loads;
}

} // namespace

void self_test_crash(const Check &check)
{
	check("a power cut leaves what was flushed, and perhaps more",
	      forgets_what_was_not_flushed());
	check("a chunk is copied durably, and nothing written to a snapshot", copies_durably());
	check("a chunk is durable when that was promised", has_chunks_durably());
	check("each device has a cache of its own", flushes_each_for_itself());
	check("a COW device is used again", does_not_survive_as_it_was());
	check("a device that found no cache below flushes nothing", takes_no_flushes());
	check("a device that fails flushes nothing", flushes_nothing_while_it_fails());
	check("nor does a COW device", flushes_no_chunks_while_cow_fails());
	check("an invalid snapshot is there still", is_there_if_invalid());
	check("a durable region of a clone stays, another one may go", keeps_durable_regions());
	check("a clone commits when it is suspended", commits_when_suspended());
	check("a new or failed clone may be anything", knows_when_clones_are_unknown());
}

} // namespace dmsc
