"""Write, then rename: a file on disk is either the old one or the complete new one, never a part."""

import json
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PNG_LEVEL = 2  # of zlib: a quarter of the default level's time for files that are about an eighth larger


def write_bytes(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` in one step; the folder must exist. ``OSError`` leaves the old file as it was.

    The temporary name is fixed, so that the file of a killed run is reused, and such files do not pile up.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """Replace ``path`` by ``content`` as readable JSON; a number that JSON does not know is a ``ValueError``."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def write_png(path: Path, image: NDArray[np.uint8] | Image.Image) -> None:
    """Replace ``path`` by ``image`` (uint8 [H, W, 3] or a PIL image), lossless."""
    write_bytes(path, png_bytes(image))


def png_bytes(image: NDArray[np.uint8] | Image.Image) -> bytes:
    """A PNG file of ``image``, which is as for :func:`write_png`."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = BytesIO()
    picture.save(buffer, format="PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()


def check_parent(option: str, name: str) -> None:
    """``ValueError`` unless a file ``name``, given as ``option``, may be written: its folder exists and is ours."""
    parent = Path(name).parent
    if not parent.is_dir():
        raise ValueError(f"{option} {name!r}: {str(parent)!r} is not a directory; give a file in an existing one")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ValueError(f"{option} {name!r}: {str(parent)!r} is not writable; choose another place")


def check_file(option: str, name: str) -> Path:
    """The path ``name``, given as ``option``; ``ValueError`` unless a file may be written there."""
    if Path(name).is_dir():
        raise ValueError(f"{option} {name!r} is a directory; give a file")
    check_parent(option, name)
    return Path(name)


def check_directory(path: Path) -> None:
    """``ValueError`` where ``path`` cannot be a folder to write to: it lies below a file, or may not be written."""
    try:
        nearest = path.absolute()
    except FileNotFoundError:
        raise ValueError(f"output path {str(path)!r}: the current folder is gone; change to another") from None
    try:
        while not nearest.exists() and not nearest.is_symlink():
            nearest = nearest.parent
        is_directory = nearest.is_dir()
    except OSError as error:  # a name too long for the file system, for one
        raise ValueError(f"output path {str(path)[:200]!r} cannot be used: {error.strerror}") from None
    if not is_directory:
        raise ValueError(f"output path {str(path)!r}: {str(nearest)!r} is not a directory; choose another --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"output path {str(path)!r}: {str(nearest)!r} is not writable; choose another --out")


def make_directory(path: Path) -> None:
    """Make the folder ``path`` and those above it, where they are missing; raises as :func:`check_directory`."""
    check_directory(path)
    path.mkdir(parents=True, exist_ok=True)
