#!/usr/bin/env python3
"""Write the folders that the Hugging Face Hub serves for two of OpenAI's Whisper models.

    convert.py OUT whisper-base DIR...       multilingual
    convert.py OUT whisper-tiny.en DIR...    English only

The weights come from packages that carry them as CTranslate2 stores them: a `model.bin` (or numbered parts of one)
with the tokenizer beside it, somewhere under the DIRs. They were published in float16, the Hub serves them in
float32, so nothing is lost on the way, and every file written must have the Hub's own SHA-256: this script fails
where one has not.
"""

import hashlib
import json
import re
import struct
import sys
from pathlib import Path

import numpy
import safetensors.numpy

# What https://huggingface.co/openai/whisper-base (e37978b) and whisper-tiny.en (87c7102) serve.
SHA256 = {
    "whisper-base": {
        "config.json": "a153c53883a6799b6f056b4a8d1a515c9926d03994682ba88a7616618d7da0c1",
        "generation_config.json": "444b3f636d2fff89dd9ecf549e2a085b61f7ff0fa0246d4628bac6a3b8cc9ba4",
        "preprocessor_config.json": "9b5cd03a36fbb8a627c64d98a5b5b126ead95a77720723944487311f0110b666",
        "tokenizer.json": "27fc476bfe7f17299480be2273fc0608e4d5a99aba2ab5dec5374b4482d1a566",
        "model.safetensors": "07cadb9f25677c8d50df603e66a98fbd842cce45047139baeb16e6219a1e807b",
    },
    "whisper-tiny.en": {
        "config.json": "b5366317df280f79e6cc366f259f379674f81a8721d458acf2e00680ccb10b1d",
        "generation_config.json": "38744c19d5cede6ff4dab5079c6d6ddc02ca726960bbef208fb602ad5a030eab",
        "preprocessor_config.json": "9b5cd03a36fbb8a627c64d98a5b5b126ead95a77720723944487311f0110b666",
        "tokenizer.json": "5eb60cec1e77aeeb6869a2bb5a8e01a84c3fe5d072d75369343021fe6f5310d0",
        "model.safetensors": "db59695928ded6043adaef491a53ef4e12da9611184d77c53baa691a60b958ad",
    },
}


