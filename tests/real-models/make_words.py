"""Writes expected-words.jsonl: the words and their times that transformers' pipeline makes of audio/, in float32.

    make_words.py FOLDER     with whisper-base and whisper-tiny.en in FOLDER; needs torch and transformers 5.23
"""

import json
import sys
import wave
from pathlib import Path

import numpy
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor, pipeline
from transformers.models.whisper.tokenization_whisper import LANGUAGES

here = Path(__file__).parent
torch.set_num_threads(2)
pipes = {}


def pipe(name):
    if name not in pipes:
        folder = f"{sys.argv[1]}/{name}"
        model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        processor = WhisperProcessor.from_pretrained(folder)
        pipes[name] = pipeline(
            "automatic-speech-recognition",
            model=model,
            tokenizer=processor.tokenizer,
            feature_extractor=processor.feature_extractor,
        )
    return pipes[name]


with open(here / "expected-words.jsonl", "w") as out:
    for line in map(json.loads, open(here / "expected.jsonl")):
        with wave.open(str(here / "audio" / line["file"])) as clip:
            samples = numpy.frombuffer(clip.readframes(clip.getnframes()), numpy.int16) / 32768
        run = pipe(line["model"])
        # The pipeline forgets the language that was detected, and would split Chinese at spaces.
        run.tokenizer.language = LANGUAGES[line["language"]]
        answer = run({"raw": samples.astype(numpy.float32), "sampling_rate": 16000}, return_timestamps="word")
        words = [[word["text"], *word["timestamp"]] for word in answer["chunks"]]
        found = {"file": line["file"], "model": line["model"], "words": words}
        out.write(json.dumps(found, ensure_ascii=False) + "\n")
        out.flush()
