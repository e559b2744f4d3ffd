"""whisper.cpp through pywhispercpp: greedy, no timestamps, one attempt."""

import gc
import importlib.metadata

import _pywhispercpp as native
import peer
from pywhispercpp.model import Model

model = None


def load(request: dict) -> str:
    global model
    model = None
    gc.collect()
    model = Model(
        request["folder"], n_threads=request["threads"], language="en", no_timestamps=True, single_segment=True,
        no_context=True, temperature_inc=0.0, greedy={"best_of": 1}, print_progress=False,
    )  # fmt: skip
    return f"whisper.cpp (pywhispercpp {importlib.metadata.version('pywhispercpp')}) q8_0"


def window(request: dict) -> dict:
    clip = peer.samples(request["samples"])

    def work():
        segments = model.transcribe(clip, max_tokens=request["tokens"])
        context, end = model._ctx, native.whisper_token_eot(model._ctx)
        tokens = [
            native.whisper_full_get_token_id(context, segment, place)
            for segment in range(native.whisper_full_n_segments(context))
            for place in range(native.whisper_full_n_tokens(context, segment))
        ]
        text = "".join(segment.text for segment in segments).strip()
        return [text], [[token for token in tokens if token < end]]

    return peer.timed(work)


peer.serve(load, window=window)
