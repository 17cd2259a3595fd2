"""The API key: read from the environment, kept out of logs, errors, reprs and files."""

from __future__ import annotations

import html
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn
from urllib.parse import unquote, urlsplit

KEY_VARIABLE, OPENAI_VARIABLE = "ACDC_CHAT_API_KEY", "OPENAI_API_KEY"
PLACEHOLDER = 8  # shorter "keys" ("none", "EMPTY") keep no secret, and may be part of any sentence
PIECE = 12  # characters in a row of a longer key are a secret too; the beginning and the end that servers show are not
HERE = {"localhost", "127.0.0.1", "::1"}


class Secret:
    """A text that shows itself to nobody but :meth:`reveal`. It cannot be pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret(hidden)" if self._value else "Secret()"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")

    def reveal(self) -> str:
        """The text itself, for the request's header and nothing else."""
        return self._value

    def within(self, text: str) -> bool:
        """Does ``text`` hold the secret, in whatever case?"""
        return len(self._value) >= PLACEHOLDER and self._value.casefold() in text.casefold()

    def echoed_in(self, text: str) -> bool:
        """Does ``text``, which a server sent, hold the secret or a good part of it: broken into lines, or escaped as in
        JSON, HTML or a URL?"""
        if len(self._value) < PLACEHOLDER:
            return False
        key = self._value.casefold()
        pieces = [key[i : i + PIECE] for i in range(max(1, len(key) - PIECE + 1))]
        decoded = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
        for form in (text, html.unescape(unquote(decoded))):
            bare = "".join(c for c in form if "!" <= c <= "~" and c != "\\").casefold()
            if any(piece in bare for piece in pieces):
                return True
        return False

    @contextmanager
    def kept_out_of_logs(self, *libraries: str) -> Iterator[None]:
        """Meanwhile the loggers of ``libraries`` drop what holds the secret.

        HTTP libraries log response headers at DEBUG, and a server may send back whatever it was sent.
        """
        found = [name for name in logging.root.manager.loggerDict if name.split(".")[0] in libraries]
        loggers = [logging.getLogger(name) for name in found]

        def keep(record: logging.LogRecord) -> bool:
            return not self.within(record.getMessage())

        for logger in loggers:
            logger.addFilter(keep)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(keep)


def find_key(url: str, environment: Mapping[str, str] | None = None) -> Secret:
    """The key for ``url``: $ACDC_CHAT_API_KEY, else $OPENAI_API_KEY; empty where none is set and ``url`` is http.

    Raises ``ValueError`` if https:// has none, if the text does not fit into a header, if ``url`` holds it, and if
    $OPENAI_API_KEY, which may have been set for another service, would travel unencrypted to another machine.
    """
    variables = os.environ if environment is None else environment
    variable = KEY_VARIABLE if variables.get(KEY_VARIABLE) else OPENAI_VARIABLE
    value = variables.get(variable, "").strip()
    parts = urlsplit(url)
    if not value and parts.scheme == "https":
        raise ValueError(f"no API key for {url!r}; set the environment variable {KEY_VARIABLE} (or {OPENAI_VARIABLE})")
    if not re.fullmatch(r"""[!-~]*""", value) or set(value) & set("\"'\\"):
        raise ValueError(f"{variable} holds characters that no API key has; set it to the key alone")
    if parts.scheme == "http" and parts.hostname not in HERE and value and variable == OPENAI_VARIABLE:
        raise ValueError(f"{variable} is not sent unencrypted to {parts.hostname!r}; set {KEY_VARIABLE} if it may be")
    secret = Secret(value)
    if secret.within(url):
        raise ValueError(f"memory_url holds the API key; give it in {KEY_VARIABLE} only")
    return secret
