"""Makes tiny random mBART-50, M2M100 and NLLB models and what transformers computes with them.

Run with torch, transformers (5.23.0), sentencepiece, tokenizers and protobuf installed:

    python make_multilingual.py

writes the folders multilingual/NAME: a repository as the Hub serves it, and goldens.json beside it.
"""

import io
import json
import shutil
from pathlib import Path

import sentencepiece
import torch
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MBart50Tokenizer,
    MBartConfig,
    MBartForConditionalGeneration,
    NllbTokenizer,
)
from transformers.convert_slow_tokenizer import SentencePieceExtractor
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

HERE = Path(__file__).parent / "multilingual"

SENTENCES = [
    "the red fox runs over the green hill and the old dog sleeps",
    "we see the sun and the moon over the sea",
    "a small boat goes over the blue water to the old town",
    "der rote fuchs läuft über den grünen hügel und der alte hund schläft",
    "wir sehen die sonne und den mond über dem meer",
    "le petit bateau va sur l'eau bleue vers la vieille ville",
    "nous voyons le soleil et la lune sur la mer",
]
# A text, and the language that it is in, as a client writes it.
TEXTS = [
    ("the red fox", "en"),
    ("wir sehen die sonne und den mond über der alten stadt und dem meer", "de"),
    ("dog", "en-GB"),
    ("the boat goes 7 times over  the ﬁne sea, Ähm", "en"),
    ("la lune", "fr"),
]
TARGET = "de"

MODELS = {
    # As facebook/mbart-large-50-many-to-many-mmt is: no tokenizer.json.
    "mbart50": dict(
        family="mbart",
        config=dict(activation_function="relu", scale_embedding=True),
        generation=dict(num_beams=3, max_length=16, forced_eos_token_id=2, early_stopping=True),
        codes={"en": "en_XX", "de": "de_DE", "fr": "fr_XX", "en-GB": "en_XX"},
    ),
    # The same saved anew by transformers 5, into one language.
    "mbart50-to-one": dict(
        family="mbart",
        saved=True,
        config=dict(activation_function="gelu", tie_word_embeddings=False),
        generation=dict(num_beams=2, max_length=14, forced_bos_token_id="de_DE"),
        codes={"en": "en_XX", "de": "de_DE", "fr": "fr_XX", "en-GB": "en_XX"},
    ),
    "m2m100": dict(
        family="m2m100",
        config=dict(activation_function="relu", scale_embedding=True),
        generation=dict(num_beams=4, max_length=15, early_stopping=True),
        codes={"en": "en", "de": "de", "fr": "fr", "en-GB": "en"},
    ),
    "nllb": dict(
        family="nllb",
        config=dict(activation_function="relu", scale_embedding=True, d_model=18, encoder_attention_heads=3),
        generation=dict(num_beams=2, max_length=17, no_repeat_ngram_size=3),
        codes={"en": "eng_Latn", "de": "deu_Latn", "fr": "fra_Latn", "en-GB": "eng_Latn"},
    ),
}


def train(path, pieces, kind):
    model = io.BytesIO()
    rule = path.with_suffix(".tsv")
    rule.write_text("FB01\t66 69\n")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=model,
        vocab_size=pieces,
        model_type=kind,
        # Published models have nmt_nfkc, whose table alone is 240 KB; this one has a single rule of it.
        normalization_rule_tsv=str(rule),
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())
    rule.unlink()
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return [processor.id_to_piece(index) for index in range(processor.get_piece_size())]


def write_tokenizer(folder, spec):
    """Writes the files that the Hub's repositories have, and gives the tokenizer over them."""
    spm = folder / "sentencepiece.bpe.model"
    settings = dict(src_lang=None, tgt_lang=None)
    match spec["family"]:
        case "mbart":
            train(spm, 70, "unigram")
            (folder / "tokenizer_config.json").write_text(json.dumps(settings))
            tokenizer = MBart50Tokenizer.from_pretrained(folder)
            if spec.get("saved"):
                tokenizer.save_pretrained(folder)
                spm.unlink()
            return tokenizer
        case "m2m100":
            pieces = train(spm, 90, "bpe")
            # fairseq orders pieces by how often they occur, and leaves rare ones out.
            tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pieces[3:-4])]
            vocabulary = {token: index for index, token in enumerate(tokens)}
            (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
            special = [f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]]
            settings["additional_special_tokens"] = special
            (folder / "tokenizer_config.json").write_text(json.dumps(settings))
            return M2M100Tokenizer.from_pretrained(folder)
        case "nllb":
            pieces = train(spm, 80, "bpe")
            tokens = ["<s>", "<pad>", "</s>", "<unk>", *pieces[3:]]
            vocabulary = {token: index for index, token in enumerate(tokens)}
            extracted = SentencePieceExtractor(str(spm)).extract(None)
            tokenizer = NllbTokenizer(
                vocab=vocabulary,
                merges=extracted["merges"],
                _spm_precompiled_charsmap=extracted["_spm_precompiled_charsmap"],
            )
            tokenizer.save_pretrained(folder)
            spm.unlink()
            return NllbTokenizer.from_pretrained(folder)


