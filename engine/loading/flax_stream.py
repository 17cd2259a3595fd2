"""A file of flax tensors, one after another: where each lies is read first, then any rows of any of them.

The file is msgpack objects without a header, one a tensor (flax's own serialisation, as LWM's ``params`` has
it): [key, bin], and the bin holds one more msgpack object.

    ["transformer", "ln_f", "kernel"], bin of
        ext 1: [[4096], "bfloat16", bin of 8192]                          up to 2^30 bytes of values, row-major
        or, above that, flat pieces that make up the tensor in the order of their numbers:
        {"__msgpack_chunked_array__": true,
         "shape": {"0": 32, "1": 4096, "2": 11008},
         "chunks": {"0": ext 1 of [[536870912], ..], "1": .., "2": ext 1 of [[369098752], ..]}}

Headers are a few bytes each, so nothing large is read before it is asked for, and never more than that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import torch
from torch import Tensor

from .msgpack_cursor import Cursor, Malformed

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
ARRAY_EXT = 1
T = TypeVar("T")


@dataclass(frozen=True)
class Stored:
    """A tensor on disk: its values lie at ``extents`` (offset, bytes), one after another."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    extents: tuple[tuple[int, int], ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, file: BinaryIO, row: int | None = None) -> Tensor:
        """The tensor, or row ``row`` of its first axis."""
        shape = self.shape if row is None else self.shape[1:]
        values = torch.empty(shape, dtype=self.dtype)
        room = values.reshape(-1).view(torch.uint8).numpy().data
        first, filled, begin = 0 if row is None else row * len(room), 0, 0
        for offset, size in self.extents:  # begin = the tensor's byte that this extent starts with
            inside = first + filled - begin
            if filled < len(room) and inside < size:
                part = room[filled : filled + size - inside]
                file.seek(offset + inside)
                if file.readinto(part) != len(part):  # type: ignore[attr-defined]
                    raise Malformed(f"the file ends before byte {offset + size}")
                filled += len(part)
            begin += size
        return values


def read_index(path: Path) -> dict[str, Stored]:
    """Position of each tensor in the file, by its key with slashes.

    Raises ``ValueError`` (one line, names the file and the key) for a file that ends early, a repeated key, and
    whatever is not laid out as above.
    """
    found: dict[str, Stored] = {}
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            cursor = Cursor(file, 0, size)
            while cursor.at < size:
                key = _named(path, f"the object at byte {cursor.at}", lambda: _key(cursor))
                if key in found:
                    raise ValueError(f"{path}: key {key!r} appears twice")
                found[key] = _named(path, f"key {key!r}", lambda: _tensor(cursor))
    except OSError as error:
        raise ValueError(f"{path}: not readable ({error.strerror or error})") from None
    return found


def _named(path: Path, what: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except Malformed as error:
        raise ValueError(f"{path}: {what}: {error}") from None


def _key(cursor: Cursor) -> str:
    if cursor.value("read_array_header") != 2:
        raise Malformed("expected [key, tensor]")
    key = cursor.value()
    if not (isinstance(key, list) and key and all(isinstance(part, str) for part in key)):
        raise Malformed(f"expected a key of several words, found {str(key)[:60]!r}")
    return "/".join(key)


def _tensor(cursor: Cursor) -> Stored:
    blob = cursor.binary()
    stored = _chunked(blob) if blob.is_map() else _plain(blob.ext(ARRAY_EXT))
    blob.close()
    return stored


def _plain(cursor: Cursor) -> Stored:
    if cursor.value("read_array_header") != 3:
        raise Malformed("expected [shape, dtype, values]")
    shape, name = cursor.value(), cursor.value()
    if not (isinstance(shape, list) and _sizes(shape)):
        raise Malformed(f"shape {repr(shape)[:60]} is none")
    if not isinstance(name, str) or name not in DTYPES:
        raise Malformed(f"dtype {str(name)[:60]!r} is unknown; choose from {', '.join(DTYPES)}")
    values = cursor.binary()
    cursor.close()
    stored = Stored(tuple(shape), DTYPES[name], ((values.at, values.end - values.at),))
    return _checked(stored)


def _chunked(cursor: Cursor) -> Stored:
    shape: Any = None
    pieces: dict[str, Stored] = {}
    for name in _names(cursor):
        if name == "shape":
            shape = cursor.value()
        elif name == "chunks":
            pieces = {number: _plain(cursor.ext(ARRAY_EXT)) for number in _names(cursor)}
        elif name != "__msgpack_chunked_array__" or cursor.value() is not True:
            raise Malformed(f"unknown entry {name[:60]!r} of a chunked tensor")
    sizes = _numbered(shape, "size") if isinstance(shape, dict) else None
    if not sizes or not _sizes(sizes):
        raise Malformed(f"shape {repr(shape)[:60]} of a chunked tensor is none")
    parts = _numbered(pieces, "chunk")
    if not parts:
        raise Malformed("chunk '0' is missing")
    if len({part.dtype for part in parts}) > 1:
        raise Malformed("its chunks differ in dtype")
    return _checked(Stored(tuple(sizes), parts[0].dtype, tuple(extent for part in parts for extent in part.extents)))


def _names(cursor: Cursor) -> Iterator[str]:
    """The names of a map, one after another; the caller reads the value after each."""
    for _ in range(cursor.value("read_map_header")):
        name = cursor.value()
        if not isinstance(name, str):
            raise Malformed(f"expected a name, found {str(name)[:60]!r}")
        yield name


def _numbered(values: dict[str, T], what: str) -> list[T]:
    """{"0": a, "1": b, ..} -> [a, b, ..]"""
    for number in range(len(values)):
        if str(number) not in values:
            raise Malformed(f"{what} '{number}' is missing")
    return [values[str(number)] for number in range(len(values))]


def _sizes(values: list[Any]) -> bool:
    return all(type(size) is int and size >= 0 for size in values)


def _checked(stored: Stored) -> Stored:
    held = sum(size for _, size in stored.extents)
    if held != stored.nbytes:
        raise Malformed(
            f"{held} bytes in {len(stored.extents)} parts; shape {list(stored.shape)} needs {stored.nbytes}"
        )
    return stored
