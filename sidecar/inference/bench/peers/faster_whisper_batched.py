"""faster-whisper's batched pipeline: windows of 30 s, no voice detection, greedy, no timestamps."""

import gc

import ctranslate2
import faster_whisper
import peer

pipeline = None


def load(request: dict) -> str:
    global pipeline
    pipeline = None
    gc.collect()
    model = faster_whisper.WhisperModel(
        request["folder"], device="cpu", compute_type=request["dtype"],
        cpu_threads=request["threads"], num_workers=request["workers"], local_files_only=True,
    )  # fmt: skip
    pipeline = faster_whisper.BatchedInferencePipeline(model)
    kind = model.model.compute_type
    return f"faster-whisper {faster_whisper.__version__} on CTranslate2 {ctranslate2.__version__} {kind}"


def recording(request: dict) -> dict:
    clip = peer.samples(request["samples"])
    starts = range(0, len(clip), peer.WINDOW)
    seconds = [
        {"start": at / peer.RATE, "end": min(at + peer.WINDOW, len(clip)) / peer.RATE} for at in starts
    ]

    def work():
        segments, _ = pipeline.transcribe(
            clip, language="en", beam_size=1, temperature=0.0, vad_filter=False, clip_timestamps=seconds,
            without_timestamps=True, condition_on_previous_text=False, batch_size=request["batch"],
        )  # fmt: skip
        segments = list(segments)
        return ["".join(segment.text for segment in segments).strip()], [segment.tokens for segment in segments]

    return peer.timed(work)


peer.serve(load, recording=recording)
