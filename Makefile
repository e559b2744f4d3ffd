# Two commands matter: `make demo` and `make test`. They and the measurements check for what they need and install what is
# missing, on Debian and Ubuntu as root or with sudo; elsewhere they say exactly what is missing.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo demo-down test soak fuzz bench bench-serving bounds lint crds prerequisites

# The test cluster makes interfaces and mounts. Everything else runs as whoever called.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo 'sudo --preserve-env env "PATH=$$PATH" "HOME=$$HOME"')
TARGET := $(or $(CARGO_TARGET_DIR),target)
# The architecture whose kernels nobody builds here.
OTHER := aarch64-unknown-linux-gnu
# Always built together: another selection has other features, and so compiles the dependencies anew.
PROGRAMS := -p ostler-operator -p ostler-sidecar -p ostler-test-hub -p ostler-e2e

help: ## Say what there is.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

prerequisites: ## Check for compilers, libraries and tools, and install what is missing.
	@scripts/prerequisites.sh

demo: prerequisites ## A cluster on this machine, Ostler in it, a transcript, a translation, a change of version.
	@# The cluster's programs are built from Go modules beside the Rust build, as each leaves cores idle at times.
	@e2e/cluster/binaries.sh >/dev/null & \
	cargo build --release $(PROGRAMS) && wait $$!
	@$(AS_ROOT) $(TARGET)/release/ostler-e2e demo

demo-down: ## Remove everything that the demo made.
	@cargo build --quiet --release $(PROGRAMS)
	@$(AS_ROOT) $(TARGET)/release/ostler-e2e demo-down

test: prerequisites ## Run everything: lints, unit, property, control plane and whole cluster tests.
	@scripts/test.sh

soak: prerequisites ## Look at every state of the model manager's small worlds, play long random histories, and break things for longer.
	OSTLER_SOAK=1 cargo test --release -p ostler-sidecar --lib residency -- --nocapture
	OSTLER_SOAK=1 cargo test --release -p ostler-sidecar --test faults -- --nocapture --test-threads 1
	OSTLER_SOAK=1 cargo test --release -p ostler-artifacts --test fetching killed -- --nocapture

fuzz: prerequisites ## Give each parser of foreign bytes changed inputs, for a minute or FUZZ_SECONDS each.
	OSTLER_FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) cargo test --workspace --lib -- ::fuzz:: --nocapture

bench: prerequisites ## Measure the models against CTranslate2, faster-whisper, torch and whisper.cpp, and write docs/benchmarks.md.
	@# BENCH takes more options: make bench BENCH="--rows whisper-int8 --repetitions 3"
	@cargo build --release -p ostler-bench
	@peers=$$(sidecar/inference/bench/peers/setup.sh) && \
	$(TARGET)/release/ostler-bench run --peers "$$peers" --write docs/benchmarks.md $(BENCH)

bounds: prerequisites ## Measure size and speed in release, and fail where a bound is broken. Give it a quiet machine.
	@e2e/cluster/binaries.sh >/dev/null & \
	cargo build --release $(PROGRAMS) -p ostler-tests && wait $$!
	@tests/real-models/fetch.sh
	@$(TARGET)/release/ostler-bounds

bench-serving: prerequisites ## Measure what happens to requests under load, and write docs/serving.md. Give it a quiet machine.
	@cargo build --release $(PROGRAMS) -p ostler-tests
	@tests/real-models/fetch.sh
	@$(AS_ROOT) $(TARGET)/release/ostler-serving --write docs/serving.md $(SERVING)

lint: ## Check formatting, run clippy with warnings denied, and check the dependencies where cargo-deny is installed.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --test whole_cluster -- -D warnings
	@if [ -d "$$(rustc --print sysroot)/lib/rustlib/$(OTHER)" ]; then cargo clippy -p ostler-kernels --target $(OTHER) -- -D warnings; \
	else echo "the kernels were not checked for $(OTHER): rustup target add $(OTHER)"; fi
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check bans licenses sources; \
	else echo "cargo-deny is not installed, so deny.toml was not checked: cargo install cargo-deny"; fi

crds: ## Generate the custom resource definitions from the types, for crds/generated and the chart.
	cargo run --quiet -p ostler-crds --bin crdgen
	cp crds/generated/*.yaml charts/ostler/files/crds/
