// SPDX-License-Identifier: GPL-2.0-only
#include "script.h"

#include "../common/sector.h"
#include "layout.h"

#include <algorithm>
#include <cstddef>

namespace dmsc
{

namespace
{

bool is_device(const std::string &word)
{
	const auto has_name = [&](const auto &each) { return word == each; };

	return std::ranges::any_of(kMapped, has_name) ||
	       std::ranges::any_of(kBases, [&](const Base &base) { return word == base.name; });
}

// A table with paths, and the targets' names.
std::string table(const Operation &operation, Subject subject)
{
	std::string text;

	for (const TableLine &line : table_of(operation)) {
		text += (text.empty() ? "" : "\n") + std::to_string(line.start) + " " +
			std::to_string(line.length) + " " + type_of(subject, line.type);
		for (const std::string &word : line.arguments)
			text += (is_device(word) ? " /dev/mapper/" : " ") + word;
	}
	return text;
}

void print_operation(const Operation &operation, std::size_t number, Subject subject,
		     std::ostream &out)
{
	const std::string &verb = operation.verb();
	const std::string name = operation.word(0);
	const std::string option = operation.word(1);

	if (verb == "create")
		out << "dmsetup create " << name << " --notable";
	else if (verb == "load")
		out << "dmsetup load " << name << (is_read_only(operation) ? " --readonly" : "")
		    << " --table \"" << table(operation, subject) << "\"";
	else if (verb == "suspend")
		out << "dmsetup suspend " << name << (option.empty() ? "" : " --noflush");
	else if (verb == "remove")
		out << "dmsetup remove " << (option.empty() ? "" : "--deferred ") << name;
	else if (verb == "clear" || verb == "resume")
		out << "dmsetup " << verb << " " << name;
	else if (verb == "write")
		out << "put " << name << " " << option << " " << operation.word(2) << " w" << number
		    << " &";
	else if (verb == "fua")
		out << "put " << name << " " << option << " " << operation.word(2) << " w" << number
		    << " ,dsync &";
	else if (verb == "burst")
		out << "for ((i = 0; i < " << operation.word(2) << "; i++)); do put " << name
		    << " $((" << option << " + i)) 1 w" << number << ".$i & done";
	else if (verb == "zero")
		out << "blkdiscard -z -o $((512 * " << option << ")) -l $((512 * "
		    << operation.word(2) << ")) /dev/mapper/" << name << " &";
	else if (verb == "read")
		out << "get " << name << " " << option << " " << operation.word(2) << " &";
	else if (verb == "discard")
		out << "blkdiscard -o $((512 * " << option << ")) -l $((512 * " << operation.word(2)
		    << ")) /dev/mapper/" << name << " &";
	else if (verb == "message")
		out << "dmsetup message " << name << " 0 " << operation.rest(1);
	else if (verb == "flush")
		out << "blockdev --flushbufs /dev/mapper/" << name << " &";
	else if (verb == "wait" || verb == "finish")
		out << "wait";
	else if (verb == "pause")
		out << "sleep 2";
	else if (verb == "wipe")
		out << "dd if=/dev/zero of=/dev/mapper/" << name << " bs=4k count=2 oflag=direct";
	else if (verb == "base")
		out << operation.to_string();
	else if (verb == "cpu")
		out << "echo " << (option == "on" ? 1 : 0) << " > /sys/devices/system/cpu/cpu"
		    << name << "/online";
	else if (verb == "pressure" && name == "on")
		out << "kept=$(< /proc/sys/vm/min_free_kbytes); awk '/MemFree/ { print $2 - 8192 "
		       "}' /proc/meminfo > /proc/sys/vm/min_free_kbytes; echo 2 > "
		       "/proc/sys/vm/drop_caches";
	else if (verb == "pressure")
		out << "[ -z \"$kept\" ] || echo $kept > /proc/sys/vm/min_free_kbytes";
	else if (verb == "threshold")
		out << "echo " << name << " > /sys/module/" << module_of(subject)
		    << "/parameters/snapshot_cow_threshold";
	else
		out << ":";
	out << "\t# " << operation.to_string() << "\n";
}

} // namespace

void print_script(const Operations &operations, const std::string &complaint, Subject subject,
		  std::ostream &out)
{
	out << "#!/bin/bash\n"
	       "# Goes wrong with: "
	    << complaint
	    << "\n"
	       "# put DEVICE SECTOR COUNT MARK: fills sectors; get shows the marks\n"
	       "put() { yes \"$4\" | head -c $(($3 * 512)) | dd of=/dev/mapper/$1 bs=$(($3 * 512)) "
	       "seek=$(($2 * 512)) oflag=direct,seek_bytes$5 iflag=fullblock status=none; }\n"
	       "get() { dd if=/dev/mapper/$1 bs=512 skip=$2 count=$3 iflag=direct status=none | "
	       "strings | uniq -c; }\n"
	       "base() { case $2 in suspend | resume) dmsetup $2 $1 ;; *) dmsetup load $1 --table "
	       "\"$(below \"$@\")\"; dmsetup resume $1 ;; esac; }\n"
	       "below() { case $2 in error) echo 0 ${size[$1]} error ;; slow) echo 0 ${size[$1]} "
	       "delay ${disk[$1]} 0 20 ;; bad) bad \"$@\" ;; resize) echo 0 $3 linear "
	       "${disk[$1]} 0 ;; *) echo 0 ${size[$1]} linear "
	       "${disk[$1]} 0 ;; esac; }\n"
	       "# bad DEVICE bad SECTOR COUNT [reads|writes]: a table in which some sectors are\n"
	       "bad() { local d=${disk[$1]} e=$(($3 + $4)); (($3 == 0)) || echo 0 $3 linear $d 0; "
	       "case $5 in reads) echo $3 $4 delay /dev/mapper/bad 0 0 $d $3 0 $d $3 0 ;; writes) "
	       "echo $3 $4 delay $d $3 0 /dev/mapper/bad 0 0 $d $3 0 ;; *) echo $3 $4 error ;; "
	       "esac; "
	       "((e >= ${size[$1]})) || echo $e $((${size[$1]} - e)) linear $d $e; }\n"
	       "dmsetup create bad --table '0 4096 error'\n"
	       "declare -A size disk\n";
	for (const Base &base : kBases)
		out << "size[" << base.name << "]=" << base.sectors << "; truncate -s "
		    << base.sectors * kSector << " /tmp/" << base.name << "; disk[" << base.name
		    << "]=$(losetup -f --show /tmp/" << base.name << "); dmsetup create "
		    << base.name << " --table \"$(below " << base.name << " ok)\"\n";
	for (std::size_t i = 0; i < operations.size(); i++)
		print_operation(operations[i], i, subject, out);
	out << "wait" << std::endl;
}

} // namespace dmsc
