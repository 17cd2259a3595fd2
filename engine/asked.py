"""A file of stories as what is asked for: each with a name, its sentences and a seed.

The format is ``written.py``'s, and a line may have two keys more:

    {"sentences": ["A fox sat in the snow.", "It ran."], "id": "fox", "seed": 7}

Without them story number i, counted from 1, is called by it ("000001") and has seed ``seed`` + i - 1, so that stories
which are added at the end change no other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .manifest import MANIFEST_FILE
from .request import StoryRequest
from .written import read_records

STDIN = "-"


def read_requests(name: str | Path, seed: int) -> list[StoryRequest]:
    """The stories of a file (``-``: standard input). ``ValueError`` (file, line, reason) for one that cannot be drawn
    or named."""
    if name == "":
        raise ValueError(f"--stories is empty; give a .jsonl file, or {STDIN} for standard input")
    path = Path("/dev/stdin" if name == STDIN else name)
    lines: dict[str, int] = {}
    requests = []
    for number, record in enumerate(read_records(path), 1):
        where = f"stories file {str(path)!r}, line {number}"
        try:
            request = _request(record, number, seed)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        first = lines.setdefault(request.id, number)
        if first != number:
            raise ValueError(f"{where}: story id {request.id!r} is line {first}'s too; give each story its own")
        requests.append(request)
    return requests


def _request(record: dict[str, Any], number: int, seed: int) -> StoryRequest:
    name, own = record.get("id", f"{number:06d}"), record.get("seed", seed + number - 1)
    if not isinstance(name, str):
        raise ValueError(f"'id' is {name!r}; give a text")
    if type(own) is not int:
        raise ValueError(f"'seed' is {own!r}; give an integer")
    if name == MANIFEST_FILE:
        raise ValueError(f"story id {name!r} is the name of the manifest; choose another")
    return StoryRequest(name, tuple(record["sentences"]), own)
