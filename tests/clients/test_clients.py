"""Runs openai-python and libretranslatepy, both unchanged, against a sidecar.

Usage: test_clients.py SERVING_URL STATUS_URL EXAMPLES_FOLDER EMBEDDINGS_FILE

Each check is a function named check_*. The program prints one line for each and fails if one does.
"""

import csv
import json
import pathlib
import sys
import traceback
import unittest
import urllib.error
import urllib.request

import openai
from libretranslatepy import LibreTranslateAPI

serving, status, examples = sys.argv[1].rstrip("/"), sys.argv[2].rstrip("/"), pathlib.Path(sys.argv[3])
embeddings = json.loads(pathlib.Path(sys.argv[4]).read_text(encoding="utf-8"))
client = openai.OpenAI(base_url=serving + "/v1", api_key="not needed", max_retries=0, timeout=120)
translator = LibreTranslateAPI(serving)
expect = unittest.TestCase()
expect.maxDiff = None

with open(examples / "audio" / "expected.tsv", encoding="utf-8") as lines:
    clips = {row["file"]: row for row in csv.DictReader(lines, delimiter="\t")}


def clip(name):
    return open(examples / "audio" / name, "rb")


def transcribe(name, model="whisper@v2", **options):
    with clip(name) as file:
        return client.audio.transcriptions.create(file=file, model=model, **options)


def words(text):
    return "".join(letter for letter in text.lower() if letter.isalnum() or letter.isspace()).split()


def check_every_clip_is_transcribed():
    """whisper-v2 hears 99 % of such sentences; of these clips it must hear nearly all."""
    right = [name for name, row in clips.items() if words(transcribe(name).text) == words(row["text"])]
    expect.assertGreaterEqual(len(right), len(clips) - 2, sorted(set(clips) - set(right)))


def check_verbose_json_has_segments():
    answer = transcribe("00-de.wav", response_format="verbose_json", timestamp_granularities=["segment"])
    expect.assertIsInstance(answer, openai.types.audio.TranscriptionVerbose)
    expect.assertEqual(answer.language, "german")
    expect.assertEqual(words(answer.text), words(clips["00-de.wav"]["text"]))
    expect.assertGreaterEqual(len(answer.segments), 1)
    expect.assertEqual(words("".join(segment.text for segment in answer.segments)), words(answer.text))
    for segment in answer.segments:
        expect.assertLessEqual(0, segment.start)
        expect.assertLess(segment.start, segment.end)
        expect.assertLessEqual(segment.end, answer.duration + 0.5)
    expect.assertGreater(answer.usage.seconds, 0)


def check_the_text_formats_are_text():
    text = transcribe("03-en.wav", response_format="text")
    expect.assertEqual(words(text), words(clips["03-en.wav"]["text"]))
    expect.assertIn(" --> ", transcribe("03-en.wav", response_format="srt"))
    expect.assertTrue(transcribe("03-en.wav", response_format="vtt").startswith("WEBVTT\n\n"))


def check_options_are_taken():
    answer = transcribe(
        "12-de.wav",
        language="de",
        prompt="Zahlen",
        temperature=0,
        stream=False,
        extra_body={"temperature_fallback": "false", "beam_size": "2", "condition_on_previous_text": "true"},
    )
    expect.assertTrue(answer.text)
    without = transcribe("12-de.wav", language="de", extra_body={"without_timestamps": "true"})
    expect.assertTrue(without.text)


def check_a_transcript_is_streamed():
    whole = transcribe("03-en.wav").text
    events = list(transcribe("03-en.wav", stream=True))
    expect.assertEqual([event.type for event in events[-1:]], ["transcript.text.done"])
    expect.assertEqual(events[-1].text, whole)
    expect.assertTrue(all(event.type == "transcript.text.delta" for event in events[:-1]))
    expect.assertEqual("".join(event.delta for event in events[:-1]), whole)


def check_speech_is_translated():
    with clip("05-de.wav") as file:
        answer = client.audio.translations.create(file=file, model="whisper@v2", response_format="verbose_json")
    expect.assertEqual(answer.language, "english")
    expect.assertGreater(answer.duration, 0)


