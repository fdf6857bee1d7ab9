# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# For the host-side scripts: where things are, and which kernel to use.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dm-scaled
# Used by those who source this file.
# shellcheck disable=SC2034
out=$(realpath -m "${O:-$top/build}")
# QEMU's CPU model that is cheap to emulate, see tests/vm/run.
# shellcheck disable=SC2034
cheap_cpu=Westmere,+smep,+rdrand
# Compilers by way of ccache: what a clean checkout compiles is mostly what the last one did.
if [[ -d /usr/lib/ccache && :$PATH: != *:/usr/lib/ccache:* ]]; then
	export PATH=/usr/lib/ccache:$PATH CCACHE_DIR=$cache/ccache CCACHE_BASEDIR=$top CCACHE_NOHASHDIR=1
fi

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# paced DIR MIPS TURN: sets "paced" to the options of tests/vm/run that make the VM a simulated machine, whose pacer
# reports to DIR/pacer.json. TURN is in instructions.
# shellcheck disable=SC2034
paced()
{
	paced=(
		--accel thread=single --plugin "$out/pacer/pacer.so,out=$1/pacer.json,mips=$2,window=$3"
		--add "$out/pacer/pace" --append 'nowatchdog nosoftlockup idle=halt'
	)
}

# The median of numbers, one in a line.
median()
{
	sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

# Folder of an unpacked kernel image: / if the package is installed, else one in the cache.
kernel_root()
{
	local kver=$1

	if [[ -r /boot/vmlinuz-$kver && -d /lib/modules/$kver/kernel ]]; then
		echo /
	elif [[ -r $cache/kernels/$kver/boot/vmlinuz-$kver ]]; then
		echo "$cache/kernels/$kver"
	else
		return 1
	fi
}

# Where modules for a kernel are built, whether or not it is there.
kernel_headers()
{
	local dir

	for dir in "$cache"/{kernels,headers,headers-next}/"$1"; do
		if [[ -e $dir/lib/modules/$1/build/Makefile ]]; then
			echo "$dir/lib/modules/$1/build"
			return
		fi
	done
	echo "/lib/modules/$1/build"
}

# The version of Debian's kernel with PREEMPT_RT that belongs to a stock one.
rt_kver()
{
	echo "${1%-amd64}-rt-amd64"
}

# kernel_source [SERIES]: the kernel's sources, as Debian packs them: of the release that is installed, or others, which
# are fetched into the cache.
kernel_source()
{
	local series=${1:-6.1} archive

	archive=$(printf '%s\n' /usr/src/linux-source-"$series".tar.xz "$cache/sources/linux-source-$series".tar.xz |
		while read -r archive; do [[ ! -r $archive ]] || echo "$archive"; done | head -n 1)
	if [[ ! $archive ]]; then
		[[ $series != 6.1 ]] || die "no linux-source-6.1 package: run scripts/install-deps.sh"
		archive=$("$top/tests/vm/fetch-kernel" --source "$series") || exit
	fi
	echo "$archive"
}

# Debian's kernels besides that of its release here, unmodified, on which the tests run as well.
# shellcheck disable=SC2034
newer_kernels='6.12 7.3'

# The test kernel of tests/vm/kernel that is compiled from a later release's sources, too: VARIANT-SERIES.
# shellcheck disable=SC2034
newer_debug=debug-7.3

# What kind of kernel a version is: a variant of tests/vm/kernel, rt, or stock.
kernel_variant()
{
	case $1 in
	*-dmscaled-*) echo "${1##*-dmscaled-}" ;;
	*-rt-*) echo rt ;;
	*) echo stock ;;
	esac
}

# Versions of the distribution's kernels whose headers are there, newest last.
header_versions()
{
	local dir

	for dir in /lib/modules/*/build; do
		[[ ! -e $dir/include/generated/utsrelease.h ]] || basename "$(dirname "$dir")"
	done | sort -V
}

# The kernel that VMs boot unless told otherwise: KVER, else the newest with headers.
default_kver()
{
	local kver=${KVER:-}

	[[ $kver ]] || kver=$(header_versions | tail -n 1)
	[[ $kver ]] || die "no kernel headers found: run scripts/install-deps.sh"
	echo "$kver"
}

# copy_modules KVER ROOT NAME...: modules, and what they depend on, into a folder that is going to be someone's root;
# depmod is left to the caller. What the kernel has built in, or has not, is left out. Those of later kernels are
# compressed, which an emulated CPU takes long to undo.
copy_modules()
{
	local kver=$1 to=$2/lib/modules/$1 from name file

	shift 2
	from=$(kernel_root "$kver")
	mkdir -p "$to"
	cp "${from%/}/lib/modules/$kver"/modules.{order,builtin,builtin.modinfo} "$to/"
	for name in "$@"; do
		modprobe -S "$kver" -d "$from" --show-depends "$name" 2>/dev/null || true
	done | awk '$1 == "insmod" { print $2 }' | sort -u | while read -r file; do
		name=$to/${file#*"/lib/modules/$kver/"}
		install -D -m 644 "$file" "$name"
		[[ $name != *.xz ]] || xz -d "$name"
	done
}

# quiet_make LOG ARGUMENT...: make in the project's folder; shows the end of what it has printed only if it fails.
quiet_make()
{
	local log=$1

	shift
	make -C "$top" -j"$(nproc)" O="$out" "$@" > "$log" 2>&1 && return
	tail -n 40 "$log"
	return 1
}

# fetch_headers KVER [OPTION...]: unpacks the headers of a kernel that are not installed into the cache, for
# kernel_headers. Options are those of apt-get, for headers of another architecture. Their build scripts are the
# installed ones, which run here.
fetch_headers()
{
	local kver=$1 dir=$cache/headers/$1 tmp common file
	local build=usr/src/linux-headers-$kver

	shift
	[[ ! -e $dir/$build/Makefile ]] || return 0
	tmp=$(mktemp -d)
	echo "fetching linux-headers-$kver" >&2
	(
		cd "$tmp"
		apt-get -qq -o APT::Sandbox::User=root "$@" download "linux-headers-$kver"
		common=$(dpkg-deb -f linux-headers-*.deb Depends | grep -o 'linux-headers-[^ ,]*-common[^ ,]*')
		apt-get -qq -o APT::Sandbox::User=root "$@" download "$common"
	) >&2 || die "no package linux-headers-$kver"
	for file in "$tmp"/*.deb; do
		dpkg -x "$file" "$tmp/root"
	done
	# Both name each other and the scripts by where they would be installed.
	sed -i "s,/usr/src,$dir/usr/src," "$tmp/root/$build/Makefile"
	mkdir -p "$tmp/root/usr/lib" "$cache/headers"
	ln -s /usr/lib/linux-kbuild-* "$tmp/root/usr/lib/"
	ln -sfn "$dir/$build" "$tmp/root/lib/modules/$kver/build"
	rm -rf "$dir"
	mv "$tmp/root" "$dir"
	rm -rf "$tmp"
}
