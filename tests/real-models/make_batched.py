"""Writes expected-batched.jsonl: what faster-whisper's batched pipeline hears in the recordings of more than 30 s.

    make_batched.py MODEL     a folder of CTranslate2's whisper-base in float32; needs faster-whisper 1.2

Windows of 30 s, no voice detection, greedy: the pipeline's own defaults but for the beams and the detection.
`lead_seconds` of silence move the bounds of the windows to other words.
"""

import json
import sys
import wave
from pathlib import Path

import faster_whisper
import numpy

RATE = 16_000
WINDOW = 30
READINGS = {"en": "ljspeech_1_8.wav", "de": "simplicissimus_de.wav"}
LEADS = [0, 7]

here = Path(__file__).parent


def samples(name):
    with wave.open(str(here / "audio" / name)) as clip:
        return numpy.frombuffer(clip.readframes(clip.getnframes()), numpy.int16).astype(numpy.float32) / 32768


model = faster_whisper.WhisperModel(sys.argv[1], device="cpu", compute_type="float32", cpu_threads=2)
pipeline = faster_whisper.BatchedInferencePipeline(model)
with open(here / "expected-batched.jsonl", "w") as out:
    for language, file in READINGS.items():
        for lead in LEADS:
            clip = numpy.concatenate([numpy.zeros(lead * RATE, numpy.float32), samples(file)])
            seconds = len(clip) / RATE
            starts = range(0, int(seconds), WINDOW)
            windows = [{"start": start, "end": min(start + WINDOW, seconds)} for start in starts]
            segments, _ = pipeline.transcribe(
                clip, language=language, beam_size=1, temperature=0.0, vad_filter=False, clip_timestamps=windows,
            )  # fmt: skip
            text = "".join(segment.text for segment in segments).strip()
            found = {"file": file, "language": language, "lead_seconds": lead, "text": text}
            out.write(json.dumps(found, ensure_ascii=False) + "\n")
            out.flush()
