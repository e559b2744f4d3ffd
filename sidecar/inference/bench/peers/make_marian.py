"""A MarianMT of the size of Helsinki-NLP's opus-mt models, with random weights: make_marian.py TO.

Six layers each side, width 512, feed-forward 2048, 8 heads, vocabulary 58101: what opus-mt-en-de has. The weights
are normal numbers from a fixed seed. Their scale is such that each layer adds about as much as it was given, so that
attention attends to something and the numbers look like a trained model's to whoever rounds them. The vocabulary is
words of four letters, one token each, so a text of n words has n tokens and a token can be read off the answer.
generation_config.json makes every translation 25 tokens long: the end is forbidden before, and the limit stops it.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

WIDTH, INNER, HEADS, LAYERS, VOCABULARY, POSITIONS, TARGET_TOKENS = 512, 2048, 8, 6, 58101, 512, 25
END, UNKNOWN, PAD = 0, 1, VOCABULARY - 1
SPACE = "\u2581"


def word(number: int) -> str:
    """Word `number`: four letters, the first the most significant, in a shuffled order of the alphabet."""
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    return "".join(letters[number // 26**place % 26] for place in (3, 2, 1, 0))


def weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(20)
    tensors: dict[str, np.ndarray] = {}

    def normal(scale: float, *shape: int) -> np.ndarray:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    def linear(name: str, outputs: int, inputs: int, gain: float) -> None:
        tensors[f"{name}.weight"] = normal(gain / inputs**0.5, outputs, inputs)
        tensors[f"{name}.bias"] = normal(0.02, outputs)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"] = 1 + normal(0.1, WIDTH)
        tensors[f"{name}.bias"] = normal(0.1, WIDTH)

    def attention(name: str) -> None:
        for part, gain in (("q_proj", 1.5), ("k_proj", 1.5), ("v_proj", 1.5), ("out_proj", 3.0)):
            linear(f"{name}.{part}", WIDTH, WIDTH, gain)
        norm(f"{name}_layer_norm")

    # The row of padding is zero, as in every converted Marian model: decoding starts from it.
    shared = normal(WIDTH**-0.5, VOCABULARY, WIDTH)
    shared[PAD] = 0
    tensors["model.shared.weight"] = shared
    tensors["final_logits_bias"] = normal(0.1, 1, VOCABULARY)
    for side in ("encoder", "decoder"):
        for layer in range(LAYERS):
            name = f"model.{side}.layers.{layer}"
            attention(f"{name}.self_attn")
            if side == "decoder":
                attention(f"{name}.encoder_attn")
            linear(f"{name}.fc1", INNER, WIDTH, 1.5)
            linear(f"{name}.fc2", WIDTH, INNER, 3.0)
            norm(f"{name}.final_layer_norm")
    return tensors


def sentencepiece(pieces: list[str]) -> bytes:
    """A unigram model in sentencepiece's protocol buffer: the pieces, all equally probable."""

    def varint(value: int) -> bytes:
        out = b""
        while value > 0x7F:
            out += bytes([value & 0x7F | 0x80])
            value >>= 7
        return out + bytes([value])

    def number(field: int, value: int) -> bytes:
        return varint(field << 3) + varint(value)

    def block(field: int, value: bytes) -> bytes:
        return varint(field << 3 | 2) + varint(len(value)) + value

    def piece(text: str, kind: int) -> bytes:
        return block(1, block(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", -1.0) + number(3, kind))

    normal, unknown, control = 1, 2, 3
    model = piece("<unk>", unknown) + piece("<s>", control) + piece("</s>", control)
    model += b"".join(piece(text, normal) for text in pieces)
    trainer = number(3, 1) + number(4, len(pieces) + 3)
    normalizer = block(1, b"identity") + number(3, 1) + number(4, 1) + number(5, 1)
    return model + block(2, trainer) + block(3, normalizer)


def main(to: Path) -> None:
    to.mkdir(parents=True)
    words = [SPACE + word(number) for number in range(VOCABULARY - 3)]
    vocabulary = {"</s>": END, "<unk>": UNKNOWN, **{text: at + 2 for at, text in enumerate(words)}, "<pad>": PAD}
    config = {
        "architectures": ["MarianMTModel"], "model_type": "marian", "d_model": WIDTH,
        "encoder_layers": LAYERS, "encoder_attention_heads": HEADS, "encoder_ffn_dim": INNER,
        "decoder_layers": LAYERS, "decoder_attention_heads": HEADS, "decoder_ffn_dim": INNER,
        "vocab_size": VOCABULARY, "decoder_vocab_size": VOCABULARY, "max_position_embeddings": POSITIONS,
        "activation_function": "swish", "scale_embedding": True, "static_position_embeddings": True,
        "normalize_before": False, "normalize_embedding": False, "add_final_layer_norm": False,
        "share_encoder_decoder_embeddings": True, "tie_word_embeddings": True, "is_encoder_decoder": True,
        "decoder_start_token_id": PAD, "pad_token_id": PAD, "eos_token_id": END, "forced_eos_token_id": END,
        "bos_token_id": None, "dtype": "float32",
    }  # fmt: skip
    generation = {
        "decoder_start_token_id": PAD, "pad_token_id": PAD, "eos_token_id": END, "bad_words_ids": [[PAD]],
        "num_beams": 4, "min_length": TARGET_TOKENS + 1, "max_length": TARGET_TOKENS + 1,
    }  # fmt: skip
    tokenizer = {
        "source_lang": "en", "target_lang": "de", "model_max_length": 512, "separate_vocabs": False,
        "tokenizer_class": "MarianTokenizer",
    }  # fmt: skip
    files = {"config": config, "generation_config": generation, "tokenizer_config": tokenizer, "vocab": vocabulary}
    for name, content in files.items():
        (to / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False))
    for name in ("source.spm", "target.spm"):
        (to / name).write_bytes(sentencepiece(words))
    save_file(weights(), to / "model.safetensors", metadata={"format": "pt"})


main(Path(sys.argv[1]))
