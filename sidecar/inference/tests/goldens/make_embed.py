"""Makes tiny random sentence encoders and what sentence-transformers computes with them.

Run with torch, transformers (5.23.0) and sentence-transformers (6.2.0) installed:

    python make_embed.py

writes the folders embed/NAME: a repository as the Hub serves it, and goldens.json beside it.
"""

import json
import shutil
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer, models
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaModel

from make_classifier import tokenizer

HERE = Path(__file__).parent / "embed"
TEXTS = [
    "hello",
    "a red fox and an old dog",
    "",
    "the the the dog",
    "fox " * 50,
    "Ärger über 3 boats",
    " HELLO A RED  Fox ",
    "boat runs over the old dog",
]
SHARED = dict(
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=24,
    max_position_embeddings=24,
    initializer_range=0.4,
)


def bert():
    wrapped = tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]"], "[CLS]", "[SEP]", "[UNK]", "[PAD]")
    return BertConfig(vocab_size=len(wrapped), pad_token_id=0, type_vocab_size=2, **SHARED), wrapped


def xlm_roberta():
    wrapped = tokenizer(["<s>", "<pad>", "</s>", "<unk>"], "<s>", "</s>", "<unk>", "<pad>")
    config = XLMRobertaConfig(
        vocab_size=len(wrapped), pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1, **SHARED
    )
    return config, wrapped


def save(folder, model, wrapped, longest=None):
    """Saves the transformer alone, with random biases and norms too."""
    shutil.rmtree(folder, ignore_errors=True)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.eval().save_pretrained(folder)
    wrapped.backend_tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(cls_token=wrapped.cls_token, sep_token=wrapped.sep_token, unk_token=wrapped.unk_token)
    names.update(pad_token=wrapped.pad_token, tokenizer_class="PreTrainedTokenizerFast")
    if longest:
        names["model_max_length"] = longest
    write(folder / "tokenizer_config.json", names)


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=1))


def modules(folder, names):
    """The list of modules as the releases before 5.0 wrote it, which is what most repositories hold."""
    entries = [
        {
            "idx": index,
            "name": str(index),
            "path": "" if name == "Transformer" else f"{index}_{name}",
            "type": f"sentence_transformers.models.{name}",
        }
        for index, name in enumerate(names)
    ]
    write(folder / "modules.json", entries)


def pooling(folder, **modes):
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, **modes})


def golden(name):
    folder = HERE / name
    model = SentenceTransformer(str(folder), device="cpu")
    vectors = model.encode(TEXTS, batch_size=len(TEXTS), convert_to_numpy=True)
    prompt = model.prompts.get(model.default_prompt_name) or ""
    counts = [int(model.preprocess([prompt + text])["attention_mask"].sum()) for text in TEXTS]
    goldens = {
        "texts": TEXTS,
        "tokens": counts,
        "vectors": [[round(float(number), 6) for number in vector] for vector in vectors],
    }
    write(folder / "goldens.json", goldens)
    print(name, vectors.shape, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))


def dense(folder, inputs, outputs, activation):
    layer = models.Dense(inputs, outputs, activation_function=activation)
    folder.mkdir()
    layer.save(str(folder))


if __name__ == "__main__":
    torch.manual_seed(4)
    HERE.mkdir(exist_ok=True)

    # LaBSE's own stack.
    folder = HERE / "bert-cls-dense-normalize"
    config, wrapped = bert()
    save(folder, BertModel(config), wrapped)
    modules(folder, ["Transformer", "Pooling", "Dense", "Normalize"])
    pooling(folder, pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    dense(folder / "2_Dense", 16, 12, torch.nn.Tanh())
    write(folder / "sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": False})
    golden(folder.name)

    # The stack of paraphrase-multilingual-mpnet-base-v2, lower-cased, with a default prompt.
    folder = HERE / "xlm-roberta-mean"
    config, wrapped = xlm_roberta()
    wrapped.backend_tokenizer.normalizer = None
    save(folder, XLMRobertaModel(config), wrapped)
    modules(folder, ["Transformer", "Pooling"])
    pooling(folder, pooling_mode_mean_tokens=True)
    write(folder / "sentence_bert_config.json", {"max_seq_length": 12, "do_lower_case": True})
    prompts = {"prompts": {"query": "the boat ", "passage": "a "}, "default_prompt_name": "query"}
    write(folder / "config_sentence_transformers.json", prompts)
    golden(folder.name)

    # Every kind of pooling side by side, as the current release writes a repository.
    folder = HERE / "bert-every-pooling"
    config, wrapped = bert()
    save(HERE / "plain", BertModel(config), wrapped, longest=20)
    transformer = models.Transformer(str(HERE / "plain"))
    kinds = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
    layers = [transformer, models.Pooling(16, kinds), models.Dense(96, 8, bias=False, activation_function=torch.nn.GELU())]
    shutil.rmtree(folder, ignore_errors=True)
    SentenceTransformer(modules=layers, device="cpu").save(str(folder), create_model_card=False)
    shutil.rmtree(HERE / "plain")
    golden(folder.name)

    # A model of transformers with a head of pre-training, which says nothing about sentences.
    folder = HERE / "xlm-roberta-plain"
    config, wrapped = xlm_roberta()
    save(folder, XLMRobertaForMaskedLM(config), wrapped, longest=22)
    golden(folder.name)
