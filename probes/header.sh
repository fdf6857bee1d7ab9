#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# header.sh PROBES RESULTS VERSION PATCHLEVEL RELEASE NAME...: prints compat-probes.h, from the probes PROBES/NAME.c and
# RESULTS/NAME.probe, whether each compiles. Fails, and says why, if the answers are of no use or dm-scaled cannot be
# built for the kernel.
set -eu
export LC_ALL=C

probes=$1 results=$2 version=$3 patchlevel=$4 release=$5
shift 5
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

# Whether NAME compiles.
answer()
{
	case $(cat "$results/$1.probe") in
	0) echo 0 ;;
	1) echo 1 ;;
	*) stop "$results/$1.probe holds neither 0 nor 1: make clean" ;;
	esac
}

missing=
for name; do
	found=$(answer "$name")
	case $name=$found in
	control-pass=0)
		stop "nothing compiles with the headers of Linux $release: see $results/control-pass.log" ;;
	control-fail-*=1)
		stop "the compiler takes what is wrong ($name), so that nothing can be found out about Linux $release:" \
			"see $results/$name.log, and leave options that switch warnings off out of KCFLAGS" ;;
	need-*=0)
		missing="$missing
  - $(label "$probes/$name.c"): see $results/$name.log" ;;
	esac
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
for name; do
	case $name in
	control-*|need-*) continue ;;
	esac
	found=$(answer "$name")
	echo
	echo "/* $(label "$probes/$name.c") */"
	echo "#define DM_SCALED_HAVE_$(echo "$name" | tr a-z- A-Z_) $found"
done
