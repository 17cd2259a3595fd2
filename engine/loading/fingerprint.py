"""Which weights a story was drawn with: a digest of the files of a bundle's parts, links followed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..utils.file_digest import file_digest
from .converted import FOLDER, hash_samples
from .families import KINDS, ComponentSpec

DIGITS = 32
OLD_DIGITS = 16
NOISE = "random"
# Files that repositories hold besides and that nothing here reads, but for a kind's ``pickles``: other frameworks',
# pictures, notes.
NEVER_READ = frozenset(
    {".bin", ".ckpt", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".onnx_data", ".gguf", ".tflite"}
    | {".md", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".mp4"}
)


def fingerprint(parts: Mapping[str, ComponentSpec]) -> str:
    """Digits that change with the name or any byte of any file that could be read; ``NOISE`` without files."""
    digest, names = hashlib.sha256(), 0
    read = {name for role, part in parts.items() for name in KINDS[role][part.kind].pickles}
    for start, folder in _folders(parts):
        for path in sorted(_files(folder)):
            if (path.suffix.lower() not in NEVER_READ or path.name in read) and _is_weights(path, folder):
                name = f"{start}/{path.relative_to(folder).as_posix()}"
                digest.update(f"{name}\0{file_digest(path)}\n".encode("utf-8", "surrogateescape"))
                names += 1
    return digest.hexdigest()[:DIGITS] if names else NOISE


def old_fingerprint(parts: Mapping[str, ComponentSpec]) -> str:
    """The fingerprint of earlier versions, which their stories record: the first, middle and last mebibyte of each
    file, linked folders left out."""
    digest, names = hashlib.sha256(), 0
    for start, folder in _folders(parts):
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and _is_weights(p, folder)):
            digest.update(f"{start}/{path.relative_to(folder).as_posix()}".encode())
            hash_samples(digest, path)
            names += 1
    return digest.hexdigest()[:OLD_DIGITS] if names else NOISE


def _folders(parts: Mapping[str, ComponentSpec]) -> Iterator[tuple[str, Path]]:
    for role, part in parts.items():
        for name, folder in part.folders.items():
            yield role if name == "path" else f"{role}.{name}", folder


def _files(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Every file below ``folder``, through links; a link back to a folder that it lies in is passed over."""
    own = os.path.realpath(folder)
    if own in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(Path(entry.path), (*above, own))
            elif entry.is_file():
                yield Path(entry.path)


def _is_weights(path: Path, folder: Path) -> bool:
    """Not what a download tool notes in dot folders, nor MODEL/converted/NAME-DIGEST/..., made of a published
    MODEL/NAME that is still there."""
    parts = path.relative_to(folder).parts
    if any(part.startswith(".") for part in parts):
        return False
    if FOLDER not in parts:
        return True
    at = parts.index(FOLDER)
    return not folder.joinpath(*parts[:at], parts[at + 1].rpartition("-")[0]).is_file()
