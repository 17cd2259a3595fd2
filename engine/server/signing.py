"""Signed texts that clients carry: continuations of stories, cookies. HMAC-SHA256 over compressed JSON."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECRET_FILE = "secret"
MAX_BYTES = 1 << 24  # of a token's content: a small token may unpack to any size


class Signer:
    """Signs with one secret; a text that is signed for one ``purpose`` is refused for another."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "Signer(hidden)"

    def sealed(self, purpose: str, content: Mapping[str, Any], seconds: float | None = None) -> str:
        """``content`` as a text of URL characters, valid for that number of seconds (None: for ever)."""
        until = None if seconds is None else time.time() + seconds
        packed = zlib.compress(json.dumps([until, content], separators=(",", ":")).encode(), 9)
        return _encoded(self._tag(purpose, packed) + packed)

    def opened(self, purpose: str, text: str) -> dict[str, Any] | None:
        """The content of a text that :meth:`sealed` made; None for any other."""
        try:
            data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        except (ValueError, binascii.Error):
            return None
        tag, packed = data[:32], data[32:]
        if not hmac.compare_digest(tag, self._tag(purpose, packed)):
            return None
        until, content = json.loads(zlib.decompressobj().decompress(packed, MAX_BYTES))
        return None if until is not None and until < time.time() else content

    def _tag(self, purpose: str, packed: bytes) -> bytes:
        return hmac.new(self._secret, purpose.encode() + b"\0" + packed, hashlib.sha256).digest()


def load_signer(given: str | None, data: Path) -> Signer:
    """A signer with the ``given`` secret, or with that of a file in ``data``, which is made (mode 0600) if missing."""
    if given is not None:
        return Signer(given.encode())
    path = data / SECRET_FILE
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    secret = path.read_text(encoding="ascii").strip()
    if len(secret) < 32:
        raise ValueError(f"{str(path)!r} holds no secret; remove it, and a new one is made")
    return Signer(secret.encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
