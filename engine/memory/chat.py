"""Any OpenAI-compatible endpoint: POST {url}/chat/completions."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .answer import Refused
from .ask import Limits, Unreachable
from .optional import check, need
from .prompt import Messages
from .rewrite import MemoryFailure
from .secret import HERE, KEY_VARIABLE, find_key
from .settings import MemorySettings, harmless

LARGEST = 1 << 20  # bytes of a response
WORTH_ANOTHER_TRY = {408, 425, 429}
FINISHED = (None, "stop", "eos_token", "stop_sequence")  # the latter two are text-generation-inference's words
LIBRARIES = ("httpx2", "httpcore2")


class Reply(NamedTuple):
    """A response that was read to its end."""

    status: int
    retry_after: str
    encoding: str
    content: bytes


class Endpoint:
    """One model behind one address. The key goes to that address and nowhere else: redirects are not followed.

    Built from settings that are resolved; ``ValueError`` for a missing key or package, an address or a proxy that the
    library does not take, and certificates that cannot be read.
    """

    memory = "chat"

    def __init__(self, settings: MemorySettings, limits: Limits | None = None) -> None:
        assert settings.url is not None
        assert settings.model is not None
        self.url, self.model, self.limits = settings.url, settings.model, limits or Limits()
        self._key = find_key(self.url)
        if self._key.within(self.model):
            raise ValueError(f"memory_model holds the API key; give it in {KEY_VARIABLE} only")
        check("tenacity", self.memory)
        self._httpx, self._anyio = need("httpx2", self.memory), need("anyio", self.memory)
        self._threads = need("anyio.from_thread", self.memory)
        self._by_proxy = urlsplit(self.url).hostname not in HERE  # what is for this machine stays on it
        self._certificates = self._read_certificates()  # 50 ms: once, not with every request
        self._check_address()

    def complete(
        self, messages: Messages, *, timeout_s: float, temperature: float = 0.0, seed: int | None = None
    ) -> str:
        """The text of the first choice; raises as :class:`~.ask.LanguageModel` says.

        No ``max_tokens`` is sent, for newer models refuse it; the time and the bytes of an answer are bounded.
        """
        body: dict[str, Any] = {"model": self.model, "messages": messages, "temperature": temperature}
        reply = self._post(body if seed is None else {**body, "seed": seed}, timeout_s)
        self._check_status(reply)
        text = read_text(reply)
        if self._key.within(text):
            raise Refused("it holds the API key")
        return text

    def _post(self, body: dict[str, Any], timeout_s: float) -> Reply:
        """The reply within ``timeout_s`` seconds, name resolution and a server that sends byte by byte included.

        That takes an event loop: one of its own, in a thread of its own if the caller's thread has one already.
        """
        try:
            with self._key.kept_out_of_logs(*LIBRARIES):
                reply: Reply = self._run(self._exchange, body, timeout_s)
                return reply
        except TimeoutError:
            raise Unreachable(f"{self.url} gave no answer within {timeout_s:.3g} s") from None
        except self._httpx.HTTPError as error:
            why = self._said(str(error)) or type(error).__name__
            raise Unreachable(f"{self.url} cannot be reached: {why}") from None

    def _run(self, work: Callable[..., Awaitable[Reply]], *given: Any) -> Reply:
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # no further thread, on which Python would wait at its exit
            return self._anyio.run(work, *given)  # type: ignore[no-any-return]
        with self._threads.start_blocking_portal() as portal:
            return portal.call(work, *given)  # type: ignore[no-any-return]

    async def _exchange(self, body: dict[str, Any], timeout_s: float) -> Reply:
        headers = {"Accept-Encoding": "identity"}  # or a few bytes might unpack to gigabytes
        if self._key:
            headers["Authorization"] = f"Bearer {self._key.reveal()}"
        with self._anyio.fail_after(timeout_s):
            async with (
                self._client() as client,
                client.stream("POST", f"{self.url}/chat/completions", json=body, headers=headers) as response,
            ):
                content = bytearray()
                async for piece in response.aiter_raw():
                    content += piece
                    if len(content) > LARGEST:
                        raise Refused(f"it is larger than {LARGEST} bytes")
                found = response.headers
                encoding = found.get("content-encoding", "identity")
                return Reply(response.status_code, found.get("retry-after", ""), encoding, bytes(content))

    def _client(self) -> Any:
        return self._httpx.AsyncClient(
            follow_redirects=False, timeout=None, verify=self._certificates, trust_env=self._by_proxy
        )

    def _check_address(self) -> None:
        """What only the library refuses, before anything is drawn: 256.256.256.256, or a proxy by SOCKS."""
        try:
            self._httpx.URL(f"{self.url}/chat/completions")
        except self._httpx.InvalidURL as error:
            raise ValueError(f"memory_url {harmless(self.url)!r} is no URL: {error}") from None
        try:
            self._client()
        except ImportError:
            raise ValueError("the environment names a SOCKS proxy, which needs the package 'socksio'") from None
        except (ValueError, self._httpx.InvalidURL):  # its text would hold the proxy's user
            names = "$ALL_PROXY, $HTTP_PROXY, $HTTPS_PROXY"
            raise ValueError(f"the environment names a proxy that is no URL of HTTP; check {names}") from None

    def _read_certificates(self) -> Any:
        try:
            return self._httpx.create_ssl_context()
        except OSError as error:
            names = "$SSL_CERT_FILE, $SSL_CERT_DIR"
            raise ValueError(f"certificates cannot be read ({error.strerror or error}); check {names}") from None

    def _check_status(self, reply: Reply) -> None:
        status = reply.status
        if status == 200:
            return
        said = self._said(error_message(reply.content))
        what = f"{self.url} answered {status}{f' ({said})' if said else ''}"
        if status in WORTH_ANOTHER_TRY or status >= 500:
            wait = retry_after_s(reply.retry_after)
            raise Unreachable(f"{what} and asks for {wait:.0f} s of patience" if wait else what, wait)
        if 300 <= status < 400:
            what = f"{self.url} redirects ({status}), which is not followed; give the address that it leads to"
        elif status in {401, 403}:
            what = f"{self.url} refuses the key ({status}); check {KEY_VARIABLE}"
        raise MemoryFailure(f"memory {self.memory!r} failed: {what}")

    def _said(self, message: str) -> str:
        """What a server or a library said, if it may be repeated: one short printable line without the key."""
        if self._key.within(message):
            return ""
        line = " ".join("".join(c if c.isprintable() else " " for c in message).split())
        return line if len(line) <= 200 else f"{line[:200]} ..."


def read_text(reply: Reply) -> str:
    """``choices[0].message.content`` of a chat completion; :class:`Refused` if that is not a finished text."""
    if reply.encoding != "identity":
        raise Refused("it is compressed")
    try:
        choice = json.loads(reply.content.decode("utf-8"))["choices"][0]
        text, end = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Refused("it is no chat completion") from None
    if not isinstance(text, str) or not text.strip():
        raise Refused("it holds no text")
    if end not in FINISHED:
        raise Refused("it was cut off or withheld")
    return text


def error_message(content: bytes) -> str:
    """``error.message`` of an OpenAI-compatible error, or nothing."""
    try:
        message = json.loads(content.decode("utf-8"))["error"]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return message if isinstance(message, str) else ""


def retry_after_s(header: str) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3): a number, or a date; 0 for anything else.

    "120" -> 120.0; "Wed, 21 Oct 2015 07:28:00 GMT" -> 0.0, as that is over.
    """
    if re.fullmatch(r"[0-9]{1,9}", header.strip()):
        return float(header)
    try:
        until = parsedate_to_datetime(header)
        return max(0.0, (until - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return 0.0
