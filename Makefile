# SPDX-License-Identifier: GPL-2.0-or-later
#
# The one entry to building, trying and testing; `make help` lists the goals.
#
# Everything made lands in build/: vmm.ko per kernel in build/<kernel>/, the
# library and the program in build/, self-tests in build/selftests/, unit tests
# in build/unit/. Packages, kernels and their headers are scripts/setup's: it
# runs first and writes what it found to build/config.mk.
#
# A directory without a Makefile is left out, so that a part can be taken away.

VMM_VERSION := 0.1.0
BUILD := $(CURDIR)/build
PREFIX ?= /usr/local
KERNELS := 6.1 6.12

export VMM_VERSION PREFIX DESTDIR
export VMM_BUILD := $(BUILD)

.PHONY: all modules lib runner selftests unit demo test test-quick lint bench
.PHONY: debug install modules_install clean help FORCE
.SUFFIXES:
.DEFAULT_GOAL := all

ifneq ($(filter-out clean help,$(or $(MAKECMDGOALS),all)),)
include $(BUILD)/config.mk
endif
export KSRC

# Left alone when nothing changed, so that make starts over only on news.
$(BUILD)/config.mk: FORCE
	@scripts/setup --quiet --mk $@

all: modules lib runner selftests unit

# ---- module -------------------------------------------------------------
#
# KDIR=<build directory> builds for that kernel alone, into
# build/<KNAME or its release>/. An out-of-tree build writes beside its
# sources, so every kernel gets its own tree of links to them.

release_of = $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(1)/include/generated/utsrelease.h)

ifdef KDIR
KNAME ?= $(call release_of,$(KDIR))
KERNELS := $(KNAME)
KDIR_$(KNAME) := $(KDIR)
endif

module_sources = $(shell find Kbuild kmod include -type f 2>/dev/null)
kbuild = $(MAKE) --no-print-directory -C $(KDIR_$*) M=$(BUILD)/$*/src \
	CONFIG_DEBUG_INFO_BTF_MODULES=

modules: $(KERNELS:%=$(BUILD)/%/vmm.ko)

# The host kernel with all checkers; the first time builds that kernel.
debug: FORCE
	@scripts/setup --quiet --mk $(BUILD)/config.mk build debug
	@$(MAKE) --no-print-directory $(BUILD)/debug/vmm.ko

$(patsubst %,$(BUILD)/%/vmm.ko,$(KERNELS) debug): $(BUILD)/%/vmm.ko: FORCE
	@[ -n "$(KDIR_$*)" ] && [ -e "$(KDIR_$*)/Makefile" ] || \
		{ echo "make: no kernel headers for $*: set KDIR or run scripts/setup" >&2; exit 1; }
	@scripts/links $(BUILD)/$*/src $(module_sources)
	@+$(kbuild) modules
	@cmp -s $(BUILD)/$*/src/vmm.ko $@ || cp $(BUILD)/$*/src/vmm.ko $@

# ---- user space ---------------------------------------------------------

subdir = $(if $(wildcard $@/Makefile),+@$(MAKE) --no-print-directory -s -C $@ O=$(BUILD),@:)

lib:
	$(subdir)

runner: lib
	$(subdir)

selftests: lib runner
	$(subdir)

unit: lib
	$(subdir)

# ---- use and test -------------------------------------------------------

demo: modules lib runner
	@scripts/demo

test: all
	@scripts/setup --quiet bochs guests debian
	@scripts/test all

test-quick: all
	@scripts/test quick

lint:
	@scripts/lint

bench: all
	@$(MAKE) --no-print-directory -C bench O=$(BUILD)

# ---- installation -------------------------------------------------------

install: lib runner
	install -d $(DESTDIR)$(PREFIX)/include/linux
	install -m 644 include/uapi/linux/vmm.h $(DESTDIR)$(PREFIX)/include/linux/
	$(MAKE) --no-print-directory -C lib O=$(BUILD) install
	$(MAKE) --no-print-directory -C runner O=$(BUILD) install

# Into the running kernel, or into the one of KDIR.
modules_install: KREL = $(if $(KDIR),$(call release_of,$(KDIR)),$(shell uname -r))
modules_install:
	$(MAKE) --no-print-directory modules KNAME=$(KREL) \
		KDIR=$(or $(KDIR),/lib/modules/$(KREL)/build)
	install -D -m 644 $(BUILD)/$(KREL)/vmm.ko \
		$(DESTDIR)/lib/modules/$(KREL)/extra/vmm.ko
	$(if $(DESTDIR),@echo "depmod $(KREL) is for the machine that gets $(DESTDIR)",depmod $(KREL))

clean:
	rm -rf $(BUILD)

help:
	@sed -n 's/^#: \?//p' $(MAKEFILE_LIST)

#: make                  module for 6.1 and 6.12, library, program, self-tests
#: make demo             boots a stock Debian kernel as a guest
#: make test             every test; last line: N passed, N failed, N skipped
#: make test-quick       the part of it that takes under two minutes
#: make lint             style, sparse, and the borders of the architecture
#: make bench            the yardstick against in-tree KVM
#: make debug            the host kernel with KASAN and lockdep, and the module for it
#: make install          program, library, header, man pages (DESTDIR, PREFIX)
#: make modules_install  vmm.ko for the running kernel (or KDIR), and depmod
#: make clean            removes build/
#:
#: KDIR=DIR              builds the module for that kernel only
#: V=1                   shows the kernel build's commands
#:
#: Single parts: make modules | lib | runner | selftests | unit
