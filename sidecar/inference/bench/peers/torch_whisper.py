"""Whisper written out in torch operations: what a careful user of torch gets.

transformers' `generate` would be slower for reasons that have nothing to do with torch's kernels, so the loop is
plain: joined projections, caches made beforehand, attention by `scaled_dot_product_attention`, all of the prompt in
one step.
"""

import gc
import json
from pathlib import Path

import numpy as np
import peer
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

TRANSCRIBE_ENGLISH = [50258, 50259, 50359, 50363]  # start, English, transcribe, no timestamps
END = 50257

torch.set_grad_enabled(False)
whisper = None


class Whisper:
    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        config = json.loads((folder / "config.json").read_text())
        generation = json.loads((folder / "generation_config.json").read_text())
        preprocessor = json.loads((folder / "preprocessor_config.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.dtype, self.heads = dtype, config["encoder_attention_heads"]
        self.width, self.layers = config["d_model"], config["encoder_layers"]
        raw = load_file(folder / "model.safetensors")
        weight = lambda name: raw[f"model.{name}"].to(dtype)
        both = lambda name: (weight(f"{name}.weight"), weight(f"{name}.bias"))

        def joined(name: str, parts: str) -> tuple[torch.Tensor, torch.Tensor]:
            """Projections in one; that to keys has no bias."""
            biases = [
                torch.zeros(self.width, dtype=dtype) if part == "k" else weight(f"{name}.{part}_proj.bias")
                for part in parts
            ]
            return torch.cat([weight(f"{name}.{part}_proj.weight") for part in parts]), torch.cat(biases)

        def layer(name: str, cross: bool) -> dict:
            found = {
                "norm1": both(f"{name}.self_attn_layer_norm"), "qkv": joined(f"{name}.self_attn", "qkv"),
                "out": both(f"{name}.self_attn.out_proj"), "norm2": both(f"{name}.final_layer_norm"),
                "fc1": both(f"{name}.fc1"), "fc2": both(f"{name}.fc2"),
            }  # fmt: skip
            if cross:
                found |= {
                    "cross_norm": both(f"{name}.encoder_attn_layer_norm"),
                    "cross_q": joined(f"{name}.encoder_attn", "q"),
                    "cross_kv": joined(f"{name}.encoder_attn", "kv"),
                    "cross_out": both(f"{name}.encoder_attn.out_proj"),
                }
            return found

        self.encoder = [layer(f"encoder.layers.{at}", False) for at in range(self.layers)]
        self.decoder = [layer(f"decoder.layers.{at}", True) for at in range(self.layers)]
        self.convolutions = both("encoder.conv1"), both("encoder.conv2")
        self.encoder_norm, self.decoder_norm = both("encoder.layer_norm"), both("decoder.layer_norm")
        self.encoder_positions = weight("encoder.embed_positions.weight")
        self.decoder_positions = weight("decoder.embed_positions.weight")
        self.embedding = weight("decoder.embed_tokens.weight")
        self.filters = torch.tensor(np.array(preprocessor["mel_filters"]), dtype=torch.float32)
        self.hann = torch.hann_window(400)
        suppressed = torch.zeros(config["vocab_size"])
        suppressed[generation["suppress_tokens"]] = -torch.inf
        self.suppressed = suppressed
        self.suppressed_first = suppressed.clone()
        self.suppressed_first[generation["begin_suppress_tokens"]] = -torch.inf

    def mel(self, clip: np.ndarray) -> torch.Tensor:
        clip = F.pad(torch.from_numpy(clip), (0, peer.WINDOW - len(clip)))
        power = torch.stft(clip, 400, 160, window=self.hann, return_complex=True)[:, :-1].abs() ** 2
        mel = (self.filters @ power).clamp(min=1e-10).log10()
        mel = torch.maximum(mel, mel.max() - 8)
        return ((mel + 4) / 4)[None].to(self.dtype)

    def norm(self, states: torch.Tensor, norm: tuple) -> torch.Tensor:
        return F.layer_norm(states, (self.width,), *norm)

    def split(self, states: torch.Tensor) -> torch.Tensor:
        return states.view(1, -1, self.heads, self.width // self.heads).transpose(1, 2)

    def attend(self, queries, keys, values, out: tuple, causal: bool = False) -> torch.Tensor:
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=causal)
        return F.linear(mixed.transpose(1, 2).reshape(1, -1, self.width), *out)

    def feed_forward(self, states: torch.Tensor, layer: dict) -> torch.Tensor:
        return F.linear(F.gelu(F.linear(self.norm(states, layer["norm2"]), *layer["fc1"])), *layer["fc2"])

    def encode(self, mel: torch.Tensor) -> torch.Tensor:
        first, second = self.convolutions
        states = F.gelu(F.conv1d(mel, *first, padding=1))
        states = F.gelu(F.conv1d(states, *second, stride=2, padding=1)).transpose(1, 2) + self.encoder_positions
        for layer in self.encoder:
            q, k, v = F.linear(self.norm(states, layer["norm1"]), *layer["qkv"]).chunk(3, -1)
            states = states + self.attend(self.split(q), self.split(k), self.split(v), layer["out"])
            states = states + self.feed_forward(states, layer)
        return self.norm(states, self.encoder_norm)

    def write(self, encoded: torch.Tensor, count: int) -> list[int]:
        cross = [
            tuple(self.split(part).contiguous() for part in F.linear(encoded, *layer["cross_kv"]).chunk(2, -1))
            for layer in self.decoder
        ]
        room = (1, self.heads, len(TRANSCRIBE_ENGLISH) + count, self.width // self.heads)
        past = [(torch.zeros(room, dtype=self.dtype), torch.zeros(room, dtype=self.dtype)) for _ in self.decoder]
        feed, at, text = TRANSCRIBE_ENGLISH, 0, []
        while True:
            end = at + len(feed)
            states = self.embedding[feed][None] + self.decoder_positions[at:end]
            for layer, (cross_k, cross_v), (keys, values) in zip(self.decoder, cross, past, strict=True):
                q, k, v = F.linear(self.norm(states, layer["norm1"]), *layer["qkv"]).chunk(3, -1)
                keys[:, :, at:end], values[:, :, at:end] = self.split(k), self.split(v)
                causal = len(feed) > 1
                states = states + self.attend(
                    self.split(q), keys[:, :, :end], values[:, :, :end], layer["out"], causal
                )
                q = F.linear(self.norm(states, layer["cross_norm"]), *layer["cross_q"])
                states = states + self.attend(self.split(q), cross_k, cross_v, layer["cross_out"])
                states = states + self.feed_forward(states, layer)
            last = self.norm(states[0, -1], self.decoder_norm)
            logits = F.linear(last, self.embedding).float()
            logits += self.suppressed if text else self.suppressed_first
            text.append(int(logits.argmax()))
            if len(text) == count:
                return text
            feed, at = text[-1:], end


def load(request: dict) -> str:
    global whisper
    whisper = None
    gc.collect()
    torch.set_num_threads(request["threads"])
    whisper = Whisper(Path(request["folder"]), getattr(torch, request["dtype"]))
    return f"torch {torch.__version__} {request['dtype']}"


def window(request: dict) -> dict:
    clip = peer.samples(request["samples"])

    def work():
        tokens = whisper.write(whisper.encode(whisper.mel(clip)), request["tokens"])
        return [whisper.tokenizer.decode(tokens).strip()], [tokens]

    return peer.timed(work)


peer.serve(load, window=window)
