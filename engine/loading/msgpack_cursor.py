"""A cursor over a msgpack file that steps over what is large: values of gigabytes are found, not read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, BinaryIO

SMALL = 1 << 16  # bytes that any value which is read here fits into
# First byte of a header -> bytes of the big-endian length after it; the last ones are lengths in themselves.
BIN = {0xC4: 1, 0xC5: 2, 0xC6: 4}
EXT = {0xC7: 1, 0xC8: 2, 0xC9: 4}
FIXED_EXT = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


class Malformed(Exception):
    """A damaged object, without the file and the key."""


@dataclass
class Cursor:
    """A place in the file, and the end of what it may read."""

    file: BinaryIO
    at: int
    end: int

    def value(self, unpack: str = "unpack") -> Any:
        """A small value, or the length of an array (``read_array_header``) or of a map (``read_map_header``)."""
        msgpack = _library()
        self.file.seek(self.at)
        unpacker = msgpack.Unpacker(raw=False, max_buffer_size=SMALL)  # also the most items that a list may claim
        unpacker.feed(self.file.read(min(SMALL, self.end - self.at)))
        try:
            value = getattr(unpacker, unpack)()
        except msgpack.OutOfData:
            whole = self.end - self.at <= SMALL
            raise Malformed(f"ends early, at byte {self.end}" if whole else "not of the expected layout") from None
        except (ValueError, msgpack.UnpackException) as error:
            raise Malformed(f"not of the expected layout ({' '.join(str(error).split())})") from None
        self.at += unpacker.tell()
        return value

    def binary(self) -> Cursor:
        """Step over a bin -> what lies in it."""
        first = self._byte()
        if first not in BIN:
            raise Malformed(f"expected bytes, found a msgpack value of type 0x{first:02x}")
        return self._step(self._number(BIN[first]))

    def ext(self, code: int) -> Cursor:
        """Step over an ext of that code -> what lies in it."""
        first = self._byte()
        if first not in EXT | FIXED_EXT:
            raise Malformed(f"expected an ext, found a msgpack value of type 0x{first:02x}")
        length = FIXED_EXT[first] if first in FIXED_EXT else self._number(EXT[first])
        found = self._byte()
        if found != code:
            raise Malformed(f"ext code {found} is unknown; tensors have {code}")
        return self._step(length)

    def is_map(self) -> bool:
        """Does a map come next?"""
        first = self._byte()
        self.at -= 1
        return first & 0xF0 == 0x80 or first in (0xDE, 0xDF)

    def close(self) -> None:
        """``Malformed`` unless all was read."""
        if self.at != self.end:
            raise Malformed(f"{self.end - self.at} bytes too many before byte {self.end}")

    def _byte(self) -> int:
        return self._number(1)

    def _number(self, size: int) -> int:
        self._check(size)
        self.file.seek(self.at)
        self.at += size
        return int.from_bytes(self.file.read(size), "big")

    def _step(self, length: int) -> Cursor:
        self._check(length)
        inside = replace(self, end=self.at + length)
        self.at += length
        return inside

    def _check(self, length: int) -> None:
        if self.at + length > self.end:
            raise Malformed(f"ends early, at byte {self.end}; it needs {self.at + length}")


def _library() -> Any:
    try:
        import msgpack  # type: ignore[import-untyped,import-not-found]
    except ImportError:
        raise ValueError("LWM's params need the package msgpack: pip install 'acdc-engine[lwm]'") from None
    return msgpack
