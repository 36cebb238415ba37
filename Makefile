# A thin face on Meson: `make` builds build/lambkin, everything else is a script in tools/.
# Two commands do all the set-up on a bare Debian 12 machine: `make demo` and `make check`.

BUILD ?= build
PREFIX ?= /usr/local

.PHONY: all deps demo check check-fast format generated bench bench-compare install clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) src/cli/lambkin
	@ln -sf src/cli/lambkin $(BUILD)/lambkin

$(BUILD)/build.ninja:
	@sh tools/install_deps.sh build
	@meson setup $(BUILD) --prefix=$(PREFIX) -Dtests=auto >$(BUILD)-setup.log 2>&1 \
		|| { cat $(BUILD)-setup.log; exit 1; }

deps:
	@sh tools/install_deps.sh build tests

demo: all
	@sh tools/install_deps.sh runtimes
	@bash tools/demo.sh $(BUILD)/lambkin

# Everything: style, layers, generated files, unit, contract, sandbox, SDK, crash, fuzz, sanitizers.
check:
	@bash tools/check.sh all

# What takes seconds: style, layers, generated files, unit and contract tests.
check-fast:
	@bash tools/check.sh fast

format:
	@git ls-files '*.c' '*.h' | grep -v '^src/wire/gen/' \
		| xargs $$(command -v clang-format-14 || echo clang-format) -i

generated:
	@bash tools/check.sh generated

# Prints ratios measured in one run; nothing fails on a number, and a part that cannot run here does
# not keep the others from it.
bench: all
	@sh tools/install_deps.sh tests bench
	@ninja -C $(BUILD) bench/queue_load bench/latency bench/gateway_load bench/sandbox_bench \
		test/sandbox/guest >/dev/null
	-@.venv/bin/python bench/bench.py --lambkin $(BUILD)/lambkin
	-@.venv/bin/python bench/queues.py --lambkin $(BUILD)/lambkin
	-@.venv/bin/python bench/gateway.py --lambkin $(BUILD)/lambkin
	-@.venv/bin/python bench/packages.py --lambkin $(BUILD)/lambkin
	-@$(BUILD)/bench/sandbox_bench $(BUILD)/test/sandbox 60
	-@.venv/bin/python bench/coldstart.py --lambkin $(BUILD)/lambkin \
		--sandbox-bench $(BUILD)/bench/sandbox_bench --guests $(BUILD)/test/sandbox

# Lambkin beside others: they come from npm into build/bench-peers; RIE=PATH adds AWS's emulator.
bench-compare: all
	@sh tools/install_deps.sh tests bench
	@.venv/bin/python bench/compare.py --lambkin $(BUILD)/lambkin --peers $(BUILD)/bench-peers \
		$(if $(RIE),--rie $(RIE)) --svg $(BUILD)/bench-compare.svg
	@echo "plot: $(BUILD)/bench-compare.svg"

install: all
	@meson install -C $(BUILD) --no-rebuild

clean:
	@rm -rf build build-check build-asan build-setup.log test/node/node_modules .venv .home
