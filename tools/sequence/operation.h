// SPDX-License-Identifier: GPL-2.0-only
// One step of a sequence: what an administrator, his tools, or a user of a device does.
#ifndef DMSC_SEQUENCE_OPERATION_H
#define DMSC_SEQUENCE_OPERATION_H

#include <cstdint>
#include <istream>
#include <string>
#include <string_view>
#include <vector>

namespace dmsc
{

// A line of words, the first of which says what is done, as in "write v0 16 8". Devices have the
// names of layout.h. A sequence is a text file of such lines; "#" begins a comment.
//
//	create V, remove V, remove V deferred, clear V, resume V, rename V
//	suspend V [noflush]
//	load V [readonly] START LENGTH TYPE ARGUMENTS [; START LENGTH TYPE ARGUMENTS]...
//	message V WORDS
//	read V SECTOR COUNT, write V SECTOR COUNT, discard V SECTOR COUNT, flush V
//	fua V SECTOR COUNT, zero V SECTOR COUNT
//		are in flight while what follows is done; the last two: a write with FUA, one of
//		zeroes
//	burst V SECTOR COUNT
//		so many writes of a sector each, all at once
//	wait	until all I/O has ended that is not held up by a suspended device
//	finish	as well, and merges and hydrations have ended that nothing is in the way of
//	pause	as long as it takes until what was written to a snapshot is durable by itself
//	wipe B	a persistent snapshot, or a clone, whose COW or metadata device it is, is a new one
//	base B ok|error|slow|suspend|resume
//	base B bad SECTOR COUNT [reads|writes]
//		what a device below does from now on; bad: all but I/O, or reads, or writes, of some
//		sectors
//	base B resize COUNT
//		it ends there; "ok" and others make it whole again
//	cpu N on|off, memory on|off, threshold N
//	pressure on|off	memory is short
class Operation
{
public:
	explicit Operation(std::string_view line);

	[[nodiscard]] const std::string &verb() const { return words_[0]; }
	// The words behind the verb; empty or 0 if there is none.
	[[nodiscard]] std::string word(std::size_t index) const;
	[[nodiscard]] std::uint64_t number(std::size_t index) const;
	// The words from that one on.
	[[nodiscard]] std::string rest(std::size_t index) const;
	[[nodiscard]] std::string to_string() const
	{
		return rest(0).empty() ? verb() : verb() + " " + rest(0);
	}
	[[nodiscard]] bool is_io() const;

private:
	std::vector<std::string> words_;
};

using Operations = std::vector<Operation>;

// A line of a table, with the names that operations have.
struct TableLine {
	std::uint64_t start = 0;
	std::uint64_t length = 0;
	std::string type;
	std::vector<std::string> arguments;
};

// Whether "load" loads a read-only table, and what it loads.
bool is_read_only(const Operation &load);
std::vector<TableLine> table_of(const Operation &load);

Operations read_operations(std::istream &in);

} // namespace dmsc

#endif // DMSC_SEQUENCE_OPERATION_H