def make(name, spec):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.manual_seed(sum(map(ord, name)))
    tokenizer = write_tokenizer(folder, spec)
    codes = {code: tokenizer.convert_tokens_to_ids(spell(spec, code)) for code in spec["codes"].values()}
    size = max(max(codes.values()), len(tokenizer)) + (8 if spec["family"] == "m2m100" else 0)
    settings = dict(
        vocab_size=size,
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=20,
        max_position_embeddings=64,
        decoder_start_token_id=2,
        init_std=0.3,
    )
    settings |= spec["config"]
    if spec["family"] == "mbart":
        model = MBartForConditionalGeneration(MBartConfig(**settings)).eval()
    else:
        model = M2M100ForConditionalGeneration(M2M100Config(**settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
        # A tied output would mostly repeat its input otherwise.
        last = model.get_decoder().layer_norm.weight
        last.copy_(torch.randn_like(last))
        # Ends come now and then, at lengths that differ; no language's token comes in a text.
        embedding = model.get_output_embeddings().weight
        embedding[min(codes.values()) :] *= 0.3
        embedding[2] *= 1.6
    generation = dict(spec["generation"])
    if forced := generation.get("forced_bos_token_id"):
        generation["forced_bos_token_id"] = codes[forced]
    generation |= dict(decoder_start_token_id=2, bos_token_id=0, pad_token_id=1, eos_token_id=2)
    for key, value in generation.items():
        setattr(model.generation_config, key, value)
    if "forced_eos_token_id" not in generation:
        model.generation_config.forced_eos_token_id = None
    config = model.config.to_dict()
    config["architectures"] = [type(model).__name__]
    (folder / "generation_config.json").write_text(json.dumps(generation))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    scratch = folder / "scratch"
    model.save_pretrained(scratch)
    shutil.move(scratch / "model.safetensors", folder / "model.safetensors")
    shutil.rmtree(scratch)
    (folder / "goldens.json").write_text(json.dumps(goldens(model, tokenizer, spec, codes)))
    print(name, size, sum(path.stat().st_size for path in folder.iterdir()))


def spell(spec, code):
    return f"__{code}__" if spec["family"] == "m2m100" else code


@torch.no_grad()
def goldens(model, tokenizer, spec, codes):
    target = codes[spec["codes"][TARGET]]
    tokens = []
    for text, source in TEXTS:
        tokenizer.src_lang = spec["codes"][source]
        tokens.append(tokenizer(text).input_ids)
    longest = max(map(len, tokens))
    batch = torch.tensor([row + [1] * (longest - len(row)) for row in tokens])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in tokens])
    forced = torch.tensor([[2, target, 8, 5]] * len(TEXTS))
    logits = model(input_ids=batch, attention_mask=mask, decoder_input_ids=forced).logits
    beams = model.generation_config.num_beams
    found = {}
    for count in sorted({1, 2, beams}):
        rows = []
        for row in tokens:
            generated = model.generate(input_ids=torch.tensor([row]), num_beams=count, forced_bos_token_id=target)
            rows.append(generated[0].tolist()[1:])
        found[count] = rows
    return {
        "texts": [text for text, _ in TEXTS],
        "sources": [source for _, source in TEXTS],
        "target": TARGET,
        "tokens": tokens,
        "forced": forced[0].tolist(),
        "logits": [[[round(value, 4) for value in step] for step in row] for row in logits.tolist()],
        "found": found,
        "decoded": [tokenizer.decode(row, skip_special_tokens=True).strip() for row in found[beams]],
    }


if __name__ == "__main__":
    for name, spec in MODELS.items():
        make(name, spec)
