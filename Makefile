# Hypura's front door. `make help` lists what it can do. Everything works from nothing on Debian 12 (as root or with
# sudo): packages that are missing are installed, llama.cpp is fetched, and what was done before is not done again.
MODEL ?= models/hypura-stories-moe.gguf
PROMPT ?= Once upon a time, there was a little rabbit
MEMORY ?= 40M
PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
# More CMake options, e.g. make build CMAKE_FLAGS=-DHYPURA_LLAMA=source
CMAKE_FLAGS ?=
# Which of llama.cpp's libraries for GPUs is fetched: auto, cuda, vulkan or none (scripts/fetch-gpu.sh).
GPU ?= auto
# How long each fuzz target runs.
SECONDS ?= 600
# What make fresh makes on the bare system.
FRESH ?= run test

.PHONY: help run build test bench check asan tsan tidy fuzz format macos fresh install clean
.DEFAULT_GOAL := help
.NOTPARALLEL: # what is installed first is needed by the rest; builds and tests use JOBS by themselves

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: program ## run the 52 MB demo model inside 40 MB (MODEL=, PROMPT=, MEMORY=, GPU= to change)
	build/release/bin/hypura run $(MODEL) --prompt "$(PROMPT)" --memory $(MEMORY) --raw --max-tokens 200 --temp 0

build: packages-run-test-bench llama-models ## the program, the tests and the benchmarks, in build/release
	$(call build,release,tests bench)

test: packages-run-test llama-models ## build, then run all tests
	$(call build,release,tests)
	@ctest --preset release -j $(JOBS)

bench: packages-run-bench llama ## build, then run the benchmarks
	$(call build,release,bench)
	bench/run.sh

check: check-sources tidy asan tsan ## format, includes, docs, clang-tidy; sanitizers; fuzz targets for a moment
	@$(MAKE) --no-print-directory fuzz SECONDS=10

tidy: packages-check build ## clang-tidy over what changed since it last passed
	scripts/check-tidy.py build/release

asan: packages-run-test-check llama-models ## fast tests under the address and undefined-behaviour sanitizers
	$(call build,asan-ubsan,tests)
	@ctest --preset asan-ubsan -j $(JOBS)

tsan: packages-run-test llama-models ## fast tests under the thread sanitizer
	$(call build,tsan,tests)
	@ctest --preset tsan -j $(JOBS)

fuzz: packages-run-check llama-models ## run each fuzz target for SECONDS (600), or those named (TARGETS="json_schema")
	$(call build,asan-ubsan,,fuzz_targets)
	@scripts/fuzz.sh $(SECONDS) $(TARGETS)

format: packages-check ## let clang-format change the sources
	scripts/check-format.sh --fix

macos: packages-run ## cross-compile the program for Apple Silicon, into build/macos/dist
	CMAKE_FLAGS="$(CMAKE_FLAGS)" scripts/build-macos.sh

fresh: ## try the README's commands on a bare Debian 12, in a chroot; as root (FRESH="run" for the first alone)
	@scripts/fresh.sh $(FRESH)

install: packages-run llama ## install the program, and libhypura to embed, into PREFIX (/usr/local)
	$(call build,release,,hypura libhypura)
	cmake --install build/release --prefix $(PREFIX)
	cmake --install build/release --prefix $(PREFIX) --component library

clean: ## remove everything that was built
	rm -rf build

# build PRESET,PARTS[,TARGET]: configured where that was not done, options given here always.
define build
@scripts/configure.sh $(1) "$(2)" $(CMAKE_FLAGS)
@cmake --build --preset $(1) -j $(JOBS) $(if $(3),--target $(3))
endef

.PHONY: program llama llama-models check-sources

check-sources: packages-check
	scripts/llama-pin.sh check
	scripts/check-format.sh
	scripts/check-imports.py
	scripts/check-docs.py

program: packages-run llama
	$(call build,release,,hypura)

# packages-GROUP-GROUP: the groups of scripts/packages.txt.
packages-%:
	@scripts/install-packages.sh $(subst -, ,$*)

llama: packages-run
	@scripts/fetch-llama.sh
	@scripts/fetch-gpu.sh $(GPU)

llama-models: packages-run
	@scripts/fetch-llama.sh --models
	@scripts/fetch-gpu.sh $(GPU)
