# SPDX-License-Identifier: GPL-2.0-only
# Builds dm-scaled.ko and runs its tests; "make help" lists what there is.
#
# Everything generated goes to O=. The kernel's build system writes its objects beside the sources, so it
# is given a folder of links to them, one for each kernel version.

SHELL := /bin/bash
O ?= build
override O := $(abspath $(O))

# The running kernel if its headers are here, else the newest headers that are.
ifdef KDIR
# Not include/config/kernel.release: Debian's has the upstream version there.
KVER ?= $(shell sed -n 's/.*UTS_RELEASE "\(.*\)".*/\1/p' $(KDIR)/include/generated/utsrelease.h)
else
KVER ?= $(shell . tests/vm/lib.sh; \
	if [ -e /lib/modules/$$(uname -r)/build ]; then uname -r; else header_versions | tail -n 1; fi)
KDIR := $(shell . tests/vm/lib.sh; kernel_headers '$(KVER)')
endif
INSTALL_MOD_DIR ?= extra
VERSION := $(shell cat VERSION)
# Where everything but the module is installed.
DESTDIR ?=
PREFIX ?= /usr

moddir := $(O)/$(KVER)/module
testdir := $(moddir)/tests/modules
kunitdir := $(moddir)/tests/kunit
links := $(addprefix $(moddir)/,$(wildcard Kbuild VERSION *.c *.h $(addprefix probes/,Kbuild.include *.c *.sh) \
	$(foreach d,modules kunit,tests/$(d)/Kbuild tests/$(d)/*.[ch])))

# What is given on the command line is passed to every sub-make, and O= means something else to the
# kernel's: pass on only what concerns it.
MAKEOVERRIDES :=
kbuild_vars := W C V CF CHECK CC LLVM ARCH CROSS_COMPILE KCFLAGS KBUILD_MODPOST_WARN
kbuild := +$(MAKE) -C $(KDIR) --no-print-directory \
	$(foreach v,$(kbuild_vars),$(if $(filter command environment,$(firstword $(origin $(v)))),$(v)='$($(v))'))
# For the scripts: only what was asked for, they have a default of their own.
asked := O='$(O)' $(if $(filter command environment,$(firstword $(origin KVER))),KVER='$(KVER)')

all: module

$(links): $(moddir)/%: %
	@mkdir -p $(@D)
	@ln -sfn $(CURDIR)/$< $@

headers:
	@[ -e $(KDIR)/Makefile ] || { echo "no kernel headers in $(KDIR):" \
		"install linux-headers-amd64, or set KVER= or KDIR=" >&2; exit 1; }

module: headers $(links)
	$(kbuild) M=$(moddir) modules

# Kbuild does not see that the symbols of the module have changed.
test-modules: module
	@[ $(testdir)/Module.symvers -nt $(moddir)/Module.symvers ] || rm -f $(testdir)/Module.symvers
	$(kbuild) M=$(testdir) KBUILD_EXTRA_SYMBOLS=$(moddir)/Module.symvers modules

# Nothing is built for a kernel without KUnit. The module's build has asked what the kernel has.
kunit-modules: module
	$(kbuild) M=$(kunitdir) modules

tools:
	+$(MAKE) -C tools O='$(O)' --no-print-directory all

pacer:
	+$(MAKE) -C tests/bench/pacer O='$(O)' --no-print-directory all

install: module
	$(kbuild) M=$(moddir) INSTALL_MOD_DIR=$(INSTALL_MOD_DIR) \
		INSTALL_MOD_PATH='$(INSTALL_MOD_PATH)' modules_install
	depmod $(if $(INSTALL_MOD_PATH),-b '$(INSTALL_MOD_PATH)') $(KVER)

uninstall:
	rm -f '$(INSTALL_MOD_PATH)'/lib/modules/$(KVER)/$(INSTALL_MOD_DIR)/dm-scaled.ko*
	depmod $(if $(INSTALL_MOD_PATH),-b '$(INSTALL_MOD_PATH)') $(KVER)

# The tools for users; the others are for tests and measurements. udev reads rules in the order of their numbers: see
# the file itself.
SBINDIR ?= $(PREFIX)/sbin
sbin := $(DESTDIR)$(SBINDIR)
share := $(DESTDIR)$(PREFIX)/share
lib := $(DESTDIR)$(PREFIX)/lib
UDEV_NUMBER ?= $(if $(wildcard /usr/lib/udev/rules.d/55-dm.rules),57,12)
udev_rules := $(lib)/udev/rules.d/$(UDEV_NUMBER)-dm-scaled.rules
# Which number it was is not known any more.
all_udev_rules := $(foreach n,$(UDEV_NUMBER) 57 12,'$(lib)/udev/rules.d/$(n)-dm-scaled.rules')
user_tools := dmsc-clone dmsc-tab
generators := $(lib)/systemd/system-generators

install-tools:
	+$(MAKE) -C tools O='$(O)' --no-print-directory $(user_tools:%='$(O)/tools/%') '$(O)/tools/dm-scaled-generator'
	install -D -m 755 -t '$(sbin)' $(user_tools:%='$(O)/tools/%')
	install -D -m 755 -t '$(generators)' '$(O)/tools/dm-scaled-generator'
	install -D -m 644 -t '$(share)/man/man5' packaging/man/dm-scaledtab.5
	install -D -m 644 -t '$(share)/man/man7' packaging/man/dm-scaled.7
	install -D -m 644 -t '$(share)/man/man8' $(user_tools:%=packaging/man/%.8)
	install -D -m 644 -t '$(share)/bash-completion/completions' $(user_tools:%=packaging/bash-completion/%)
	install -D -m 644 packaging/udev/dm-scaled.rules '$(udev_rules)'

uninstall-tools:
	rm -f $(foreach t,$(user_tools),'$(sbin)/$(t)' '$(share)/man/man8/$(t).8' \
		'$(share)/bash-completion/completions/$(t)') '$(share)/man/man7/dm-scaled.7' \
		'$(share)/man/man5/dm-scaledtab.5' '$(generators)/dm-scaled-generator' $(all_udev_rules)

# Stock's names, for LVM. Never by another target.
install-takeover:
	install -D -m 644 -t '$(lib)/modprobe.d' packaging/modprobe.d/dm-scaled.conf
	install -D -m 755 -t '$(share)/initramfs-tools/hooks' packaging/initramfs-tools/hooks/dm-scaled
	install -D -m 755 -t '$(lib)/dracut/modules.d/90dm-scaled' packaging/dracut/90dm-scaled/module-setup.sh

uninstall-takeover:
	rm -f '$(lib)/modprobe.d/dm-scaled.conf' '$(share)/initramfs-tools/hooks/dm-scaled'
	rm -rf '$(lib)/dracut/modules.d/90dm-scaled'

# What DKMS builds the module from, for each kernel.
dkms_dir := $(DESTDIR)/usr/src/dm-scaled-$(VERSION)
install-dkms:
	rm -rf '$(dkms_dir)'
	install -D -m 644 -t '$(dkms_dir)' Kbuild VERSION COPYING \
		$(filter-out %.mod.c compat-probes.h,$(wildcard *.c *.h))
	install -D -m 644 -t '$(dkms_dir)/probes' probes/Kbuild.include probes/*.c probes/*.sh
	install -m 755 -t '$(dkms_dir)' packaging/dkms/post-install
	sed 's/#MODULE_VERSION#/$(VERSION)/' packaging/dkms/dkms.conf > '$(dkms_dir)/dkms.conf'

uninstall-dkms:
	rm -rf '$(dkms_dir)'

archive := $(O)/dm-scaled-$(VERSION).tar.xz
dist:
	scripts/dist '$(archive)'

deb: dist
	scripts/build-deb '$(archive)' '$(O)/deb'

rpm: dist
	scripts/build-rpm '$(archive)' '$(O)/rpm'

check:
	@$(asked) TESTS='$(TESTS)' tests/check

# An hour for the stock and the debug kernel together, then what runs on stock on those of later releases.
check-long:
	@$(asked) TESTS='$(TESTS)' SOAK='$(or $(SOAK),1800)' SEED='$(SEED)' tests/check

demo:
	@$(asked) $(if $(CPUS),CPUS='$(CPUS)') $(if $(ROUNDS),ROUNDS='$(ROUNDS)') tests/bench/demo.sh

lab_vars := CPUS WORKLOADS RESULTS ROUNDS
bench bench-quick:
	@$(asked) $(foreach v,$(lab_vars),$(if $($(v)),$(v)='$($(v))')) tests/bench/lab.sh \
		$(if $(findstring quick,$@),--quick) $(if $(AGAIN),--again)

bench-vm:
	@$(asked) $(if $(CPUS),CPUS='$(CPUS)') $(if $(ROUNDS),ROUNDS='$(ROUNDS)') tests/bench/bench.sh

shell:
	@$(asked) tests/vm/shell

clean:
	rm -rf '$(O)'

help:
	@echo 'make                build dm-scaled.ko in $$O/KVER/module/'
	@echo 'make install        install it for the kernel; also INSTALL_MOD_PATH=, INSTALL_MOD_DIR=extra'
	@echo 'make uninstall      remove it again'
	@echo 'make install-dkms   install its sources for DKMS in /usr/src; also DESTDIR='
	@echo 'make install-tools  install the tools for users, manual pages, udev and systemd files; also DESTDIR=, PREFIX=/usr'
	@echo 'make install-takeover'
	@echo "                    install what has LVM use dm-scaled under stock's names: see docs/install.md"
	@echo 'make uninstall-dkms, uninstall-tools, uninstall-takeover'
	@echo '                    remove it again'
	@echo 'make dist           pack the sources: $$O/dm-scaled-$(VERSION).tar.xz'
	@echo 'make deb            build Debian packages in $$O/deb/'
	@echo 'make rpm            build RPM packages in $$O/rpm/'
	@echo 'make tools          build the C++ tools in $$O/tools/'
	@echo 'make pacer          build the simulator of equal CPUs in $$O/pacer/'
	@echo 'make test-modules   build the modules that only tests and benchmarks load'
	@echo 'make kunit-modules  build the unit tests, for a kernel with CONFIG_KUNIT'
	@echo 'make check          run all tests, in a VM; TESTS="NAME..." runs some'
	@echo 'make check-long     an hour of random tests, SEED= says which; SOAK=1800 seconds on stock and debug'
	@echo 'make demo           compare with the stock snapshot in a VM, in a few minutes; CPUS=4'
	@echo 'make bench-vm       the same at length; CPUS="1 4 8", ROUNDS=5'
	@echo 'make bench          measure on simulated machines of 1 to 16 equal CPUs, in hours; goes on where it'
	@echo '                    was interrupted, AGAIN=1: anew; CPUS="1 16", WORKLOADS="cow rewrite", RESULTS='
	@echo 'make bench-quick    the most important part of it in minutes'
	@echo 'make shell          a shell in a VM with the module loaded'
	@echo 'make clean          remove $$O'
	@echo
	@echo 'KVER=VERSION        kernel version ($(KVER))'
	@echo 'KDIR=FOLDER         its headers ($(KDIR))'
	@echo 'O=FOLDER            where everything generated goes ($(O))'
	@echo 'W=, C=, V=          as in the kernel'
	@echo
	@echo 'check, demo, bench* and shell install the packages they need (as root, with apt-get) and'
	@echo 'never load anything on this machine.'

.PHONY: all headers module test-modules kunit-modules tools pacer install uninstall
.PHONY: $(foreach p,tools takeover dkms,install-$(p) uninstall-$(p)) dist deb rpm
.PHONY: check check-long demo bench bench-quick bench-vm shell clean help
