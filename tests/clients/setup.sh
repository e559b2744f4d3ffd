#!/bin/sh
# Makes the virtual environment of the client tests and prints the path of its Python. The environment is kept
# under the project's cache and made anew when requirements.txt or the Python changes.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
cache=${OSTLER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ostler}
folder=$cache/clients-venv
python=${OSTLER_PYTHON:-python3}

command -v "$python" >/dev/null || {
    echo "the client tests need $python with its venv module; install python3 and python3-venv" >&2
    exit 1
}

stamp=$("$python" --version; cat "$here/requirements.txt")
mkdir -p "$cache"
# Two test runs at once must not build one environment; the second waits for the first.
exec 9>"$cache/clients-venv.lock"
flock 9
if [ "$(cat "$folder/stamp" 2>/dev/null || true)" != "$stamp" ]; then
    rm -rf "$folder"
    "$python" -m venv "$folder" >&2
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --requirement "$here/requirements.txt" >&2
    printf '%s\n' "$stamp" >"$folder/stamp"
fi
echo "$folder/bin/python"
