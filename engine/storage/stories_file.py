"""Files of stories: JSON Lines, one story a line, its sentences under "sentences", one a frame.

``{"sentences": ["A fox sat in the snow.", "It ran."]}`` is a whole line; what ``acdc write-stories`` adds says how the
story came about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..constraints import Constraints
from ..options import check_sentences
from ..request import StoryRequest
from ..utils.atomic import write_bytes
from ..utils.streams import STDIN, is_input, read_input
from .manifest import MANIFEST_FILE


def read_requests(name: str | Path, seed: int) -> list[StoryRequest]:
    """The stories of a file (``-``: standard input). ``ValueError`` (file, line, reason) for one that cannot be drawn
    or named."""
    if name == "":
        raise ValueError(f"--stories is empty; give a .jsonl file, or {STDIN} for standard input")
    path = Path(name)
    lines: dict[str, int] = {}
    requests = []
    for number, record in enumerate(read_records(path), 1):
        where = f"stories file {str(path)!r}, line {number}"
        try:
            request = _request(record, number, seed, Path() if is_input(str(path)) else path.parent)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        first = lines.setdefault(request.id, number)
        if first != number:
            raise ValueError(f"{where}: story id {request.id!r} is line {first}'s too; give each story its own")
        requests.append(request)
    return requests


KEYS = ("id", "seed", "sentences", "mask", "depth")


def _check_keys(record: dict[str, Any]) -> None:
    """Other keys are the user's notes. One that nearly spells a known key is a typing error: without a word, the story
    would be drawn from another seed."""
    for key in record:
        near = get_close_matches(key.lower(), KEYS, n=1, cutoff=0.75)
        if near and key not in KEYS:
            raise ValueError(f"key {key[:100]!r} is unknown; did you mean {near[0]!r}?")


def _request(record: dict[str, Any], number: int, seed: int, folder: Path) -> StoryRequest:
    _check_keys(record)
    name, own = record.get("id", f"{number:06d}"), record.get("seed", seed + number - 1)
    if not isinstance(name, str):
        raise ValueError(f"'id' is {name!r}; give a text")
    if type(own) is not int:
        raise ValueError(f"'seed' is {own!r}; give an integer")
    if name == MANIFEST_FILE:
        raise ValueError(f"story id {name!r} is the name of the manifest; choose another")
    constraints = Constraints(**_pictures(record, "mask", folder), **_pictures(record, "depth", folder))
    return StoryRequest(name, tuple(record["sentences"]), own, constraints=constraints)


def _pictures(record: dict[str, Any], kind: str, folder: Path) -> dict[str, Any]:
    """A line's pictures as arguments of ``Constraints``: ``"mask": "m.png"`` for every frame, ``"mask": {"2":
    "m.png"}`` for frame 2. Paths are relative to the ``folder`` of the stories file."""
    value = record.get(kind)
    if value is None:
        return {}
    if isinstance(value, str):
        return {kind: folder / value}
    fits = isinstance(value, dict) and all(isinstance(name, str) for name in value.values())
    if not fits or not all(re.fullmatch(r"[1-9]\d{0,5}", frame) for frame in value):
        raise ValueError(f'{kind!r} is {value!r}; give a picture\'s file, or {{"2": FILE}} for frame 2')
    return {f"{kind}s": {int(frame): folder / name for frame, name in value.items()}}


SUFFIX = ".jsonl"
MAX_BYTES = 1 << 26


def read_records(path: Path) -> list[dict[str, Any]]:
    """The file's lines. ``ValueError`` (file, line, reason) for one that holds no story that could be drawn."""
    text = _read_text(path).rstrip()
    if not text:
        raise ValueError(f"stories file {str(path)!r} is empty; give one JSON object a line")
    return [_parse(path, number, line) for number, line in enumerate(split_lines(text), 1)]


def split_lines(text: str) -> list[str]:
    """Lines that end with \\n, \\r\\n or \\r, and with nothing else: U+2028 may be within a text."""
    return re.split("\r\n|\r|\n", text)


def read_stories(path: Path) -> list[tuple[str, ...]]:
    """The sentences of every story, as :func:`read_records` checks them."""
    return [check_sentences(record["sentences"]) for record in read_records(path)]


def write_records(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Replace ``path`` in one step: a crash leaves the file with the stories that it had."""
    lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, "".join(lines).encode())


def _read_text(path: Path) -> str:
    try:
        data = read_input(MAX_BYTES + 1) if is_input(str(path)) else _read_file(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"stories file {str(path)[:200]!r} cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"stories file {str(path)!r} is larger than {MAX_BYTES} bytes; split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"stories file {str(path)!r} is not UTF-8 (byte {error.start})") from None


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    where = f"stories file {str(path)!r}, line {number}"
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(f"{where} is not JSON; give one JSON object a line") from None
    sentences = record.get("sentences") if isinstance(record, dict) else None
    if not isinstance(sentences, list) or not all(isinstance(sentence, str) for sentence in sentences):
        raise ValueError(f"{where} has no list of texts 'sentences'")
    try:
        check_sentences(sentences)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    assert isinstance(record, dict)
    return record