def ctranslate2_variables(data):
    """The named arrays of a model.bin.

    Layout, little-endian: version u32; specification, a string; its revision u32; the number of variables u32; for
    each its name, rank u8, that many u32 dimensions, type u8 (0 float32, 4 float16), size u32, the bytes; then
    aliases: their number u32, for each two strings. A string is its length u16 with the final NUL, and the text.
    """
    at = 0

    def number(code):
        nonlocal at
        (value,) = struct.unpack_from("<" + code, data, at)
        at += struct.calcsize(code)
        return value

    def text():
        nonlocal at
        length = number("H")
        at += length
        return data[at - length : at - 1].decode()

    number("I")
    specification = text()
    if specification != "WhisperSpec":
        raise SystemExit(f"model.bin holds a {specification}, not a Whisper")
    number("I")
    variables = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = number("B"), number("I")
        # Options of layers are small integers, which no tensor is made of.
        if kind in (0, 4):
            array = numpy.frombuffer(data, "<f4" if kind == 0 else "<f2", size // (4 if kind == 0 else 2), at)
            variables[name] = array.reshape(shape).astype(numpy.float32)
        at += size
    for _ in range(number("I")):
        alias, name = text(), text()
        if name in variables:
            variables[alias] = variables[name]
    return variables


def hub_tensors(variables):
    """The same arrays under the names of transformers; CTranslate2 fuses the attention's projections."""
    tensors = {}

    def copy(source, target, ours=("weight", "bias"), theirs=("weight", "bias")):
        for mine, yours in zip(ours, theirs):
            tensors[f"{target}.{mine}"] = variables[f"{source}/{yours}"]

    def norm(source, target):
        copy(source, target, theirs=("gamma", "beta"))

    def projections(source, target, names):
        weights = numpy.split(variables[f"{source}/weight"], len(names))
        biases = numpy.split(variables[f"{source}/bias"], len(names))
        for name, weight, bias in zip(names, weights, biases):
            tensors[f"{target}.{name}.weight"] = weight
            # Whisper's keys have no bias, so the fused one is zero there.
            if name != "k_proj":
                tensors[f"{target}.{name}.bias"] = bias
            elif bias.any():
                raise SystemExit(f"{source}: the keys have a bias")

    for name in ("conv1", "conv2"):
        copy(f"encoder/{name}", f"model.encoder.{name}")
    tensors["model.decoder.embed_tokens.weight"] = variables["decoder/embeddings/weight"]
    for side in ("encoder", "decoder"):
        tensors[f"model.{side}.embed_positions.weight"] = variables[f"{side}/position_encodings/encodings"]
        norm(f"{side}/layer_norm", f"model.{side}.layer_norm")
        layer = 0
        while f"{side}/layer_{layer}/ffn/linear_0/weight" in variables:
            source, target = f"{side}/layer_{layer}", f"model.{side}.layers.{layer}"
            norm(f"{source}/self_attention/layer_norm", f"{target}.self_attn_layer_norm")
            projections(f"{source}/self_attention/linear_0", f"{target}.self_attn", ("q_proj", "k_proj", "v_proj"))
            projections(f"{source}/self_attention/linear_1", f"{target}.self_attn", ("out_proj",))
            if side == "decoder":
                cross = f"{target}.encoder_attn"
                norm(f"{source}/attention/layer_norm", f"{cross}_layer_norm")
                projections(f"{source}/attention/linear_0", cross, ("q_proj",))
                projections(f"{source}/attention/linear_1", cross, ("k_proj", "v_proj"))
                projections(f"{source}/attention/linear_2", cross, ("out_proj",))
            norm(f"{source}/ffn/layer_norm", f"{target}.final_layer_norm")
            copy(f"{source}/ffn/linear_0", f"{target}.fc1")
            copy(f"{source}/ffn/linear_1", f"{target}.fc2")
            layer += 1
    return {name: numpy.ascontiguousarray(array) for name, array in tensors.items()}


def layers(tensors, side):
    return sum(1 for name in tensors if re.fullmatch(rf"model\.{side}\.layers\.\d+\.fc1\.weight", name))


def config(name, tensors, theirs, special):
    vocabulary, width = tensors["model.decoder.embed_tokens.weight"].shape
    heads, inner = width // 64, tensors["model.encoder.layers.0.fc1.weight"].shape[0]
    positions = tensors["model.decoder.embed_positions.weight"].shape[0]
    start, end, silent = (special[f"<|{token}|>"] for token in ("startoftranscript", "endoftext", "notimestamps"))
    multilingual = is_multilingual(name)
    forced = [special["<|en|>"], special["<|transcribe|>"], silent] if multilingual else [silent]
    sizes = {
        "d_model": width,
        "vocab_size": vocabulary,
        "num_mel_bins": tensors["model.encoder.conv1.weight"].shape[1],
        "max_source_positions": tensors["model.encoder.embed_positions.weight"].shape[0],
        "max_target_positions": positions,
        "max_length": positions,
        "num_hidden_layers": layers(tensors, "encoder"),
    }
    for side in ("encoder", "decoder"):
        sizes |= {
            f"{side}_layers": layers(tensors, side),
            f"{side}_attention_heads": heads,
            f"{side}_ffn_dim": inner,
            f"{side}_layerdrop": 0.0,
        }
    tokens = {
        "begin_suppress_tokens": theirs["suppress_ids_begin"],
        "bos_token_id": end if multilingual else start,
        "decoder_start_token_id": start,
        "eos_token_id": end,
        "forced_decoder_ids": [[place, token] for place, token in enumerate(forced, 1)],
        "pad_token_id": end,
        "suppress_tokens": theirs["suppress_ids"],
    }
    constants = {
        "_name_or_path": f"openai/{name}",
        "activation_dropout": 0.0,
        "activation_function": "gelu",
        "architectures": ["WhisperForConditionalGeneration"],
        "attention_dropout": 0.0,
        "dropout": 0.0,
        "init_std": 0.02,
        "is_encoder_decoder": True,
        "model_type": "whisper",
        "scale_embedding": False,
        "torch_dtype": "float32",
        "transformers_version": "4.27.0.dev0",
        "use_cache": True,
    }
    return sizes | tokens | constants


def generation_config(name, tensors, theirs, special):
    start, end, silent = (special[f"<|{token}|>"] for token in ("startoftranscript", "endoftext", "notimestamps"))
    multilingual = is_multilingual(name)
    result = {
        "alignment_heads": theirs["alignment_heads"],
        "begin_suppress_tokens": theirs["suppress_ids_begin"],
        "bos_token_id": end if multilingual else start,
        "decoder_start_token_id": start,
        "eos_token_id": end,
        # No language: it is detected.
        "forced_decoder_ids": [[1, None], [2, special["<|transcribe|>"]]] if multilingual else [[1, silent]],
        "is_multilingual": multilingual,
        "max_initial_timestamp_index": 50,
        "max_length": tensors["model.decoder.embed_positions.weight"].shape[0],
        "no_timestamps_token_id": silent,
        "pad_token_id": end,
        "prev_sot_token_id": special["<|startofprev|>"],
        "return_timestamps": False,
        "suppress_tokens": theirs["suppress_ids"],
        "transformers_version": "4.31.0.dev0",
    }
    if multilingual:
        result["lang_to_id"] = {
            token: special[token] for token in (f"<|{language}|>" for language in theirs_languages(theirs, special))
        }
        result["task_to_id"] = {task: special[f"<|{task}|>"] for task in ("transcribe", "translate")}
    return result


def theirs_languages(theirs, special):
    names = {identifier: token for token, identifier in special.items()}
    return [names[identifier].strip("<|>") for identifier in theirs["lang_ids"]]


def preprocessor_config():
    return {
        "chunk_length": 30,
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": 80,
        "hop_length": 160,
        "mel_filters": mel_filters(80).tolist(),
        "n_fft": 400,
        "n_samples": 480000,
        "nb_max_frames": 3000,
        "padding_side": "right",
        "padding_value": 0.0,
        "processor_class": "WhisperProcessor",
        "return_attention_mask": False,
        "sampling_rate": 16000,
    }


def mel_filters(bands):
    """Slaney's triangles, rounded to float32 before they are scaled to equal areas, as the Hub's file was."""
    step, knee, growth = 200 / 3, 15.0, numpy.log(6.4) / 27
    top = knee + numpy.log(8000 / 1000) / growth
    mels = numpy.linspace(0, top, bands + 2)
    edges = numpy.where(mels >= knee, 1000 * numpy.exp(growth * (mels - knee)), step * mels)
    distances = edges[:, None] - numpy.linspace(0, 8000, 201)[None, :]
    widths = numpy.diff(edges)
    rising, falling = -distances[:-2] / widths[:-1, None], distances[2:] / widths[1:, None]
    triangles = numpy.maximum(0, numpy.minimum(rising, falling)).astype(numpy.float32)
    triangles *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return triangles.astype(numpy.float64)


def tokenizer(theirs, vocabulary):
    """tokenizer.json as the Hub has it: with the timestamps as tokens, and with the first of the merges."""
    added = {token["id"]: token for token in theirs["added_tokens"]}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    for identifier, token in enumerate(vocabulary):
        if re.fullmatch(r"<\|\d+\.\d\d\|>", token):
            added.setdefault(identifier, {"id": identifier, "content": token, **plain})
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in theirs["model"]["merges"]]
    # Converted from a merges.txt without its version line, some copies lost the first merge: token 256.
    (first,) = (token for token, identifier in theirs["model"]["vocab"].items() if identifier == 256)
    if len(first) == 2 and " ".join(first) not in merges:
        merges.insert(0, " ".join(first))
    model = {}
    for key, value in theirs["model"].items():
        model[key] = merges if key == "merges" else value
        if key == "fuse_unk":
            model.setdefault("byte_fallback", False)
    result = theirs | {"added_tokens": [added[identifier] for identifier in sorted(added)], "model": model}
    return json.dumps(result, indent=2, ensure_ascii=False)


