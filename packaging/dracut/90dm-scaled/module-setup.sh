#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Has dracut put dm-scaled into the initramfs, where it activates LVM's snapshots, and stock's module, which is loaded
# if dm-scaled cannot be: see modprobe.d/dm-scaled.conf. Package dm-scaled-takeover has it in /usr/lib/dracut/modules.d.

# Called by dracut.
check()
{
	return 0
}

depends()
{
	echo dm
}

# A kernel that DKMS has not built it for gets an initramfs, too: instmods does not mind what is missing.
installkernel()
{
	local kernel=${kernel:-$(uname -r)}

	modprobe -S "$kernel" ${dracutsysrootdir:+-d "$dracutsysrootdir"} -q --show-depends dm-scaled > /dev/null ||
		dwarn "dm-scaled: there is no module for $kernel; LVM's snapshots are left to dm-snapshot"
	hostonly='' instmods dm-scaled dm-snapshot
}

# With hostonly=no, dracut leaves out /etc/modprobe.d.
install()
{
	inst_multiple -o /usr/lib/modprobe.d/dm-scaled.conf /etc/modprobe.d/dm-scaled.conf
}
