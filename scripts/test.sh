#!/bin/bash
# Runs every test there is, cheapest first, and stops at the first failure. `make test` calls it.
#
# One profile and one set of features serve all stages, so that each dependency is compiled once: every cargo command
# names the whole workspace.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin" CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

started=$SECONDS
stage() { printf '\n=== %s (after %d min %d s)\n' "$1" $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)); }

# The cluster's programs are built from Go modules meanwhile; that needs about 12 minutes on 2 cores, once.
log=$(mktemp)
e2e/cluster/binaries.sh >"$log" 2>&1 &
binaries=$!
trap 'kill $binaries 2>/dev/null || true; rm -f "$log"' EXIT

stage "formatting and lints"
make --no-print-directory lint

stage "build"
cargo build --workspace --all-targets
cargo test --workspace --no-run --test whole_cluster

stage "real models"
tests/real-models/fetch.sh

stage "programs of the test cluster"
wait $binaries || { cat "$log"; exit 1; }

stage "unit, property, chart and control plane tests"
cargo test --workspace

stage "whole cluster tests"
# The cluster makes interfaces and mounts, so these tests alone run as root.
if [ "$(id -u)" != 0 ] && [ -z "${OSTLER_E2E_KUBECONFIG:-}" ]; then
  host=$(rustc -vV | sed -n 's/^host: //p')
  runner=CARGO_TARGET_$(echo "$host" | tr 'a-z-' 'A-Z_')_RUNNER
  export "$runner=sudo --preserve-env env PATH=$PATH HOME=$HOME"
fi
cargo test --workspace --test whole_cluster

stage "all passed"
