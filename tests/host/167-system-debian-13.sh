#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Debian 13 as a whole, with the packages that are made here, on Debian 12: a snapshot of root after a boot, and merged
# into root by the next one, as in 166. Then an origin and its snapshot in /etc/dm-scaledtab, on logical volumes, and a
# shutdown while the origin is in use, with LVM's blkdeactivate. A kernel that wants signatures refuses the module, and
# leaves the snapshot of root to stock's, until the machine's key is enrolled; then the packages are removed, as in 166.
# Twelve minutes.
set -euo pipefail
# shellcheck source=tests/host/system.sh
. "$(dirname "$0")/system.sh"
# shellcheck disable=SC2034
SELDOM=host

begin 13
kernel=$(kernel_of installed)

image installed
boot taken installed "$kernel" take dm_scaled
cp --sparse=always "$dir/disk" "$dir/taken.disk"
boot next installed "$kernel" go_on dm_scaled later + merge
boot merged installed "$kernel" merged dm_scaled + tab

echo "---- /etc/dm-scaledtab"
boot tab installed "$kernel" tab_active + tab_written
boot kept installed "$kernel" tab_active + tab_kept

echo "---- a kernel that wants signatures"
mv "$dir/taken.disk" "$dir/disk"
cp /usr/share/OVMF/OVMF_VARS_4M.fd "$dir/vars"
# shellcheck disable=SC2054
firmware=(
	-drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd
	-drive "if=pflash,unit=1,format=raw,file=$dir/vars"
)
append=module.sig_enforce=1
boot refused installed "$kernel" refused + enrol

echo "---- its key is enrolled; the packages' removal"
purge installed "$kernel"
