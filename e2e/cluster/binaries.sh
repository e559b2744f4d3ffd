#!/bin/bash
# Prints the folder that holds the programs of the test cluster, and builds them first where they are missing.
#
#   binaries.sh              builds when needed (about 12 minutes on 2 cores with empty caches), prints the folder
#   binaries.sh --directory  prints the folder only, whether it is there or not
#
# The folder lies outside the tree, named by the digest of everything that decides its content, so that every
# checkout with the same go.mod shares it. It appears at once and complete, or not at all.
set -euo pipefail
cd "$(dirname "$0")"

digest=$(cat go.mod go.sum binaries.sh pause.c | sha256sum | cut -c1-64)
root=${OSTLER_CACHE:-${HOME:?set HOME or OSTLER_CACHE}/.cache/ostler}/cluster/$digest
if [ "${1:-}" = --directory ]; then
  echo "$root/bin"
  exit
fi

# Two runs at once would only slow each other: the second waits here and finds the first one's result.
mkdir -p "$root"
exec 9>"$root/lock"
flock 9
if [ -d "$root/bin" ]; then
  echo "$root/bin"
  exit
fi
for program in go gcc pkg-config; do
  command -v "$program" >/dev/null || { echo "$program is missing: run scripts/prerequisites.sh" >&2; exit 1; }
done
pkg-config --exists libseccomp || { echo "libseccomp-dev is missing: run scripts/prerequisites.sh" >&2; exit 1; }

rm -rf "$root"/partial.*
partial=$(mktemp -d "$root/partial.XXXXXX")
trap 'rm -rf "$partial"' EXIT
echo "building Kubernetes, containerd, etcd and Helm into $root/bin (about 12 minutes on 2 cores)" >&2

# Without these the API server calls itself v0.0.0, which fails Helm's and kubectl's version checks.
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=$(echo "$version" | cut -d. -f2)
flags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor"
  flags+=" -X $package.gitTreeState=clean"
done

# The tool block of go.mod is the only list of programs. runc alone needs C: without its seccomp tag it refuses
# every pod that asks for a seccomp profile, which the restricted pod security standard demands.
mapfile -t plain < <(go list tool | grep -v '^github.com/opencontainers/runc$')
CGO_ENABLED=0 go build -trimpath -ldflags="$flags" -o "$partial/" "${plain[@]}" >&2
CGO_ENABLED=1 go build -trimpath -ldflags="-s -w" -tags seccomp -o "$partial/" github.com/opencontainers/runc >&2
mv "$partial/server" "$partial/etcd"
gcc -static -Os -s -o "$partial/pause" pause.c

mv "$partial" "$root/bin"
chmod 755 "$root/bin"
echo "$root/bin"
