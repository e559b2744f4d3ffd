"""CTranslate2's Whisper, with faster-whisper's log-mel before it and Hugging Face's tokenizer behind it."""

import gc
import json
from pathlib import Path

import ctranslate2
import numpy as np
import peer
from faster_whisper.feature_extractor import FeatureExtractor
from tokenizers import Tokenizer

TRANSCRIBE_ENGLISH = [50258, 50259, 50359, 50363]  # start, English, transcribe, no timestamps
END, VOCABULARY = 50257, 51865

model = tokenizer = None
suppressed: list[int] = []
features = FeatureExtractor()


def load(request: dict) -> str:
    global model, tokenizer, suppressed
    model = None
    gc.collect()
    folder = Path(request["folder"])
    model = ctranslate2.models.Whisper(
        str(folder), device="cpu", compute_type=request["dtype"],
        intra_threads=request["threads"], inter_threads=request["workers"],
    )  # fmt: skip
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    own = json.loads((folder / "config.json").read_text())["suppress_ids"]
    suppressed = sorted({*own, *range(END, VOCABULARY)})
    return f"CTranslate2 {ctranslate2.__version__} {model.compute_type}"


def window(request: dict) -> dict:
    clip = peer.samples(request["samples"])

    def work():
        mel = features(np.pad(clip, (0, peer.WINDOW - len(clip))), padding=0)[:, :3000]
        mel = ctranslate2.StorageView.from_array(np.ascontiguousarray(mel[None], np.float32))
        # Half of `max_length` is for the text, the other half for a prompt.
        result = model.generate(
            mel, [TRANSCRIBE_ENGLISH], beam_size=1, max_length=2 * request["tokens"], suppress_tokens=suppressed
        )
        tokens = result[0].sequences_ids[0]
        return [tokenizer.decode(tokens).strip()], [tokens]

    return peer.timed(work)


peer.serve(load, window=window)
