# A thin front for CMake. `make check` runs the tests; `make help` lists the rest.
PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
CMAKE ?= cmake
# Further options for CMake, such as -DTRI_WERROR=ON.
CMAKE_OPTIONS ?=
# How long make torture runs in all.
MINUTES ?= 10
# Ninja where it is, CMake's own choice elsewhere; a build folder keeps the generator it was made with.
generator = $(if $(wildcard build/$(1)/CMakeCache.txt),,$(if $(shell command -v ninja),-G Ninja))
configure = $(CMAKE) --preset $(1) $(call generator,$(1)) $(2) $(CMAKE_OPTIONS)

.PHONY: all demo check guide torture bench performance install format clean help
.NOTPARALLEL:

all:
	$(call configure,release)
	$(CMAKE) --build build/release -j $(JOBS)

demo:
	@tools/dev/install_needed.sh demo
	@$(call configure,release,-DTRI_BUILD_EXAMPLES=ON) >/dev/null
	@tools/dev/run_demo.sh build/release $(JOBS)

check:
	@tools/dev/install_needed.sh check
	@$(call configure,debug)
	@$(CMAKE) --build build/debug -j $(JOBS)
	@tools/dev/run_tests.sh build/debug

guide:
	@tools/dev/install_needed.sh demo
	@$(call configure,release,-DTRI_BUILD_EXAMPLES=ON) >/dev/null
	@$(CMAKE) --build build/release -j $(JOBS)
	@python3 tools/dev/compare_guide.py build/release

torture:
	@tools/dev/install_needed.sh check
	@$(call configure,debug) >/dev/null
	@$(CMAKE) --build build/debug -j $(JOBS) --target torture
	@tests/torture/run.sh build/debug/tests/torture $(MINUTES)

bench:
	@tools/dev/install_needed.sh bench
	$(call configure,release,-DTRI_BUILD_BENCH=ON)
	$(CMAKE) --build build/release -j $(JOBS)
	python3 bench/run.py --build-dir build/release $(BENCH_OPTIONS)

performance: bench
	python3 bench/plots.py build/release/bench/results.json

# DESTDIR is honoured.
install:
	$(call configure,release,-DCMAKE_INSTALL_PREFIX=$(PREFIX))
	$(CMAKE) --build build/release -j $(JOBS) --target tricolor tricolor_static tricolor-manual tricolor-tools
	$(CMAKE) --install build/release --prefix $(PREFIX)

format:
	tools/dev/check_format.sh --fix

clean:
	rm -rf build

help:
	@echo "make            build the optimised library into build/release"
	@echo "make demo       build and show the text index: the same program with tricolor and with malloc"
	@echo "make check      build with assertions and run all tests"
	@echo "make guide      run the guide's programs beside their Go originals and compare what they print"
	@echo "make torture    move the only pointers to objects about while collecting, for MINUTES=$(MINUTES) in all"
	@echo "make bench      measure against bdwgc and malloc (BENCH_OPTIONS=... for bench/run.py)"
	@echo "make performance  make bench, and docs/performance.md with its charts from what it measured"
	@echo "make install    install below PREFIX=$(PREFIX); DESTDIR is honoured"
	@echo "make format     lay the sources out with clang-format 14"
	@echo "make clean      remove build/"
	@echo "demo, check, bench and performance install what they need through apt, saying what and why"
