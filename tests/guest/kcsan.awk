# SPDX-License-Identifier: GPL-2.0-only
# Reads a kernel log and prints it with the titles of those KCSAN reports changed that are not about our code, so
# that they do not count as trouble; no line is added or left out. -v foreign=FILE names races in other code, one a
# line, as in a title: "function / function".
#
# A report is about our code if one of our modules is on a stack in it, unless the racing functions themselves are
# others' and their race is named in the file.

BEGIN {
	while ((getline line < foreign) > 0)
		if (line !~ /^#/ && line != "")
			known[line] = 1
}

function report_end(    name)
{
	name = lines[1]
	sub(/.*BUG: KCSAN: [a-z -]* in /, "", name)
	sub(/[ \r]*$/, "", name)
	if (complete && (!ours || (name in known && name !~ /\[/)))
		sub(/BUG: KCSAN:/, "KCSAN, not ours:", lines[1])
	for (i = 1; i <= nr; i++)
		print lines[i]
	nr = ours = complete = 0
}

/BUG: KCSAN:/ {
	if (nr)
		report_end()
	lines[nr = 1] = $0
	if (/\[dm_(scaled|kcopyd_mq_test|copy_bench)\]/)
		ours = 1
	next
}

nr {
	lines[++nr] = $0
	if (/\[dm_(scaled|kcopyd_mq_test|copy_bench)\]/)
		ours = 1
	if (/==========/) {
		complete = 1
		report_end()
	}
	next
}

{ print }

END {
	if (nr)
		report_end()
}
