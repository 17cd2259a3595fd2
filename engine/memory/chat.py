"""Any OpenAI-compatible endpoint: POST {url}/chat/completions."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .ask import Busy, Limits, Silent, Unreachable
from .chat_completion import LARGEST, NoCompletion, Reply, read_text, unpacked
from .optional import check, need
from .prompt import Messages
from .request_body import refused_fields, request_body
from .rewrite import MemoryFailure, Refused
from .secret import HERE, KEY_VARIABLE, find_key
from .server_error import error_reason
from .settings import MemorySettings, chat_address, harmless

BUSY = {408, 425, 429, 502, 503, 504, 529}  # a model that is being loaded, a queue that is full
NO_CREDIT = b"insufficient_quota"  # a 429 of OpenAI's that does not pass
CONNECT_S = 10.0  # seconds for a connection; an answer may take all the time there is
LIBRARIES = ("httpx2", "httpcore2")


class Trouble(NamedTuple):
    """Status and reason of a failed request: the error's own status, else the response's."""

    status: int
    reason: str
    reply: Reply


class Endpoint:
    """One model at one address. The key goes to that address and nowhere else: redirects are not followed.

    Built from settings that are resolved; ``ValueError`` for a missing key or package, an address or a proxy that the
    library does not take, and unreadable certificates.
    """

    memory = "chat"

    def __init__(self, settings: MemorySettings, limits: Limits | None = None) -> None:
        assert settings.url is not None
        assert settings.model is not None
        self.url, self.model, self.limits = settings.url, settings.model, limits or Limits()
        self._key, self._refused = find_key(self.url), frozenset[str]()
        self._address, self._with_version = chat_address(self.url)
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

        What the endpoint refuses and a request can do without (``request_body.py``) is left out from then on. No
        ``max_tokens`` is sent, for newer models refuse it; the time and the bytes of an answer are bounded.
        """
        ends = time.monotonic() + timeout_s
        options = {"temperature": temperature} if seed is None else {"temperature": temperature, "seed": seed}
        while True:
            body = request_body(self.model, messages, options, self._refused)
            answer = self._read(self._post(body, max(0.001, ends - time.monotonic())))
            if isinstance(answer, str):
                return answer
            fields = refused_fields(answer.status, answer.reason, body)
            if not fields:
                raise self._failure(answer)
            self._refused |= fields  # one assignment, so that threads need no lock

    def _read(self, reply: Reply) -> str | Trouble:
        content = unpacked(reply.encoding, reply.content)
        if not 200 <= reply.status < 300:
            return Trouble(reply.status, error_reason(content), reply)
        try:
            text = read_text(content)
        except NoCompletion as error:
            return Trouble(error.status or reply.status, error.reason, reply)
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
            why = f"{self.url} gave no answer within {timeout_s:.3g} s; a slow model needs a longer --memory-timeout"
            raise Silent(why) from None
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
            if self._with_version:  # as Azure asks for it where its address has a version
                headers["api-key"] = self._key.reveal()
        with self._anyio.fail_after(timeout_s):
            async with (
                self._client() as client,
                client.stream("POST", self._address, json=body, headers=headers) as response,
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
            follow_redirects=False,
            timeout=self._httpx.Timeout(None, connect=CONNECT_S),
            verify=self._certificates,
            trust_env=self._by_proxy,
        )

    def _check_address(self) -> None:
        """Addresses that only the library refuses, before anything is drawn: 256.256.256.256, or a proxy by SOCKS."""
        try:
            self._httpx.URL(self._address)
        except self._httpx.InvalidURL as error:
            raise ValueError(f"memory_url {harmless(self.url)!r} is not a URL: {error}") from None
        try:
            self._client()
        except ImportError:
            raise ValueError("the environment names a SOCKS proxy, which needs the package 'socksio'") from None
        except (ValueError, self._httpx.InvalidURL):  # its text would hold the proxy's user
            names = "$ALL_PROXY, $HTTP_PROXY, $HTTPS_PROXY"
            raise ValueError(f"the environment names a proxy that is not a URL of HTTP; check {names}") from None

    def _read_certificates(self) -> Any:
        try:
            return self._httpx.create_ssl_context()
        except OSError as error:
            names = "$SSL_CERT_FILE, $SSL_CERT_DIR"
            raise ValueError(f"certificates cannot be read ({error.strerror or error}); check {names}") from None

    def _failure(self, trouble: Trouble) -> Exception:
        """The error to raise: worth another try, or not."""
        status, reply = trouble.status, trouble.reply
        said = self._said(trouble.reason)
        because = f" ({said})" if said else ""
        if 200 <= reply.status < 300:
            what = f"{self.url} answered {reply.status} with no chat completion{because}"
        else:
            what = f"{self.url} answered {reply.status}{because}"
        if NO_CREDIT not in reply.content:
            wait = retry_after_s(reply.retry_after)
            what = f"{what} and asks for {wait:.0f} s of patience" if wait else what
            if status in BUSY:
                return Busy(what, wait)
            if status >= 500 or status < 300:
                return Unreachable(what, wait)
        if 300 <= status < 400:
            what = f"{self.url} redirects ({status}), which is not followed; give the address that it leads to"
        elif status in {401, 403}:
            what = f"{self.url} refuses the key ({status}); check {KEY_VARIABLE}{because}"
        elif status in {404, 405} and not re.search(r"/v[0-9]", self.url):
            what = f"{what}; many addresses end with /v1"
        return MemoryFailure(f"memory {self.memory!r} failed: {what}")

    def _said(self, message: str) -> str:
        """The message of a server or a library, if it may be repeated: one short printable line without the key."""
        message = message[:2000]
        if self._key.echoed_in(message):
            return ""
        line = " ".join("".join(c if c.isprintable() else " " for c in message).split())
        return line if len(line) <= 200 else f"{line[:200]} ..."


def retry_after_s(header: str) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3): a number, or a date; 0 for anything else.

    "120" -> 120.0; "Wed, 21 Oct 2015 07:28:00 GMT" -> 0.0, as that is over.
    """
    seconds = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", seconds):
        return float(seconds)
    try:
        until = parsedate_to_datetime(header)
        return max(0.0, (until - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return 0.0
