"""CTranslate2's translator, with sentencepiece on both sides."""

import gc
from pathlib import Path

import ctranslate2
import peer
from sentencepiece import SentencePieceProcessor

translator = source = target = None


def load(request: dict) -> str:
    global translator, source, target
    translator = None
    gc.collect()
    folder = Path(request["folder"])
    translator = ctranslate2.Translator(
        str(folder), device="cpu", compute_type=request["dtype"],
        intra_threads=request["threads"], inter_threads=request["workers"],
    )  # fmt: skip
    source = SentencePieceProcessor(str(folder / "source.spm"))
    target = SentencePieceProcessor(str(folder / "target.spm"))
    return f"CTranslate2 {ctranslate2.__version__} {translator.compute_type}"


def translate(request: dict) -> dict:
    def work():
        pieces = [[*source.encode(text, out_type=str), "</s>"] for text in request["texts"]]
        results = translator.translate_batch(
            pieces, beam_size=request["beams"], max_batch_size=request["batch"],
            min_decoding_length=request["tokens"], max_decoding_length=request["tokens"],
        )  # fmt: skip
        return [target.decode(result.hypotheses[0]) for result in results], []

    return peer.timed(work)


peer.serve(load, translate=translate)
