"""``manifest.jsonl``: which stories of a folder are finished, and which failed. One line of JSON a story, appended.

    {"id": "000001", "seed": 0, "frames": 6, "seconds": 3.214, "sentences": "9f86d081884c7d65"}
    {"id": "000002", "error": "memory failed for sentence 3: ..."}

A story's line is written when all of its files are there, in one write that is on disk before anything else happens; so
a crash costs at most the end of the last line, and the story's files are found by the next run. ``sentences`` is a
digest, by which another story under an old name is noticed. The last line about a story counts.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

MANIFEST_FILE = "manifest.jsonl"
IN_USE = "another run is writing there; wait for its end, or choose another --out"


@dataclass(frozen=True)
class Finished:
    """A story all of whose files are there. ``seconds`` from its beginning to its last frame, waiting runs left out."""

    id: str
    seed: int
    frames: int
    seconds: float
    sentences: str

    def record(self) -> dict[str, Any]:
        """Its line."""
        rounded = {"seconds": round(float(self.seconds), 3), "sentences": self.sentences}
        return {"id": self.id, "seed": self.seed, "frames": self.frames, **rounded}


@dataclass(frozen=True)
class Failed:
    """A story that ended early; the frames before that are kept."""

    id: str
    error: str

    def record(self) -> dict[str, Any]:
        """Its line."""
        return {"id": self.id, "error": self.error}


@dataclass(frozen=True)
class Manifest:
    """Contents of a manifest: the last line about each story; ``whole`` bytes of the ``size`` that the file has are
    whole lines, the rest is what a crash left of one."""

    entries: Mapping[str, Finished | Failed] = field(default_factory=dict)
    whole: int = 0
    size: int = 0

    @cached_property
    def finished(self) -> Mapping[str, Finished]:
        """Stories of which every file was there."""
        return {name: entry for name, entry in self.entries.items() if isinstance(entry, Finished)}


def digest(sentences: Sequence[str], constraints: Mapping[str, Any] | None = None) -> str:
    """Sixteen hex digits of a story's sentences, and of its constraints where it has some."""
    asked = [list(sentences), dict(constraints)] if constraints else list(sentences)
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def read_manifest(path: Path) -> Manifest:
    """The manifest at ``path``; empty where it does not exist. ``ValueError`` (file, line, reason) if it is damaged
    before its end."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Manifest()
    entries: dict[str, Finished | Failed] = {}
    whole = 0
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        last = whole + len(line) == len(data)
        if not line.endswith(b"\n"):
            break  # the last one: it ends in the middle
        try:
            entry = _parse(line)
        except ValueError as error:
            if last:
                break
            reason = f"{str(path)!r}, line {number} is damaged ({error})"
            raise ValueError(f"{reason}; choose --overwrite to start again, or another --out") from None
        entries[entry.id] = entry
        whole += len(line)
    return Manifest(entries, whole, len(data))


class ManifestWriter:
    """Appends to ``path``, alone, after the whole lines of ``known``, which was read from there. None: what is there
    stays until :meth:`start_over`, and nothing is to be appended before that.

    ``ValueError`` where another run writes to it, or has since it was read.
    """

    def __init__(self, path: Path, known: Manifest | None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            if not _lock(self._file) or (known is not None and os.fstat(self._file).st_size != known.size):
                raise ValueError(f"{str(path)!r}: {IN_USE}")
            if known is not None:
                self._cut(known.whole)
        except BaseException:
            os.close(self._file)
            raise
        sync_directory(path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def start_over(self) -> None:
        """Forget all stories."""
        self._cut(0)

    def append(self, entry: Finished | Failed) -> None:
        """One line, on disk when this returns."""
        line = json.dumps(entry.record(), ensure_ascii=False, allow_nan=False) + "\n"
        data = line.encode("utf-8", "backslashreplace")
        if os.write(self._file, data) != len(data):
            raise OSError(f"the line of story {entry.id!r} could not be written whole; is the disk full?")
        os.fsync(self._file)

    def _cut(self, size: int) -> None:
        os.ftruncate(self._file, size)
        os.fsync(self._file)


def sync_directory(path: Path) -> None:
    """Have the names in ``path`` on disk, where the system can say so."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _parse(line: bytes) -> Finished | Failed:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None
    expected: dict[str, type] = {"id": str, "seed": int, "frames": int, "seconds": float, "sentences": str}
    if isinstance(record, dict) and "error" in record:
        expected = {"id": str, "error": str}
    for name, kind in expected.items():
        if not isinstance(record, dict) or type(record.get(name)) is not kind:
            raise ValueError(f"no {name!r} of a story")
    values = [record[name] for name in expected]
    return Failed(*values) if "error" in record else Finished(*values)


def _lock(file: int) -> bool:
    """Ours until the file is closed or the process is gone? Where the system knows no locks: yes."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True