def check_headers_say_what_answered():
    with clip("20-en.wav") as file:
        raw = client.audio.transcriptions.with_raw_response.create(
            file=file, model="whisper@v1", extra_headers={"x-request-id": "clients-1"}
        )
    expect.assertEqual(raw.headers["x-ostler-model"], "whisper")
    expect.assertEqual(raw.headers["x-ostler-version"], "v1")
    expect.assertRegex(raw.headers["x-ostler-revision"], "^[0-9a-f]{40}$")
    expect.assertIn("x-ostler-dtype", raw.headers)
    expect.assertEqual(raw.headers["x-request-id"], "clients-1")
    expect.assertTrue(raw.parse().text)


def check_one_subject_gets_one_version():
    versions = set()
    for _ in range(3):
        with clip("20-en.wav") as file:
            raw = client.audio.transcriptions.with_raw_response.create(
                file=file, model="whisper", extra_headers={"x-ostler-subject": "speaker-3"}
            )
        versions.add(raw.headers["x-ostler-version"])
    expect.assertEqual(len(versions), 1)


def check_models_are_listed():
    ids = [model.id for model in client.models.list()]
    for name in ["whisper", "whisper@v1", "whisper@v2", "translation", "language-detection"]:
        expect.assertIn(name, ids)
    expect.assertEqual(client.models.retrieve("whisper@v2").id, "whisper@v2")


def check_errors_raise_the_right_exception():
    with expect.assertRaises(openai.NotFoundError) as caught:
        transcribe("20-en.wav", model="gpt-transcribe")
    expect.assertEqual((caught.exception.code, caught.exception.param), ("model_not_found", "model"))
    # The small models name no alignment heads.
    with expect.assertRaises(openai.BadRequestError) as caught:
        transcribe("20-en.wav", response_format="verbose_json", timestamp_granularities=["word"])
    expect.assertEqual(caught.exception.param, "timestamp_granularities")
    expect.assertEqual(caught.exception.type, "invalid_request_error")
    expect.assertTrue(caught.exception.request_id)
    for option in [
        {"include": ["logprobs"]},
        {"chunking_strategy": "auto"},
        {"known_speaker_names": ["agent"]},
        {"keywords": ["Ostler"]},
        {"languages": ["de", "en"]},
        {"response_format": "diarized_json"},
    ]:
        with expect.assertRaises(openai.BadRequestError) as caught:
            transcribe("20-en.wav", **option)
        expect.assertIn(caught.exception.param, option)
    with expect.assertRaises(openai.BadRequestError) as caught:
        transcribe("20-en.wav", stream=True, response_format="srt")
    expect.assertEqual(caught.exception.param, "stream")
    # The engine refuses before there is an event, so there is a status.
    with expect.assertRaises(openai.BadRequestError) as caught:
        transcribe("20-en.wav", stream=True, prompt="<|endoftext|>")
    expect.assertEqual(caught.exception.param, "prompt")
    with expect.assertRaises(openai.BadRequestError):
        client.audio.transcriptions.create(file=("a.wav", b"no audio"), model="whisper")
    with expect.assertRaises(openai.APIStatusError) as caught:
        client.audio.transcriptions.create(file=("a.wav", bytes(26 * 1024 * 1024)), model="whisper")
    expect.assertEqual(caught.exception.status_code, 413)
    with expect.assertRaises(openai.NotFoundError):
        client.models.retrieve("none")


def check_texts_are_embedded():
    """The client asks for base64 unless told otherwise, and decodes it; both must be sentence-transformers' numbers."""
    texts = [text for text in embeddings["texts"] if text]
    expected = {text: vector for text, vector in zip(embeddings["texts"], embeddings["vectors"])}
    for options in [{}, {"encoding_format": "float"}]:
        answer = client.embeddings.create(model="similarity", input=texts, **options)
        expect.assertEqual([entry.index for entry in answer.data], list(range(len(texts))))
        for text, entry in zip(texts, answer.data):
            expect.assertEqual(len(entry.embedding), len(expected[text]))
            for number, other in zip(entry.embedding, expected[text]):
                expect.assertAlmostEqual(number, other, delta=1e-4)
        expect.assertGreater(answer.usage.prompt_tokens, 2 * len(texts))
    short = client.embeddings.create(model="similarity", input=texts[0], dimensions=4).data[0].embedding
    expect.assertEqual(len(short), 4)
    expect.assertAlmostEqual(sum(number**2 for number in short), 1, delta=1e-4)


