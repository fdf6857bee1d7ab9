# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What is measured: for the host, which must know what there is, and for the guest, which does it.
#
# Targets: raw is null_blk itself, linear dm-linear on it, stock and ours the snapshots, with what they are made of:
#   device     what is written to or read: origin, or snap, the snapshot itself
#   chunk      sectors per chunk
#   snapshots  of the origin
#   store      N or P
#   flush_ms   the COW device has a volatile cache whose flush takes so long; 0: it has none
#   irqmode    of null_blk: 0 completes at once on the CPU that submits, 1 by softirq, 2 after latency_ns by a timer
#   depth      I/Os of each job at a time
#   rw, bs     what fio does, and in which size; each block once
#   interleaved  each of N jobs writes each Nth block, in their order, instead of a part of its own
#   rate       I/Os of each job in a second; 0: as many as there can be
#   jobs       if not one on each CPU
#   disk       null: null_blk, which keeps no data; ram: brd, which does, and has no queue
#   buffered   fio writes through the page cache, of the device, or of a file on a file system, "ext4", and waits after
#              each $fsync I/Os until all has been written
#   beside     what others do meanwhile: DEVICE:RW:BS:DEPTH:JOBS:RATE, no JOBS: one on each CPU; RATE: so many I/Os a
#              second of all of them. If it is the device that fio measures each has one half of it
#   used_kb    where each job writes if all of that has to be written or discarded before
#   before     "fill": all of that is written once before, through the origin, in the way of fill_rw; "discard": all
#              regions of a clone are hydrated before; "discard-used": those that are used
#   hydrates   the background hydrates a clone meanwhile
#   exceptions of device merge: chunks, each by itself, that are merged meanwhile
# Of device clone, chunk is the size of its regions.
all_workloads=(cow cow-16k cow-64k cow-2-snapshots cow-4-snapshots cow-softirq cow-interleaved cow-80us rewrite
	snapshot-write snapshot-write-partial snapshot-read snapshot-read-cow engine cow-persistent
	snapshot-write-persistent cow-persistent-flush cow-persistent-depth-1 snapshot-write-persistent-depth-1
	clone-4k clone-64k clone-hydrated clone-used clone-used-hydrating large-write large-rewrite
	large-snapshot-read large-snapshot-read-half large-snapshot-read-copied large-snapshot-write
	snapshot-ext4-fsync snapshot-ext4-fsync-no-cache large-write-persistent large-write-128k
	large-write-64k-random large-write-16k-chunks large-write-64k-chunks
	large-rewrite-64k-chunks large-snapshot-read-64k-chunks large-clone large-buffered large-ext4 backup backup-of-used
	write-beside-large write-beside-large-persistent merge-used merge-used-merging redirect redirect-16k
	redirect-16k-partial redirect-4k-of-64k)

# run_name WORKLOAD CPUS [ROUND]: the folder of a run
run_name()
{
	echo "$1-$2$( ((${3:-1} == 1)) || echo ".$3")"
}

no_workload()
{
	echo "no workload $1; there are: ${all_workloads[*]}" >&2
	return 1
}

