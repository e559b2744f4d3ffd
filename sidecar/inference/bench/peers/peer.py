"""What the scripts here share: they answer requests, one line of JSON each, as `src/protocol.rs` has them."""

import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np

RATE = 16_000
WINDOW = 30 * RATE

# Standard output carries answers alone; whatever a library prints there goes to standard error.
_answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def samples(path: str) -> np.ndarray:
    """A clip as the driver wrote it: float32, mono, 16 kHz."""
    return np.fromfile(path, "<f4")


def timed(work: Callable[[], tuple[list[str], list[list[int]]]]) -> dict:
    """Does the work, which gives texts and their tokens, and says how long it took."""
    start = time.perf_counter()
    texts, tokens = work()
    return {"seconds": time.perf_counter() - start, "texts": texts, "tokens": tokens}


def serve(load: Callable[[dict], str], **handlers: Callable[[dict], dict]) -> None:
    """Answers until the input ends. `load` gives the engine's name; a handler's answer is what `timed` gives."""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["request"] == "load":
                start = time.perf_counter()
                name = load(request)
                answer = {"seconds": time.perf_counter() - start, "engine": name}
            else:
                answer = handlers[request["request"]](request)
        except Exception as error:  # Whatever went wrong is the answer, and the driver says it in the table.
            answer = {"error": f"{type(error).__name__}: {error}"}
        _answers.write(json.dumps(answer) + "\n")
        _answers.flush()
