# What a clone needs: Debian 12, Rust, root. `make help` lists the targets.
SHELL := /bin/bash
CARGO ?= cargo
PREFIX ?= /usr/local
OSBUILD ?= /usr/lib/osbuild
# One place for built images and for the target directory, whatever CARGO_TARGET_DIR says.
TARGET := $(or $(CARGO_TARGET_DIR),target)
LAB := $(or $(BOOTROOT_CACHE),$(TARGET)/lab)

.PHONY: help setup build demo test boot-test check images bench install install-osbuild clean-lab

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## install the Debian packages that demo and tests need
	@scripts/setup

build: ## the release binary
	$(CARGO) build --locked --release -p cli

demo: setup build ## build a Debian image, pull, deploy, show status, boot it in QEMU
	@BOOTROOT=$(TARGET)/release/bootroot BOOTROOT_CACHE=$(LAB) scripts/demo

test: setup check images ## everything, ending with the test runner's summary
	BOOTROOT_CACHE=$(abspath $(LAB)) scripts/run-tests

boot-test: setup images ## machines that upgrade themselves for minutes: power cuts, systemd, boot loaders
	BOOTROOT_CACHE=$(abspath $(LAB)) $(CARGO) nextest run --locked --workspace --test boot_long --run-ignored only

check: ## format, lints, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

images: setup ## the images that tests boot (cached)
	@BOOTROOT_CACHE=$(LAB) scripts/build-mini-image $(LAB)/mini
	@BOOTROOT_CACHE=$(LAB) scripts/build-mini-image $(LAB)/mini-of-sid --suite sid

bench: setup build ## measure against the real tools, on the demo image and a large one
	@BOOTROOT_CACHE=$(LAB) scripts/build-demo-image $(LAB)/demo
	@BOOTROOT_CACHE=$(LAB) scripts/build-large-image $(LAB)/large
	$(CARGO) run --locked --release -p xtask -- bench $(LAB)/demo $(LAB)/large

install: build ## into $(DESTDIR)$(PREFIX)
	install -Dm755 $(TARGET)/release/bootroot $(DESTDIR)$(PREFIX)/bin/bootroot
	install -Dm755 dracut/37bootroot/module-setup.sh \
		$(DESTDIR)$(PREFIX)/lib/dracut/modules.d/37bootroot/module-setup.sh
	sed 's,/usr/bin/bootroot,$(PREFIX)/bin/bootroot,' dracut/37bootroot/bootroot-setup-root.service | install -Dm644 \
		/dev/stdin $(DESTDIR)$(PREFIX)/lib/dracut/modules.d/37bootroot/bootroot-setup-root.service
	for unit in systemd/*; do \
		sed 's,/usr/bin/bootroot,$(PREFIX)/bin/bootroot,' $$unit | \
			install -Dm644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/$$(basename $$unit); \
	done

install-osbuild: build ## the stages of osbuild, into $(DESTDIR)$(OSBUILD)
	for meta in osbuild/*.meta.json; do \
		stage=$$(basename $$meta .meta.json); \
		install -Dm755 $(TARGET)/release/bootroot $(DESTDIR)$(OSBUILD)/stages/$$stage; \
		install -Dm644 $$meta $(DESTDIR)$(OSBUILD)/stages/$$stage.meta.json; \
	done

clean-lab: ## remove the cached images
	-@chattr -f -i $(LAB)/demo-sysroot/ostree/deploy/*/deploy/*/ 2>/dev/null
	rm -rf $(LAB)
