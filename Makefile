# A thin top over meson and ninja; what each target does stands in tools/.
.DEFAULT_GOAL := help
.PHONY: help build run test check bench fuzz kernel61 lint cover suites format install clean

PREFIX  ?= /usr/local
SUITES  ?= ../shared/suites
PYTHON  := /usr/bin/python3

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## install what is missing and build the release into build/release
	@tools/setup build
	@$(PYTHON) tools/build.py release

run: ## install what is missing, build, and serve two clusters until interrupted; as root in a world of namespaces, with a flood
	@tools/setup build run
	@if [ "$$(id -u)" = 0 ]; then exec $(PYTHON) tools/demo.py; else exec $(PYTHON) tools/run.py; fi

test: ## install what is missing, build everything and run every test
	@tools/setup build run test
	@$(PYTHON) tools/test.py

check: ## the fast tests, in seconds: unit, layers, format
	@tools/setup build test
	@$(PYTHON) tools/test.py --fast

bench: ## measure beside nginx, HAProxy and libmodsecurity; writes docs/benchmarks.md
	@tools/setup build bench
	@$(PYTHON) tools/build.py release tests/bench/bench-origin tests/bench/bench-relay tests/bench/bench-load tests/bench/bench-filter src/cli/polder
	@$(PYTHON) tools/build.py release tests/bench/bench-users tests/bench/bench-attack tests/bench/bench-application tests/bench/bench-syn-flood
	@$(PYTHON) tests/bench/bench_gate.py $(BENCH_ARGS)
	@build/release/tests/bench/bench-filter || test $$? = 77 # 77: not root
	@$(PYTHON) tests/bench/bench_waf.py $(BENCH_WAF_ARGS)
	@$(PYTHON) tests/bench/bench_perimeter.py $(BENCH_PERIMETER_ARGS)

fuzz: ## run each fuzz target for FUZZ_SECONDS (30), or only FUZZ_TARGETS
	@tools/setup build test
	@$(PYTHON) tools/fuzz.py

kernel61: ## the walls on Debian 12's own kernel, booted in QEMU; writes docs/kernels.md
	@tools/setup build test kernel61
	@$(PYTHON) tools/kernel61.py

lint: ## clang-format, clang-tidy, cppcheck, layers, shellcheck, manual pages
	@tools/setup build test lint
	@$(PYTHON) tools/lint.py

cover: ## coverage of all tests, as build/cover/report/index.html
	@tools/setup build run test cover
	@$(PYTHON) tools/cover.py

suites: ## outside test suites from SUITES=DIR, and the firewall beside ModSecurity's own engines
	@tools/setup build run suites
	@tools/suites "$(SUITES)"

format: ## lay out the code in place
	@$(PYTHON) tools/format.py

install: ## install into DESTDIR and PREFIX (/usr/local)
	@tools/setup build
	@$(PYTHON) tools/build.py release --prefix "$(PREFIX)"
	@meson install -C build/release --no-rebuild
	@tools/installed "$(DESTDIR)" "$(PREFIX)"

clean: ## remove what was built
	rm -rf build
