# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# For the tests that run on the host. Each is a program: exit code 0 is a pass, 77 a skip whose reason is the
# last line, anything else a failure. O= and KVER= are as for make.
# shellcheck source=tests/vm/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../vm/lib.sh"
cd "$top" || exit
# shellcheck disable=SC2034
kver=$(default_kver)

# sources [PATTERN...]: our files, tracked or new, that match; PATTERNs are names of folders or like *.c, and with :!
# before them are those not to be listed. The first must not be one of these.
sources()
{
	local file pattern listed

	"$top/scripts/sources" | while read -r file; do
		listed=$((!$#))
		for pattern in "$@"; do
			# Patterns on the right, on purpose.
			# shellcheck disable=SC2053
			case $pattern in
			:!*) [[ $file != ${pattern#:!} && $file != ${pattern#:!}/* ]] || listed=0 ;;
			*) [[ $file != $pattern && $file != $pattern/* ]] || listed=1 ;;
			esac
		done
		((!listed)) || [[ ! -f $file ]] || echo "$file"
	done
}

# The shell scripts, known by name or first line.
scripts()
{
	sources | while read -r file; do
		case $file in
		*.sh) echo "$file" ;;
		*) ! head -n 1 "$file" | grep -qaE '^#!.*/(env )?bash' || echo "$file" ;;
		esac
	done
}

# passed_before NAME SETTINGS FILE...: whether those files, contents and names, have passed the check of that name with
# those settings; else passed_now says so when they have. Kept outside the checkout.
passed_before()
{
	local name=$1 settings=$2

	shift 2
	passed=$cache/passed/$name
	mkdir -p "$passed"
	passed+=/$( (echo "$settings"; sha256sum "$@") | sha256sum | cut -d' ' -f1)
	[[ -e $passed ]]
}

passed_now()
{
	find "${passed%/*}" -type f -mtime +60 -delete
	touch "$passed"
}

# Prints the folder with the kernel's scripts that check sources: checkpatch.pl, coccinelle/. They come from
# linux-source and are unpacked once, outside the checkout.
kernel_scripts()
{
	local archive name dir

	archive=$(kernel_source)
	name=$(basename "$archive" .tar.xz)
	dir=$cache/scripts/$name-$(stat -c %Y-%s "$archive")
	if [[ ! -d $dir ]]; then
		rm -rf "$cache/scripts"
		mkdir -p "$dir.tmp"
		tar -C "$dir.tmp" --strip-components=2 -xf "$archive" \
			"$name"/scripts/{checkpatch.pl,spelling.txt,const_structs.checkpatch,coccinelle}
		mv "$dir.tmp" "$dir"
	fi
	echo "$dir"
}

fail()
{
	echo "FAILED: $*" >&2
	exit 1
}

# has LOG REGEX...: each matches some line.
has()
{
	local log=$1 regex

	shift
	for regex in "$@"; do
		grep -qE "$regex" "$log" || fail "no $regex in $log"
	done
}

sparse_flags=()

# sparse KVER TARGET... -- FILE...: makes the targets with all that sparse knows, but for "sparse_flags", and sees to it
# that it was shown each file. C=2 checks what is compiled already as well.
sparse()
{
	local kver=$1 targets=() file log=$out/static/sparse.log
	local warnings=(
		-D__CHECK_ENDIAN__ -Wsparse-all
		# What the kernel's own headers and macros do: READ_ONCE() of a bool, wait_event() in wait_event(),
		# min(), offsets in void *, struct bio inside other structures.
		-Wno-sizeof-bool -Wno-shadow -Wno-vla -Wno-ptr-subtraction-blows -Wno-pointer-arith
		-Wno-flexible-array-nested -Wno-flexible-array-sizeof "${sparse_flags[@]}"
	)

	shift
	while [[ $1 != -- ]]; do
		targets+=("$1")
		shift
	done
	shift
	mkdir -p "$out/static"
	export DM_SCALED_DELAYS=1
	# With the flags of those who look for warnings, so that nothing has to be compiled again.
	make KVER="$kver" O="$out/static" W=1 KCFLAGS=-Werror C=2 CF="${warnings[*]}" "${targets[@]}" 2>&1 | tee "$log"
	for file in "$@"; do
		grep -q "CHECK .*/${file##*/}\$" "$log" || fail "$file was not checked"
	done
	! grep -E ': (warning|error):' "$log" || fail "sparse has findings"
}

# in_parallel FUNCTION ITEM...: calls it with each item, as many at a time as there are CPUs. Not to be called in a
# condition: "set -e" is then not in force in the function.
in_parallel()
{
	local function=$1 item running=0 failed=0

	shift
	for item in "$@"; do
		"$function" "$item" &
		running=$((running + 1))
		if ((running >= $(nproc))); then
			wait -n || failed=1
			running=$((running - 1))
		fi
	done
	while ((running)); do
		wait -n || failed=1
		running=$((running - 1))
	done
	((!failed)) || fail "there are findings"
}

# copy_system DIR: DIR/merged is a copy of this system, to be changed and thrown away. In a mount namespace of its own.
copy_system()
{
	mount --make-rprivate /
	mkdir "$1/merged" "$1/tmpfs"
	mount -t tmpfs tmpfs "$1/tmpfs"
	mkdir "$1/tmpfs"/{upper,work}
	mount -t overlay overlay -o "lowerdir=/,upperdir=$1/tmpfs/upper,workdir=$1/tmpfs/work" "$1/merged"
	mount --rbind /dev "$1/merged/dev"
	mount -t proc proc "$1/merged/proc"
}
