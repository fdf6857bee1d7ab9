#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Debian 12 as a whole: the packages are installed, LVM's snapshots taken over, and systemd boots from a root file
# system on LVM that has a snapshot, which dm-scaled activates from the initramfs. The snapshot is merged into root by
# the next boot; it outlives the kernel's upgrade to 6.12, and then the packages' removal, after which stock's module
# has it. A quarter of an hour.
set -euo pipefail
# shellcheck source=tests/host/system.sh
. "$(dirname "$0")/system.sh"
# shellcheck disable=SC2034
SELDOM=host

begin 12
old=$(kernel_of installed)
layer upgraded installed "apt install ./newer/*.deb"
new=$(kernel_of upgraded '6\.12\.')
delta upgraded installed

image installed
# The kernel's upgrade is done in the running system, too, so that the next boot is one of two kernels.
delta=upgraded boot taken installed "$old" take dm_scaled + apply
mv "$dir/disk" "$dir/taken.disk"

# again: another system goes on from there.
again()
{
	cp --sparse=always "$dir/taken.disk" "$dir/disk"
}

echo "---- merged by the next boot"
again
boot old installed "$old" go_on dm_scaled later + merge
boot merged installed "$old" merged dm_scaled

echo "---- the kernel's upgrade, and the packages' removal"
again
purge upgraded "$new"
