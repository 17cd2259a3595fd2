"""Published files that are converted once: the result lies in a folder of its own, later starts read that.

    MODEL/params                               as published
    MODEL/converted/params-0123456789abcdef/   the same tensors as safetensors

The folder's name holds a digest of every byte of the published file, so that another file under the same name is
converted again.
It is filled under another name and then renamed: it is complete or not there. Where the published file has been
deleted afterwards, its conversion still serves.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from ..utils.file_digest import file_digest

DIGITS = 16
SAMPLE = 1 << 20
FOLDER = "converted"


def converted(source: Path, convert: Callable[[Path, Path], object], num_bytes: int, root: Path | None = None) -> Path:
    """The folder of ``source`` under ``root`` (None: ``converted`` next to it), made by ``convert(source, folder)``
    if it is not there.

    ``num_bytes`` is how much room that takes. Raises ``ValueError`` (one line, names the path) where there is neither
    the file nor its conversion, too little room, or no right to write. Processes that start at once wait for the first.
    """
    root = source.parent / FOLDER if root is None else Path(root)
    if not source.is_file():
        return _only(source, root)
    folder = root / f"{source.name}-{file_digest(source)[:DIGITS]}"
    for made in (folder, root / f"{source.name}-{_old_digest(source)}"):
        if made.is_dir() and (made == folder or made.stat().st_mtime > source.stat().st_ctime):
            return made
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{source.name}.lock"):
            if not folder.is_dir():
                _fill(source, folder, convert, num_bytes)
    except OSError as error:
        raise ValueError(f"{root}: {source} cannot be converted there ({error.strerror or error})") from None
    return folder


def find(source: Path, root: Path | None = None) -> list[Path]:
    """The conversions of a file of that name, whichever contents it had."""
    root = source.parent / FOLDER if root is None else Path(root)
    return sorted(path for path in root.glob(f"{source.name}-*") if path.is_dir())


def _old_digest(path: Path) -> str:
    """By which earlier versions named conversions: it misses changes elsewhere, so the times must tell of those."""
    total = hashlib.sha256()
    hash_samples(total, path)
    return total.hexdigest()[:DIGITS]


def hash_samples(total: hashlib._Hash, path: Path) -> None:
    """Add the file's size and its first, middle and last mebibyte to ``total``."""
    size = path.stat().st_size
    total.update(str(size).encode())
    with path.open("rb") as file:
        for offset in sorted({0, max(0, size // 2 - SAMPLE // 2), max(0, size - SAMPLE)}):
            file.seek(offset)
            total.update(file.read(SAMPLE))


def _only(source: Path, root: Path) -> Path:
    found = find(source, root)
    if len(found) == 1:
        return found[0]
    said = "no conversion of it" if not found else f"{len(found)} conversions: {', '.join(p.name for p in found)}"
    raise ValueError(f"{source}: no such file, and {said} in {root}")


def _fill(source: Path, folder: Path, convert: Callable[[Path, Path], object], num_bytes: int) -> None:
    part = folder.with_name(f".{source.name}.part")  # a fixed name: what a killed run left is removed, not collected
    shutil.rmtree(part, ignore_errors=True)
    free = shutil.disk_usage(folder.parent).free
    if free < num_bytes:
        raise ValueError(f"{folder.parent}: {source} needs {num_bytes:,} bytes there once converted, {free:,} are free")
    part.mkdir()
    try:
        convert(source, part)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
