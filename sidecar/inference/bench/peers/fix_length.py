"""A folder of a Whisper model whose texts are all of one length: fix_length.py MODEL TO TOKENS.

The files are the model's own, but for generation_config.json: every special token is suppressed, the end of text
among them, and so many tokens are written. What is measured is then the same work for everybody.
"""

import json
import os
import sys
from pathlib import Path


def main(model: Path, to: Path, tokens: int) -> None:
    to.mkdir()
    for file in model.iterdir():
        if file.name != "generation_config.json":
            os.symlink(file.resolve(), to / file.name)
    config = json.loads((model / "config.json").read_text())
    generation = json.loads((model / "generation_config.json").read_text())
    special = range(generation["eos_token_id"], config["vocab_size"])
    generation["suppress_tokens"] = sorted({*generation["suppress_tokens"], *special})
    generation["max_new_tokens"] = tokens
    (to / "generation_config.json").write_text(json.dumps(generation))


main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