def check_embedding_errors_raise_the_right_exception():
    for options, parameter in [
        ({"input": [1, 2, 3]}, "input"),
        ({"input": [[1, 2], [3]]}, "input"),
        ({"input": ""}, "input"),
        ({"dimensions": 1000}, "dimensions"),
        ({"model": "whisper"}, "model"),
    ]:
        with expect.assertRaises(openai.BadRequestError) as caught:
            client.embeddings.create(**{"model": "similarity", "input": "one", **options})
        expect.assertEqual(caught.exception.param, parameter)
    with expect.assertRaises(openai.NotFoundError):
        client.embeddings.create(model="text-embedding-3-small", input="one")


def check_pairs_are_scored():
    """vLLM has no client of its own for this; its users post JSON."""
    vectors = {text: vector for text, vector in zip(embeddings["texts"], embeddings["vectors"])}
    first, second, third = [text for text in embeddings["texts"] if text][:3]

    def score(**fields):
        body = json.dumps({"model": "similarity", **fields}).encode()
        request = urllib.request.Request(serving + "/score", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return [entry["score"] for entry in json.load(answer)["data"]]

    def cosine(left, right):
        return sum(one * other for one, other in zip(vectors[left], vectors[right]))

    for fields, pairs in [
        ({"text_1": first, "text_2": second}, [(first, second)]),
        ({"text_1": first, "text_2": [second, third]}, [(first, second), (first, third)]),
        ({"queries": [first, third], "documents": [second, first]}, [(first, second), (third, first)]),
    ]:
        scores = score(**fields)
        expect.assertEqual(len(scores), len(pairs))
        for found, pair in zip(scores, pairs):
            expect.assertAlmostEqual(found, cosine(*pair), delta=1e-4)


def check_texts_are_translated():
    expect.assertEqual(translator.translate("right zero close", "en", "de"), "rechts null schließen")
    expect.assertEqual(translator.translate("rechts null schließen", "de", "en"), "right zero close")
    expect.assertEqual(words(translator.translate("two zero ready", "en", "fr")), words("deux zéro prêt"))


def check_the_source_language_is_detected():
    text = "fünf sechs fünf sechs fünf neun zwei drei"
    found = translator.detect(text)
    expect.assertEqual(found[0]["language"], "de")
    expect.assertGreater(found[0]["confidence"], 50)
    expect.assertTrue(translator.translate(text, "auto", "en").startswith("five six"))


def check_languages_are_listed():
    languages = {language["code"]: language for language in translator.languages()}
    expect.assertEqual(set(languages), {"de", "en", "fr"})
    expect.assertEqual(languages["en"]["name"], "English")
    expect.assertEqual(languages["en"]["targets"], ["de", "en", "fr"])


def check_translation_errors_are_libretranslates():
    with expect.assertRaises(urllib.error.HTTPError) as caught:
        translator.translate("one", "de", "fr")
    expect.assertEqual(caught.exception.code, 400)
    expect.assertIn("not available as a target language", json.load(caught.exception)["error"])
    with expect.assertRaises(urllib.error.HTTPError) as caught:
        translator.translate("", "en", "de")
    expect.assertEqual(json.load(caught.exception), {"error": "Invalid request: missing q parameter"})


def check_the_status_pages_tell():
    with urllib.request.urlopen(status + "/readyz") as answer:
        expect.assertTrue(json.load(answer)["ready"])
    with urllib.request.urlopen(status + "/progress") as stream:
        expect.assertEqual(stream.headers["content-type"], "text/event-stream")
        lines = [stream.readline().decode() for _ in range(2)]
        data = next(line.removeprefix("data: ") for line in lines if line.startswith("data: "))
        expect.assertEqual(json.loads(data)["progressPercent"], 100)
    with urllib.request.urlopen(status + "/metrics") as answer:
        expect.assertIn("ostler_requests_total", answer.read().decode())


failed = 0
for name, check in [(name, value) for name, value in globals().items() if name.startswith("check_")]:
    try:
        check()
        print("ok  ", name, flush=True)
    except Exception:
        failed += 1
        print("FAIL", name, flush=True)
        traceback.print_exc()
sys.exit(1 if failed else 0)
