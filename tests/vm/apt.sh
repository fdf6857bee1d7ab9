# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# For the scripts here that fetch packages of Debian's kernels, also of other releases, into the cache. They install
# nothing, and have lists of their own: nothing changes on this machine.
# shellcheck source=tests/vm/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

mirror=${DEBIAN_MIRROR:-http://deb.debian.org}
# Where kernels are looked for. Testing and sid are not among them: what they have is only tried.
suites=(bookworm bookworm-updates bookworm-backports trixie trixie-updates trixie-backports)
secure=(bookworm-security trixie-security)
arch=amd64
apt_dir=$cache/apt-headers

# One script at a time: they share a folder, which apt_done removes.
apt_lock()
{
	local lock

	mkdir -p "$cache"
	exec {lock}> "$cache/headers.lock"
	flock "$lock"
}

apt_done()
{
	rm -rf "$apt_dir"
}

apt_options()
{
	local suite keys=/usr/share/keyrings/debian-archive-keyring.gpg

	mkdir -p "$apt_dir"/{lists,cache/archives}/partial
	for suite in "${suites[@]}"; do
		echo "deb [signed-by=$keys] $mirror/debian $suite main"
	done > "$apt_dir/sources.list"
	for suite in ${secure[@]+"${secure[@]}"}; do
		echo "deb [signed-by=$keys] $mirror/debian-security $suite main"
	done >> "$apt_dir/sources.list"
	options=(
		-o Dir::Etc::sourcelist="$apt_dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o Dir::State::lists="$apt_dir/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$apt_dir/cache"
		-o "APT::Architecture=$arch" -o "APT::Architectures::=$arch" -o APT::Sandbox::User=root
		-o APT::Install-Recommends=false -o Acquire::Languages=none
	)
}

apt_lists()
{
	[[ ! ${options:-} ]] || return 0
	apt_options
	# A list that cannot be had just now leaves older versions.
	apt-get -qq "${options[@]}" update >&2 || true
}

# apt_depends PACKAGE: what it depends on, in one line
apt_depends()
{
	apt-cache "${options[@]}" show "$1" | sed -n 's/^Depends: //p' | head -n 1
}

# apt_fetch PACKAGE...: the packages' files, into $apt_dir/deb, which has no others afterwards
apt_fetch()
{
	rm -rf "$apt_dir/deb"
	mkdir -p "$apt_dir/deb"
	(cd "$apt_dir/deb" && apt-get -qq "${options[@]}" download "$@") >&2
}

# Versions that begin like $1, from names in stdin, newest last.
like()
{
	# 6.1 is not 6.12.
	awk -v want="$1" 'index($0, want) == 1 && (want == "" || substr($0, length(want) + 1) !~ /^[0-9]/)' |
		grep -v -e -rt- -e -cloud- | sort -V
}

# unpack DIR FILE...
unpack()
{
	local dir=$1 file

	shift
	for file in "$@"; do
		dpkg -x "$file" "$dir"
	done
}
