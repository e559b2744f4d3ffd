"""Makes tiny random Marian models and what transformers computes with them.

Run with torch, transformers (5.23.0) and sentencepiece installed:

    python make_marian.py

writes the folders marian/NAME: a repository as the Hub serves it, and goldens.json beside it. Every switch of the
configuration and every rule of the generation config that the engine knows is on in one model and off in another.
"""

import io
import json
import shutil
from pathlib import Path

import sentencepiece
import torch
from transformers import MarianConfig, MarianMTModel, MarianTokenizer

HERE = Path(__file__).parent / "marian"

SENTENCES = [
    "the red fox runs over the green hill and the old dog sleeps",
    "we see the sun and the moon over the sea",
    "a small boat goes over the blue water to the old town",
    "the dog and the fox go to the town and see the boat",
]
TARGETS = [
    "der rote fuchs läuft über den grünen hügel und der alte hund schläft",
    "wir sehen die sonne und den mond über dem meer",
    "ein kleines boot fährt über das blaue wasser in die alte stadt",
    "der hund und der fuchs gehen in die stadt und sehen das boot",
]
TEXTS = [
    "the red fox",
    "we see the moon over the old town and the sea",
    "dog",
    "the boat goes 7 times </s> over <unk> the sea, Ähm",
    ">>de<< the sun",
    ">>xx<< a hill",
    "go >>de<< to  the   town ",
]

MODELS = {
    # As nearly all opus-mt repositories are.
    "shared": dict(
        config=dict(activation_function="swish", scale_embedding=True),
        generation=dict(num_beams=4, max_length=16, bad_words="pad", forced_eos=True),
        weights="safetensors",
    ),
    # Vocabularies of their own, no generation_config.json.
    "separate": dict(
        config=dict(activation_function="relu", share_encoder_decoder_embeddings=False),
        generation=dict(num_beams=3, max_length=14, early_stopping=True, length_penalty=0.4, forced_eos=True),
        weights="zip",
        in_config=True,
    ),
    # An output layer of its own, and the rules that change scores.
    "untied": dict(
        config=dict(activation_function="gelu", tie_word_embeddings=False, scale_embedding=True),
        generation=dict(
            num_beams=2,
            max_length=18,
            early_stopping="never",
            length_penalty=1.6,
            renormalize_logits=True,
            no_repeat_ngram_size=2,
            repetition_penalty=1.3,
            min_length=5,
            bad_words="runs",
        ),
        weights="rows",
    ),
    # Everything apart.
    "apart": dict(
        config=dict(
            activation_function="gelu_new",
            share_encoder_decoder_embeddings=False,
            tie_word_embeddings=False,
            d_model=15,
            encoder_attention_heads=5,
            decoder_attention_heads=3,
        ),
        generation=dict(
            num_beams=5, max_length=12, forced_bos_token_id=7, suppress_tokens=[9, 11], begin_suppress_tokens=[8]
        ),
        weights="safetensors",
    ),
}


def train(lines, path, pieces):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=pieces,
        model_type="unigram",
        normalization_rule_name="identity",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return [processor.id_to_piece(index) for index in range(processor.get_piece_size())][3:]


def vocabulary(pieces):
    tokens = ["</s>", "<unk>", "<pad>", *dict.fromkeys(pieces), ">>de<<", ">>fr<<"]
    return {token: index for index, token in enumerate(tokens)}


def make(name, spec):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.manual_seed(sum(map(ord, name)))
    source = train(SENTENCES, folder / "source.spm", 60)
    target = train(TARGETS, folder / "target.spm", 64)
    separate = spec["config"].get("share_encoder_decoder_embeddings") is False
    tokenizer_config = {"source_lang": "en", "target_lang": "de", "separate_vocabs": separate}
    if separate:
        encoder, decoder = vocabulary(source), vocabulary(target)
        (folder / "target_vocab.json").write_text(json.dumps(decoder, ensure_ascii=False))
    else:
        encoder = decoder = vocabulary(source + target)
    (folder / "vocab.json").write_text(json.dumps(encoder, ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    pad = decoder["<pad>"]
    generation = dict(spec["generation"])
    generation |= dict(decoder_start_token_id=pad, pad_token_id=pad, eos_token_id=0)
    match generation.pop("bad_words", None):
        case "pad":
            generation["bad_words_ids"] = [[pad]]
        case "runs":
            generation["bad_words_ids"] = [[pad], [0], [5, 6], [3]]
    if generation.pop("forced_eos", False):
        generation["forced_eos_token_id"] = 0
    settings = dict(
        vocab_size=len(encoder),
        decoder_vocab_size=len(decoder),
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=20,
        max_position_embeddings=40,
        pad_token_id=pad,
        decoder_start_token_id=pad,
        eos_token_id=0,
        forced_eos_token_id=generation.get("forced_eos_token_id"),
        init_std=0.3,
    )
    settings |= spec["config"]
    model = MarianMTModel(MarianConfig(**settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
        model.final_logits_bias.copy_(torch.randn_like(model.final_logits_bias) * 0.5)
        # Ends come now and then, at lengths that differ.
        model.final_logits_bias[0, 0] += 2.5
    for key, value in generation.items():
        setattr(model.generation_config, key, value)
    config = model.config.to_dict()
    config["architectures"] = ["MarianMTModel"]
    if spec.get("in_config"):
        config |= generation
    else:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    if spec["weights"] == "safetensors":
        scratch = folder / "scratch"
        model.save_pretrained(scratch)
        shutil.move(scratch / "model.safetensors", folder / "model.safetensors")
        shutil.rmtree(scratch)
    else:
        state = {key: value for key, value in model.state_dict().items() if "embed_positions" not in key}
        is_zip = spec["weights"] == "zip"
        torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=is_zip)
    tokenizer = MarianTokenizer.from_pretrained(folder)
    (folder / "goldens.json").write_text(json.dumps(goldens(model, tokenizer, generation)))
    print(name, sum(path.stat().st_size for path in folder.iterdir()))


@torch.no_grad()
def goldens(model, tokenizer, generation):
    start = generation["decoder_start_token_id"]
    tokens = [tokenizer(text).input_ids for text in TEXTS]
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    forced = torch.tensor([[start, 5, 3, 8, 4]] * len(TEXTS))
    logits = model(**batch, decoder_input_ids=forced).logits
    found = {}
    for beams in sorted({1, 2, generation["num_beams"]}):
        rows = []
        for text in TEXTS:
            alone = tokenizer([text], return_tensors="pt")
            rows.append(model.generate(**alone, num_beams=beams)[0].tolist()[1:])
        found[beams] = rows
    return {
        "texts": TEXTS,
        "tokens": tokens,
        "forced": forced[0].tolist(),
        "logits": [[[round(value, 5) for value in step] for step in row] for row in logits.tolist()],
        "found": found,
        "decoded": [tokenizer.decode(row, skip_special_tokens=True) for row in found[generation["num_beams"]]],
    }


if __name__ == "__main__":
    for name, spec in MODELS.items():
        make(name, spec)
