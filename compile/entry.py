"""One plan on disk: a folder that is whole or counts as nothing. See cache.py."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Entry:
    """One plan on disk."""

    folder: Path
    what: str
    num_bytes: int
    used: float  # seconds since the epoch


def keep_adjacent(folder: Path, name: str, data: bytes) -> None:
    """Write ``data`` with its digest into an entry, whole or not at all. ``OSError`` if it cannot be."""
    part = folder / f".{name}.{os.getpid()}"
    try:
        part.write_bytes(hashlib.blake2b(data).digest() + data)
        part.rename(folder / name)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def find_adjacent(folder: Path, name: str) -> bytes | None:
    """The object that :func:`keep_adjacent` stored; None if nothing is there, or it is damaged."""
    try:
        stored = (folder / name).read_bytes()
    except OSError:
        return None
    size = hashlib.blake2b().digest_size
    digest, data = stored[:size], stored[size:]
    return data if hashlib.blake2b(data).digest() == digest else None


def seal(folder: Path, what: str) -> None:
    """Write the manifest, last: a folder without one is not an entry."""
    files = {path.name: _digest(path) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps({"what": what, "files": files}, indent=1), encoding="utf-8")


def intact(folder: Path) -> bool:
    """Do all files of the manifest lie there, unchanged?"""
    files = read_manifest(folder / MANIFEST).get("files")
    if not isinstance(files, dict) or not files:
        return False
    return all((folder / name).is_file() and _digest(folder / name) == digest for name, digest in files.items())


def measured(path: Path, what: str) -> Entry:
    files = path.rglob("*") if path.is_dir() else [path]
    return Entry(path, what, sum(file.stat().st_size for file in files if file.is_file()), path.stat().st_mtime)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def publish(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError:  # another process was first: its plan is as good
        if not intact(folder):
            raise


def read_manifest(manifest: Path) -> dict[str, object]:
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
