"""Do two revisions of this repository draw the same pixels? Run: ``python tests/compare_outputs.py REV_A REV_B``.

Each revision is checked out into a folder of its own and draws, in eager float32 on one thread: the seven stories of
the paper at seeds 0 and 7 (``acdc story``), one video (``acdc video``), and the stories again at seed 7 as one file
(``acdc generate``). Pictures are compared pixel by pixel, codes and refined prompts as they lie in ``story.json``.
The exit code is 1 if anything differs. A refactoring passes; a change of what is drawn says so in its commit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageSequence

ROOT = Path(__file__).parents[1]
EXAMPLES = ("max", "thumper", "benny", "oliver", "luna", "baxter", "ruby")
SEEDS = (0, 7)
SAME = ("--backend", "eager", "--dtype", "float32", "--threads", "1")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revisions", nargs=2, metavar="REV")
    parser.add_argument("--examples", default=",".join(EXAMPLES), help="names, separated by commas (default: all)")
    arguments = parser.parse_args()
    examples = arguments.examples.split(",")
    with tempfile.TemporaryDirectory() as folder:
        digests = [drawn(revision, Path(folder) / str(i), examples) for i, revision in enumerate(arguments.revisions)]
    first, second = digests
    different = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    for name in different:
        print(f"differs: {name}")
    print(f"{len(first)} pictures and records of {arguments.revisions[0]}, {len(different)} differ")
    return 1 if different or not first else 0


def drawn(revision: str, folder: Path, examples: list[str]) -> dict[str, str]:
    """Files that ``revision`` draws: path below its output -> digest."""
    tree, out = folder / "acdc", folder / "out"
    tree.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive, check=True)
    for words in commands(out, examples, folder):
        environment = os.environ | {"PYTHONPATH": str(folder), "ACDC_CACHE": str(folder / "cache")}
        ran = subprocess.run(
            [sys.executable, "-m", "acdc.engine", *words, *SAME],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise SystemExit(f"{revision}: acdc {' '.join(words)}: {ran.stderr.strip()[-400:]}")
    return {str(path.relative_to(out)): digest(path) for path in sorted(out.rglob("*")) if is_output(path)}


def commands(out: Path, examples: list[str], folder: Path) -> Iterator[list[str]]:
    """The command lines, without the options that all share."""
    for seed in SEEDS:
        for example in examples:
            yield ["story", "--example", example, "--seed", str(seed), "--out", str(out / f"{example}-{seed}")]
    yield ["video", "--example", examples[0], "--frames", "16", "--seed", "7", "--out", str(out / "video")]
    stories = folder / "stories.jsonl"
    records = []
    for example in examples:
        sentences = json.loads((out / f"{example}-7" / "story.json").read_text(encoding="utf-8"))["sentences"]
        records.append(json.dumps({"id": example, "seed": 7, "sentences": sentences}))
    stories.write_text("\n".join(records) + "\n", encoding="utf-8")
    yield ["generate", "--stories", str(stories), "--serial", "--out", str(out / "many")]


def is_output(path: Path) -> bool:
    return path.suffix in {".png", ".gif"} or path.name == "story.json"


def digest(path: Path) -> str:
    """Digest of a picture's pixels; for a story of its prompts and codes, since times differ from run to run."""
    found = hashlib.sha256()
    if path.name == "story.json":
        frames = json.loads(path.read_bytes())["frames"]
        kept = [{k: v for k, v in frame.items() if "code" in k or "prompt" in k} for frame in frames]
        found.update(json.dumps(kept, sort_keys=True).encode())
    else:
        with Image.open(path) as picture:
            for frame in ImageSequence.Iterator(picture):
                found.update(f"{frame.size}".encode() + frame.convert("RGB").tobytes())
    return found.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
