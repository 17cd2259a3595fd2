"""Messages between driver and engines as bytes: JSON, then the pixels of its pictures. Nothing in them is executed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

PICTURE = "uint8 at"  # the key by which JSON refers to pixels: [offset, height, width, ...]
PREFIX = 8  # bytes that hold the length of the JSON


def pack(record: Any) -> bytes:
    """``record``, which is what JSON takes with uint8 arrays anywhere in it. ``TypeError`` for anything else."""
    pictures: list[bytes] = []
    end = 0

    def refer(value: Any) -> dict[str, list[int]]:
        nonlocal end
        if not (isinstance(value, np.ndarray) and value.dtype == np.uint8):
            raise TypeError(f"{type(value).__name__} cannot be sent; give what JSON takes, or a uint8 array")
        pictures.append(value.tobytes())
        start, end = end, end + value.nbytes
        return {PICTURE: [start, *value.shape]}

    text = json.dumps(record, default=refer).encode()
    return b"".join([len(text).to_bytes(PREFIX), text, *pictures])


def unpack(message: bytes) -> Any:
    """The record of :func:`pack`; tuples come back as lists. ``ValueError`` for other bytes."""
    start = PREFIX + int.from_bytes(message[:PREFIX])

    def look_up(value: dict[str, Any]) -> Any:
        return _pixels(message, start, *value[PICTURE]) if value.keys() == {PICTURE} else value

    try:
        return json.loads(message[PREFIX:start], object_hook=look_up)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a message of {len(message)} bytes is damaged: {error}") from None


def _pixels(message: bytes, start: int, offset: int, *shape: int) -> NDArray[np.uint8]:
    """A copy, which may be written to: torch warns of arrays that may not."""
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(message, np.uint8, count, start + offset).reshape(shape).copy()