def is_multilingual(name):
    return not name.endswith(".en")


def find(folders, pattern):
    found = [file for folder in folders for file in Path(folder).rglob("*") if re.fullmatch(pattern, file.name)]
    return sorted(found, key=lambda file: (len(file.name), file.name))


def main():
    out, name, folders = Path(sys.argv[1]) / sys.argv[2], sys.argv[2], sys.argv[3:]
    parts = find(folders, r"model\.bin") or find(folders, r"model\.bin\.part\d+")
    tensors = hub_tensors(ctranslate2_variables(b"".join(part.read_bytes() for part in parts)))
    theirs = json.loads(find(folders, r"config\.json")[0].read_text("utf-8"))
    their_tokenizer = json.loads(find(folders, r"tokenizer\.json")[0].read_text("utf-8"))
    # A token may be empty, so only a newline ends a line.
    vocabulary = find(folders, r"vocabulary\.txt")[0].read_bytes().decode().removesuffix("\n").split("\n")
    special = {token["content"]: token["id"] for token in their_tokenizer["added_tokens"]}

    def sorted_json(value):
        return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    out.mkdir(parents=True, exist_ok=True)
    texts = {
        "config.json": sorted_json(config(name, tensors, theirs, special)),
        "generation_config.json": sorted_json(generation_config(name, tensors, theirs, special)),
        "preprocessor_config.json": sorted_json(preprocessor_config()),
        "tokenizer.json": tokenizer(their_tokenizer, vocabulary),
    }
    for file, text in texts.items():
        (out / file).write_bytes(text.encode())
    safetensors.numpy.save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    for file, expected in SHA256[name].items():
        found = hashlib.sha256((out / file).read_bytes()).hexdigest()
        if found != expected:
            raise SystemExit(f"{out / file} has SHA-256 {found}; the Hub's has {expected}")


if __name__ == "__main__":
    main()
