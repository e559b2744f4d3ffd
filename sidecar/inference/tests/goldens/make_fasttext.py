"""Makes small fastText models and what fastText predicts with them.

Run with fastText's Python module installed (fasttext-numpy2-wheel 0.9.2, or fasttext itself):

    python make_fasttext.py

writes fasttext/NAME.bin and NAME.ftz, and goldens.json beside them: for each text the ten most probable labels, each
with its probability.
"""

import json
import tempfile
from pathlib import Path

import fasttext

HERE = Path(__file__).parent / "fasttext"
SENTENCES = {
    "de": [
        "das ist ein schönes Haus am See", "der Hund läuft über die Straße", "wir fahren morgen nach München",
        "ich möchte einen Kaffee trinken", "die Kinder spielen im Garten", "heute ist das Wetter sehr schön",
    ],
    "en": [
        "this is a beautiful house by the lake", "the dog runs across the street", "we drive to Munich tomorrow",
        "I would like to drink a coffee", "the children play in the garden", "the weather is very nice today",
    ],
    "fr": [
        "c'est une belle maison au bord du lac", "le chien court dans la rue", "nous allons à Munich demain",
        "je voudrais boire un café", "les enfants jouent dans le jardin", "il fait très beau aujourd'hui",
    ],
    "ru": [
        "это красивый дом у озера", "собака бежит через улицу", "завтра мы едем в Мюнхен",
        "я хочу выпить кофе", "дети играют в саду", "сегодня очень хорошая погода",
    ],
    "zh": ["这是湖边的一座漂亮的房子", "狗 跑过 街道", "我们 明天 去 慕尼黑", "我想 喝 咖啡", "孩子们 在 花园 里 玩"],
}
TEXTS = [
    "das ist ein Haus", "the dog plays", "le chien joue dans la maison", "собака играет", "我们 喝 咖啡",
    "", "  \t ", "Straße", "zzz", "the </s> Hund läuft", "__label__de the dog", "__label__xx the dog",
    "das\vHaus\fist\rschön", "é", "<a>", "the street the street the street Straße", "😀 emoji 👍🏽",
    "a" * 300, "naïve café " * 40,
]


def text_file(folder, lines):
    path = Path(folder) / "lines.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def predictions(model):
    rows = []
    for text in TEXTS:
        labels = model.f.predict(text + "\n", -1, 0.0, "strict")
        rows.append([[label.removeprefix("__label__"), round(float(score), 7)] for score, label in labels[:10]])
    return rows


def main():
    HERE.mkdir(exist_ok=True)
    goldens = {"texts": TEXTS, "models": {}}
    languages = [f"__label__{code} {line}" for code, lines in SENTENCES.items() for line in lines]
    # Labels of different counts, so that the tree of the hierarchical softmax is not balanced.
    skewed = languages + [line for line in languages if line.startswith("__label__de")] * 3
    many = [f"__label__L{number} word{number % 40} thing{number % 17}" for number in range(270)]
    # Each thread fills a tenth of the first weights, and fewer would leave the rest unset. Training in parallel is not
    # repeatable, so every run makes other models.
    common = dict(epoch=60, lr=0.3, thread=12, verbose=0, minCount=1)
    with tempfile.TemporaryDirectory() as folder:

        def train(lines, **options):
            return fasttext.train_supervised(text_file(folder, lines), **common, **options)

        def keep(name, model):
            model.save_model(str(HERE / name))
            # Predictions are those of the file as it is read back.
            goldens["models"][name] = predictions(fasttext.load_model(str(HERE / name)))

        words = dict(minn=0, maxn=0, dim=6)
        keep("words-softmax.bin", train(languages, loss="softmax", **words))
        grams = dict(minn=2, maxn=4, dim=16, bucket=260)
        keep("characters-hs.bin", train(skewed, loss="hs", **grams))
        keep("pairs-softmax.bin", train(languages, loss="softmax", wordNgrams=3, minn=1, maxn=3, dim=8, bucket=300))
        model = train(skewed, loss="hs", **grams)
        model.quantize(dsub=2, qnorm=False)
        keep("characters-hs.ftz", model)
        model = train(languages, loss="softmax", wordNgrams=2, minn=2, maxn=4, dim=7, bucket=900)
        model.quantize(
            input=text_file(folder, languages), qnorm=True, retrain=True, cutoff=280, dsub=3, epoch=5, lr=0.2, thread=12
        )
        keep("pruned-softmax.ftz", model)
        model = train(many, loss="softmax", wordNgrams=2, dim=4, bucket=260)
        model.quantize(qout=True, qnorm=True, dsub=2)
        keep("many-labels-softmax.ftz", model)
        keep("unsupported-ova.bin", train(languages, loss="ova", **words))
    (HERE / "goldens.json").write_text(json.dumps(goldens, ensure_ascii=False))
    for path in sorted(HERE.iterdir()):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
