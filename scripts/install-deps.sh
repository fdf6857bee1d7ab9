#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Installs the Debian packages that building and testing need; does nothing when they are there.
# Arguments are further packages.
set -euo pipefail

packages=(
	build-essential ccache kmod linux-headers-amd64
	libaio-dev libcli11-dev liburing-dev nlohmann-json3-dev
	qemu-system-x86 cpio busybox-static
	dmsetup dmeventd lvm2 initramfs-tools-core fio blktrace nvme-cli nbd-server nbd-client e2fsprogs xfsprogs util-linux
	mawk procps diffutils
	clang-format clang-tidy coccinelle cppcheck shellcheck sparse perl xz-utils linux-source-6.1
	bc bison flex libelf-dev libssl-dev pahole zstd
	debhelper dh-dkms dkms dpkg-dev lintian man-db openssl rpm
	mmdebstrap ovmf
	"$@"
)

missing()
{
	comm -13 <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u) \
		<(printf '%s\n' "${packages[@]}" | sort -u)
}

todo=$(missing)
[[ $todo ]] || exit 0
# One word for each package.
todo=${todo//$'\n'/ }
if ((EUID)); then
	echo "${0##*/}: not root; install these packages first: $todo" >&2
	exit 1
fi
echo "installing $todo"
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
# shellcheck disable=SC2086
"${apt[@]}" install --no-install-recommends $todo > /dev/null 2>&1 || {
	"${apt[@]}" update > /dev/null
	# shellcheck disable=SC2086
	"${apt[@]}" install --no-install-recommends $todo > /dev/null
}
