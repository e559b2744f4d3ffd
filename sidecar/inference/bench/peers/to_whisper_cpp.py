"""whisper.cpp's file of a Whisper model, its matrices in 8-bit blocks (q8_0): to_whisper_cpp.py MODEL TO.

The format is that of whisper.cpp's own converter and quantiser: a header, the mel filters, the vocabulary as bytes,
then each tensor with its number of dimensions, name, type and innermost dimension first.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

FLOAT32, FLOAT16, EIGHT_BIT = 0, 1, 8
# 7 is "mostly q8_0", in version 2 of the formats.
FILE_TYPE = 2 * 1000 + 7
BLOCK = 32
TEXT_TOKENS = 50257

PARTS = {
    "self_attn.q_proj": "attn.query", "self_attn.k_proj": "attn.key", "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out", "self_attn_layer_norm": "attn_ln",
    "encoder_attn.q_proj": "cross_attn.query", "encoder_attn.k_proj": "cross_attn.key",
    "encoder_attn.v_proj": "cross_attn.value", "encoder_attn.out_proj": "cross_attn.out",
    "encoder_attn_layer_norm": "cross_attn_ln", "fc1": "mlp.0", "fc2": "mlp.2", "final_layer_norm": "mlp_ln",
}  # fmt: skip
OUTER = {
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens.weight": "decoder.token_embedding.weight",
    "encoder.layer_norm": "encoder.ln_post", "decoder.layer_norm": "decoder.ln",
}  # fmt: skip


def renamed(name: str) -> str:
    """OpenAI's name of a tensor, from Hugging Face's."""
    name = name.removeprefix("model.")
    if ".layers." not in name:
        for theirs, own in OUTER.items():
            name = name.replace(theirs, own) if name.startswith(theirs) else name
        return name
    side, _, number, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"{side}.blocks.{number}.{PARTS[part]}.{kind}"


def blocks(matrix: np.ndarray) -> bytes:
    """Each 32 numbers of a row as their scale in float16 and 32 bytes."""
    parts = matrix.astype(np.float32).reshape(-1, BLOCK)
    scale = np.abs(parts).max(axis=1, keepdims=True) / 127
    rounded = np.round(np.divide(parts, scale, out=np.zeros_like(parts), where=scale > 0)).astype(np.int8)
    out = np.empty(len(parts), np.dtype([("scale", "<f2"), ("numbers", "i1", BLOCK)]))
    out["scale"], out["numbers"] = scale[:, 0], rounded
    return out.tobytes()


def vocabulary(folder: Path) -> list[bytes]:
    """The bytes of each text token. Byte-level BPE writes them as the characters that GPT-2 chose for them."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    of = {chr(byte): byte for byte in plain} | {chr(256 + at): byte for at, byte in enumerate(others)}
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    by_number = {number: text for text, number in model["vocab"].items()}
    return [bytes(of[character] for character in by_number[number]) for number in range(TEXT_TOKENS)]


def main(folder: Path, to: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    filters = np.array(json.loads((folder / "preprocessor_config.json").read_text())["mel_filters"], "<f4")
    tokens = vocabulary(folder)
    with to.open("wb") as out:
        out.write(struct.pack("<I", 0x67676D6C))
        fields = (
            "vocab_size", "max_source_positions", "d_model", "encoder_attention_heads", "encoder_layers",
            "max_target_positions", "d_model", "decoder_attention_heads", "decoder_layers", "num_mel_bins",
        )  # fmt: skip
        out.write(struct.pack("<11i", *(config[field] for field in fields), FILE_TYPE))
        out.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
        out.write(struct.pack("<i", len(tokens)))
        for token in tokens:
            out.write(struct.pack("<i", len(token)) + token)
        for theirs, tensor in load_file(folder / "model.safetensors").items():
            if theirs == "proj_out.weight":
                continue
            name = renamed(theirs)
            if name.endswith(("conv1.bias", "conv2.bias")):
                tensor = tensor[:, None]
            if tensor.ndim == 2 and "positional" not in name and not name.endswith("bias"):
                kind, data = EIGHT_BIT, blocks(tensor)
            elif tensor.ndim == 3:
                kind, data = FLOAT16, tensor.astype("<f2").tobytes()
            else:
                kind, data = FLOAT32, tensor.astype("<f4").tobytes()
            encoded = name.encode()
            out.write(struct.pack("<3i", tensor.ndim, len(encoded), kind))
            out.write(struct.pack(f"<{tensor.ndim}i", *reversed(tensor.shape)) + encoded + data)


main(Path(sys.argv[1]), Path(sys.argv[2]))
