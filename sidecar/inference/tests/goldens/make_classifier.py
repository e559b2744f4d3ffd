"""Makes tiny random classifiers and what transformers computes with them.

Run with torch and transformers (5.23.0) installed:

    python make_classifier.py

writes the folders classifier/NAME: a repository as the Hub serves it, and goldens.json beside it.
"""

import json
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

HERE = Path(__file__).parent / "classifier"
TEXTS = ["hello", "a red fox and an old dog", "", "the the the dog", "fox " * 50, "Ärger über 3 boats"]
WORDS = "hello a red fox and an old dog the boat sees runs over".split()
SHARED = dict(
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=24,
    max_position_embeddings=24,
    initializer_range=0.4,
    id2label={0: "de", 1: "en", 2: "fr"},
    label2id={"de": 0, "en": 1, "fr": 2},
)


def tokenizer(first, begin, end, unknown, pad):
    tokens = [*first, *WORDS, *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pair = [(begin, vocabulary[begin]), (end, vocabulary[end])]
    made.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", pair=f"{begin} $A {end} $B {end}", special_tokens=pair
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, cls_token=begin, sep_token=end, unk_token=unknown, pad_token=pad
    )


def make(name, model, wrapped, longest):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    wrapped.backend_tokenizer.save(str(folder / "tokenizer.json"))
    batch = wrapped(
        TEXTS, padding=True, truncation=True, max_length=longest, return_tensors="pt", return_token_type_ids=False
    )
    with torch.no_grad():
        logits = model(**batch).logits
    goldens = {"texts": TEXTS, "logits": [[round(value, 5) for value in row] for row in logits.tolist()]}
    (folder / "goldens.json").write_text(json.dumps(goldens))
    print(name, sum(path.stat().st_size for path in folder.iterdir()))


if __name__ == "__main__":
    torch.manual_seed(3)
    wrapped = tokenizer(["<s>", "<pad>", "</s>", "<unk>"], "<s>", "</s>", "<unk>", "<pad>")
    config = XLMRobertaConfig(
        vocab_size=len(wrapped), pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1, **SHARED
    )
    make("xlm-roberta", XLMRobertaForSequenceClassification(config), wrapped, 22)
    wrapped = tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]"], "[CLS]", "[SEP]", "[UNK]", "[PAD]")
    config = BertConfig(vocab_size=len(wrapped), pad_token_id=0, type_vocab_size=2, **SHARED)
    make("bert", BertForSequenceClassification(config), wrapped, 24)
