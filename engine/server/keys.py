"""API keys, and the cookie that a page gets for one."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie

from .signing import Signer

COOKIE = "acdc_session"
SESSION_S = 30 * 24 * 3600.0


class Keys:
    """Keys that are accepted; none accepts every request. Digests are compared, in constant time."""

    def __init__(self, keys: Iterable[str], signer: Signer) -> None:
        self.digests, self.signer = [_digest(key) for key in keys], signer

    def __bool__(self) -> bool:
        return bool(self.digests)

    def accepts(self, key: str) -> bool:
        """Is it one of the keys?"""
        given = _digest(key)
        return sum(hmac.compare_digest(given, known) for known in self.digests) > 0  # all are compared

    def accepted(self, headers: Mapping[str, str]) -> str | None:
        """The digest of the request's key, "" where none is needed; None where it has none of them."""
        if not self.digests:
            return ""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return _digest(token.strip()) if self.accepts(token.strip()) else None
        session = self.signer.opened("session", cookies(headers).get(COOKIE, ""))
        digest = None if session is None else session.get("key")
        return digest if digest in self.digests else None

    def session(self, key: str) -> str:
        """The value of the cookie for a key."""
        return self.signer.sealed("session", {"key": _digest(key)}, SESSION_S)


def cookies(headers: Mapping[str, str]) -> dict[str, str]:
    """Cookies of a request; a malformed header has none."""
    try:
        return {name: part.value for name, part in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
