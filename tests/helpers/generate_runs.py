"""Shared parts of the tests of ``acdc generate``: a file of stories, and the comparison of two runs."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.helpers.cli_runs import files, without_times

TEXTS = ("A cat sat in a garden.", "It ran.", "The cat slept.")
TIMED = {"story.json", "trace.json", "manifest.jsonl"}


def write_file(stories: Iterable[Any], name: str = "s.jsonl") -> str:
    """Stories as lines: objects, or how many frames."""
    records = [{"sentences": list(TEXTS[:story])} if isinstance(story, int) else story for story in stories]
    Path(name).write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return name


def manifest(directory: str | Path) -> dict[str, dict[str, Any]]:
    """The last line about each story, its time left out."""
    lines = (Path(directory) / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    entries = {entry["id"]: entry for entry in map(json.loads, lines)}
    for entry in entries.values():
        entry.pop("seconds", None)
    return entries


def assert_same(one: str | Path, other: str | Path) -> None:
    """The same files, and in them the same but for times."""
    ours, theirs = files(one), files(other)
    assert ours.keys() == theirs.keys()
    for name, data in ours.items():
        if Path(name).name not in TIMED:
            assert data == theirs[name], f"{name} differs"
    assert manifest(one) == manifest(other)
    for name in manifest(one):
        assert without_times(str(Path(one) / name)) == without_times(str(Path(other) / name))
