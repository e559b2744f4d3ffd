#!/bin/bash
# Checks for what building and testing need, and installs what is missing on Debian and Ubuntu, as root or with sudo.
# Elsewhere, and for the two compilers, it says exactly what is missing and how to get it.
set -euo pipefail

rust=1.95 go=1.26
missing=()
complain() { missing+=("$1"); }
have() { command -v "$1" >/dev/null 2>&1; }
# Whether version $1 is at least $2.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -1)" = "$2" ]; }

# What a command or library is called, and the package of Debian and Ubuntu that has it.
packages=()
need() { have "$1" || packages+=("$2"); }
export PATH="$PATH:/usr/sbin:/sbin"   # some shells leave these out, and nft lies there
need gcc gcc
need make make
need pkg-config pkg-config
need nft nftables
need conntrack conntrack
need ip iproute2
need umount mount
need setsid util-linux
need strace strace
need sysctl procps
need curl curl
need tar tar
need strip binutils
[ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
pkg-config --exists libseccomp 2>/dev/null || packages+=(libseccomp-dev)
# The C library for static programs, and Python's way to make environments, are packages of their own.
[ -n "$(find /usr/lib /usr/lib64 -name libc.a -print -quit 2>/dev/null)" ] || packages+=(libc6-dev)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3 python3-venv)

if [ ${#packages[@]} -gt 0 ]; then
  become=""
  [ "$(id -u)" = 0 ] || become="sudo"
  if have apt-get && { [ -z "$become" ] || sudo -n true 2>/dev/null || { [ -t 0 ] && have sudo; }; }; then
    echo "installing ${packages[*]}"
    $become env DEBIAN_FRONTEND=noninteractive sh -c \
      "apt-get update -q && apt-get install -q -y --no-install-recommends ${packages[*]}" </dev/null >&2
  else
    for package in "${packages[@]}"; do complain "$package (a package of Debian and Ubuntu; install it with your system's package manager)"; done
  fi
fi

if ! have cargo || ! have rustc; then
  complain "Rust $rust or newer: https://rustup.rs"
else
  found=$(rustc --version | cut -d' ' -f2)
  at_least "$found" "$rust" || complain "Rust $rust or newer (found $found): rustup update stable"
  for component in fmt clippy; do
    cargo $component --version >/dev/null 2>&1 && continue
    { have rustup && rustup component add "${component/fmt/rustfmt}" >&2; } || complain "cargo $component: rustup component add ${component/fmt/rustfmt}"
  done
  # With the standard library of the other architecture its kernels are checked too; nothing fails without.
  other=aarch64-unknown-linux-gnu
  [ -d "$(rustc --print sysroot)/lib/rustlib/$other" ] || ! have rustup || timeout 120 rustup target add "$other" >&2 || true
fi
if ! have go; then
  complain "Go $go or newer: https://go.dev/dl"
else
  found=$(go env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
  at_least "$found" "$go" || complain "Go $go or newer (found $found): https://go.dev/dl"
fi
# An existing cluster, if one is named, is reached with the user's own tools.
if [ -n "${OSTLER_E2E_KUBECONFIG:-}" ]; then
  have kubectl || complain "kubectl: https://kubernetes.io/docs/tasks/tools"
  have helm || complain "Helm 4: https://helm.sh/docs/intro/install"
elif [ "$(uname -s)" != Linux ]; then
  complain "Linux: the test cluster runs on this machine's kernel; or name an existing cluster in OSTLER_E2E_KUBECONFIG"
elif [ "$(id -u)" != 0 ] && ! have sudo; then
  complain "root, or sudo: the test cluster makes interfaces and mounts; or name an existing cluster in OSTLER_E2E_KUBECONFIG"
fi

if [ ${#missing[@]} -gt 0 ]; then
  echo "missing:" >&2
  printf '  - %s\n' "${missing[@]}" >&2
  exit 1
fi
