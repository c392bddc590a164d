# Hypura's front door. `make help` lists what it can do. Everything works from nothing on Debian 12 (as root or with
# sudo): packages that are missing are installed, llama.cpp is fetched, and what was done before is not done again.
MODEL ?= models/hypura-stories-moe.gguf
PROMPT ?= Once upon a time, there was a little rabbit
MEMORY ?= 40M
PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
# More CMake options, e.g. make build CMAKE_FLAGS=-DHYPURA_LLAMA=source
CMAKE_FLAGS ?=

.PHONY: help run build test bench check asan tsan format macos install clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: program ## run the 52 MB demo model inside 40 MB (MODEL=, PROMPT=, MEMORY= to change)
	build/release/bin/hypura run $(MODEL) --prompt "$(PROMPT)" --memory $(MEMORY) --raw --max-tokens 200 --temp 0

build: configure-release ## the program, the tests and the benchmarks, in build/release
	@cmake --build --preset release -j $(JOBS)

test: build ## build, then run all tests
	@ctest --preset release -j $(JOBS)

bench: build ## build, then run the benchmarks
	bench/run.sh

check: check-packages build asan tsan ## format, includes, clang-tidy; fast tests under the sanitizers
	scripts/check-format.sh
	scripts/check-imports.py
	scripts/check-tidy.sh build/release

asan: configure-asan-ubsan ## fast tests under the address and undefined-behaviour sanitizers
	@cmake --build --preset asan-ubsan -j $(JOBS)
	@ctest --preset asan-ubsan -j $(JOBS)

tsan: configure-tsan ## fast tests under the thread sanitizer
	@cmake --build --preset tsan -j $(JOBS)
	@ctest --preset tsan -j $(JOBS)

format: check-packages ## let clang-format change the sources
	scripts/check-format.sh --fix

macos: packages ## cross-compile the program for Apple Silicon, into build/macos/dist
	scripts/build-macos.sh

install: program ## install into PREFIX (/usr/local)
	cmake --install build/release --prefix $(PREFIX)

clean: ## remove everything that was built
	rm -rf build

.PHONY: program packages check-packages dependencies

program: configure-release
	@cmake --build --preset release -j $(JOBS) --target hypura

packages:
	@scripts/install-packages.sh build

check-packages:
	@scripts/install-packages.sh build check

dependencies: packages
	@scripts/fetch-llama.sh

# CMake's own rules configure again when its files change; options given here always do.
configure-%: dependencies
	@if [ ! -f build/$*/build.ninja ] || [ -n "$(CMAKE_FLAGS)" ]; then cmake --preset $* $(CMAKE_FLAGS); fi
