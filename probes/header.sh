#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# header.sh PROBES RESULTS VERSION PATCHLEVEL RELEASE: prints compat-probes.h, from the probes PROBES/NAME.c and
# RESULTS/NAME.probe, whether each compiles. Fails, and says why, if the answers are of no use or dm-scaled cannot be
# built for the kernel.
set -eu
export LC_ALL=C

probes=$1 results=$2 version=$3 patchlevel=$4 release=$5
# The newest that it has been tested with.
newest_version=7 newest_patchlevel=3

stop()
{
	echo "dm-scaled: $*" >&2
	exit 1
}

# What stands over a probe.
label()
{
	sed -n 's,^/\* \(.*\) \*/$,\1,p' "$1" | head -n 1
}

missing=
[ "$(cat "$results/control-pass.probe")" = 1 ] ||
	stop "nothing compiles with the headers of Linux $release: see $results/control-pass.log"
for file in "$probes"/control-fail-*.c; do
	name=$(basename "$file" .c)
	[ "$(cat "$results/$name.probe")" = 0 ] ||
		stop "the compiler takes what is wrong ($name), so that nothing can be found out about Linux $release:" \
			"see $results/$name.log, and leave options that switch warnings off out of KCFLAGS"
done
for file in "$probes"/need-*.c; do
	name=$(basename "$file" .c)
	[ "$(cat "$results/$name.probe")" = 1 ] || missing="$missing
  - $(label "$file"): see $results/$name.log"
done
[ ! "$missing" ] || stop "Linux $release is not supported. It lacks$missing
It needs Linux 6.1 or later, or a distribution's kernel with a block layer and device-mapper that are as new."

if [ "$version" -gt $newest_version ] || { [ "$version" -eq $newest_version ] &&
	[ "$patchlevel" -gt $newest_patchlevel ]; }; then
	echo "warning: dm-scaled: Linux $release is newer than $newest_version.$newest_patchlevel, the newest that it has" \
		"been tested with" >&2
fi

cat <<END
/* SPDX-License-Identifier: GPL-2.0-only */
/* Made by probes/header.sh: what Linux $release has. */
END
for file in "$probes"/*.c; do
	name=$(basename "$file" .c)
	case $name in
	control-*|need-*) continue ;;
	esac
	echo
	echo "/* $(label "$file") */"
	echo "#define DM_SCALED_HAVE_$(echo "$name" | tr a-z- A-Z_) $(cat "$results/$name.probe")"
done
