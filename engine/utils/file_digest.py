"""SHA-256 of every byte of a file, kept with what the system says of the file, so that a large one is read once.

    ROOT/<digest of the path>.json    {"file": [size, mtime, ctime, inode], "sha256": ...}

A change of the contents changes the time of the last change of the inode (ctime), which no program can set back. A file
that changed less than two seconds ago is read again next time: it may change once more within one tick of the clock.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

from ...compile.cache import default_root
from .atomic import write_json

SETTLED = 2.0  # seconds without a change; file systems count ticks of up to one


def default_kept() -> Path | None:
    """A folder next to the plans; None for a user without a cache folder."""
    try:
        return default_root().with_name("fingerprints")
    except (OSError, RuntimeError):
        return None


def file_digest(path: Path, kept: Path | None = None) -> str:
    """64 hex digits of the contents of ``path``; ``kept`` is the folder of earlier results (None: the user's own).

    A folder that cannot be read or written costs time alone. Raises ``OSError`` where the file cannot be read.
    """
    root = default_kept() if kept is None else kept
    note = None if root is None else root / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json"
    before = _state(path)
    if note is not None and (found := _read(note, before)) is not None:
        return found
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if note is not None and before == _state(path) and time.time() - max(before[1:3]) / 1e9 > SETTLED:
        _write(note, before, digest)
    return digest


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _read(note: Path, state: list[int]) -> str | None:
    try:
        stored = json.loads(note.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(stored, dict) or stored.get("file") != state:
        return None
    digest = stored.get("sha256")
    return digest if isinstance(digest, str) and len(digest) == 64 else None


def _write(note: Path, state: list[int], digest: str) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(note, {"file": state, "sha256": digest})
    except OSError:
        pass  # read again next time
