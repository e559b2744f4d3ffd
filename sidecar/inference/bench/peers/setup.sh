#!/bin/bash
# Sets up what `make bench` measures against, and prints the folder of it:
#   ${OSTLER_CACHE:-~/.cache/ostler}/bench
#     venv/      the peers, at the versions of requirements-*.txt
#     missing/   a file for each peer that did not install, with the reason
#     models/    the models, converted for those that cannot read the Hub's files
#     inputs/    what the last run worked on
# Everything is kept and made anew only when something here, or the Python, changes. About 6 GB and 3 minutes the
# first time, most of it torch: the package index has no build of it without CUDA, so download.pytorch.org is asked
# first.
set -euo pipefail
here=$(CDPATH= cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(CDPATH= cd -- "$here/../../../.." && pwd)
cache=${OSTLER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ostler}
folder=$cache/bench
python=${OSTLER_PYTHON:-python3}

command -v "$python" >/dev/null || {
  echo "the peers need $python with its venv module; install python3 and python3-venv" >&2
  exit 1
}
mkdir -p "$folder"
exec 9>"$folder/.lock"
flock 9

# The peers.
stamp=$("$python" --version; cat "$here"/requirements-*.txt)
if [ "$(cat "$folder/venv/stamp" 2>/dev/null || true)" != "$stamp" ]; then
  rm -rf "${folder:?}"/{venv,missing,models}
  mkdir -p "$folder/missing"
  "$python" -m venv "$folder/venv" >&2
  pip=("$folder/venv/bin/python" -m pip --quiet --disable-pip-version-check)
  install() { # PEER [PIP OPTIONS]: a peer that does not install is noted, and the others go on.
    local peer=$1 log=$folder/missing/$1
    shift
    echo "installing $peer" >&2
    if "${pip[@]}" install "$@" --requirement "$here/requirements-$peer.txt" >"$log" 2>&1; then
      rm -f "$log"
    else
      tail -n 1 "$log" >"$log.reason" && mv "$log.reason" "$log"
      echo "$peer did not install: $(cat "$log")" >&2
      return 1
    fi
  }
  install torch --index-url https://download.pytorch.org/whl/cpu --timeout 10 --retries 0 2>/dev/null ||
    install torch || true
  for peer in ctranslate2 faster-whisper whisper-cpp; do
    install "$peer" || true
  done
  printf '%s\n' "$stamp" >"$folder/venv/stamp"
fi

# The models. whisper-base is real; a translation model of opus-mt's size is made, with random weights.
"$root/tests/real-models/fetch.sh" >&2
whisper=$cache/real-models/whisper-base
stamp=$(cat "$here"/{make_marian,fix_length,to_whisper_cpp}.py "${BASH_SOURCE[0]}" | sha256sum; ls -l "$whisper")
if [ "$(cat "$folder/models/stamp" 2>/dev/null || true)" != "$stamp" ]; then
  rm -rf "${folder:?}/models"
  work=$(mktemp -d "$folder/.models.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  py=$folder/venv/bin/python
  quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }; }
  echo "converting models" >&2
  ln -s "$whisper" "$work/whisper-base"
  quietly "$py" "$here/fix_length.py" "$whisper" "$work/whisper-base-fixed" 64
  quietly "$py" "$here/make_marian.py" "$work/marian"
  if [ ! -e "$folder/missing/ctranslate2" ] && [ ! -e "$folder/missing/torch" ]; then
    convert() { # FROM TO COPIED FILES... -- OPTIONS...
      local from=$1 to=$2 files=()
      shift 2
      while [ "$1" != -- ]; do files+=("$1"); shift; done
      shift
      quietly "$folder/venv/bin/ct2-transformers-converter" --model "$from" --output_dir "$to" \
        --copy_files "${files[@]}" "$@" || echo "CTranslate2 could not convert $from" >&2
    }
    for rounding in "" int8; do
      options=(${rounding:+--quantization "$rounding"})
      convert "$whisper" "$work/ctranslate2-whisper${rounding:+-$rounding}" \
        tokenizer.json preprocessor_config.json -- ${options[@]+"${options[@]}"}
      convert "$work/marian" "$work/ctranslate2-marian${rounding:+-$rounding}" \
        source.spm target.spm -- ${options[@]+"${options[@]}"}
    done
  fi
  if [ ! -e "$folder/missing/whisper-cpp" ]; then
    quietly "$py" "$here/to_whisper_cpp.py" "$whisper" "$work/whisper-cpp-8bit.bin" ||
      echo "whisper.cpp's file could not be made" >&2
  fi
  rm -f "$work/log"
  printf '%s\n' "$stamp" >"$work/stamp"
  mv "$work" "$folder/models"
fi
echo "$folder"