# Sets what is used by those who source this file.
# shellcheck disable=SC2034
describe_workload()
{
	targets=(stock ours)
	device=origin chunk=8 snapshots=1 store=N flush_ms=0 irqmode=0 latency_ns=10000 depth=16 rw=randwrite before=''
	rate=0 hydrates='' exceptions=0 bs=4k fill_rw=randwrite jobs='' disk=null buffered='' fsync=4 beside=''
	interleaved=''
	# So little that it does not take long.
	used_kb=1024
	case $1 in
	cow) targets=(raw linear stock ours) ;;
	cow-16k) chunk=32 ;;
	cow-64k) chunk=128 ;;
	cow-2-snapshots) snapshots=2 ;;
	cow-4-snapshots) snapshots=4 ;;
	cow-softirq) irqmode=1 targets=(raw stock ours) ;;
	# All CPUs have chunks of the same MiB at a time, and so of one bucket.
	cow-interleaved) interleaved=y targets=(linear stock ours) ;;
	cow-80us) irqmode=2 latency_ns=80000 depth=32 targets=(raw stock ours) ;;
	rewrite) before=fill targets=(linear stock ours) ;;
	snapshot-write) device=snap targets=(linear stock ours) ;;
	snapshot-write-partial) device=snap chunk=32 ;;
	snapshot-read) device=snap rw=randread targets=(linear stock ours) ;;
	snapshot-read-cow) device=snap rw=randread beside=origin:randwrite:4k:16: ;;
	engine) before=engine ;;
	cow-persistent) store=P ;;
	cow-persistent-flush) store=P flush_ms=1 irqmode=2 latency_ns=80000 ;;
	cow-persistent-depth-1) store=P depth=1 ;;
	snapshot-write-persistent) store=P device=snap ;;
	snapshot-write-persistent-depth-1) store=P device=snap depth=1 ;;
	# What a database or a mail server does.
	snapshot-ext4-fsync)
		store=P device=snap disk=ram buffered=ext4 fsync=1 depth=1 flush_ms=1
		targets=(linear stock ours) ;;
	snapshot-ext4-fsync-no-cache)
		describe_workload snapshot-ext4-fsync
		flush_ms=0 ;;
	clone-4k) device=clone ;;
	clone-64k) device=clone chunk=128 ;;
	clone-hydrated) device=clone before=discard targets=(linear stock ours) ;;
	clone-used) device=clone irqmode=2 latency_ns=80000 depth=4 rate=800 before=discard-used ;;
	clone-used-hydrating)
		describe_workload clone-used
		hydrates=y ;;
	# Of a merging target: with nothing to merge, and with all that there can be.
	merge-used) device=merge exceptions=1 irqmode=2 latency_ns=80000 depth=4 rate=800 ;;
	merge-used-merging)
		describe_workload merge-used
		exceptions=120000 ;;
	# To a persistent snapshot that is in use instead of its origin.
	redirect) device=snap store=P targets=(linear ours) ;;
	redirect-16k) device=snap store=P chunk=32 bs=16k targets=(linear ours) ;;
	redirect-16k-partial) device=snap store=P chunk=32 targets=(linear ours) ;;
	redirect-4k-of-64k) device=snap store=P chunk=128 targets=(linear ours) ;;
	# As dd reads it, while others write to the origin.
	backup) device=snap rw=read bs=1m depth=1 jobs=1 beside=origin:randwrite:4k:4: targets=(linear stock ours) ;;
	# The origin's users do not do as much as they can.
	backup-of-used)
		describe_workload backup
		beside+=:1000 ;;
	write-beside-large-persistent)
		describe_workload write-beside-large
		store=P ;;
	write-beside-large) depth=1 jobs=1 beside=origin:write:1m:4:1 targets=(linear stock ours) ;;
	large-*)
		bs=1m depth=4 rw=write used_kb=65536 targets=(linear stock ours)
		case $1 in
		large-write) targets=(raw linear stock ours) ;;
		large-rewrite) before=fill rw=randwrite ;;
		large-snapshot-read) device=snap rw=read ;;
		# Each other chunk: the worst that there is.
		large-snapshot-read-half) device=snap rw=read before=fill fill_rw=write:4k ;;
		large-snapshot-read-copied) device=snap rw=read before=fill fill_rw=write ;;
		large-snapshot-write) device=snap ;;
		large-write-persistent) store=P ;;
		large-write-128k) bs=128k depth=16 ;;
		large-write-64k-random) bs=64k depth=16 rw=randwrite ;;
		large-write-16k-chunks) chunk=32 ;;
		large-write-64k-chunks) chunk=128 ;;
		large-rewrite-64k-chunks) chunk=128 before=fill rw=randwrite ;;
		large-snapshot-read-64k-chunks) chunk=128 device=snap rw=read ;;
		large-buffered) buffered=y depth=1 ;;
		large-ext4) buffered=ext4 disk=ram depth=1 ;;
		large-clone) device=clone chunk=128 ;;
		*) no_workload "$1" ;;
		esac ;;
	*) no_workload "$1" ;;
	esac
}
