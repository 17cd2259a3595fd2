"""Reading a chat completion: one JSON object, or the pieces of a stream that nobody asked for."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from .rewrite import Refused
from .server_error import error_reason, error_status, error_within

LARGEST = 1 << 20  # bytes of a response
UNFINISHED = {  # finish reasons, those of OpenAI first, then what others call the same
    "length": "it was cut off",
    "max_tokens": "it was cut off",
    "model_length": "it was cut off",
    "content_filter": "it was withheld",
    "safety": "it was withheld",
    "tool_calls": "it calls a tool instead of an answer",
    "function_call": "it calls a tool instead of an answer",
    "tool_use": "it calls a tool instead of an answer",
}
FAILED = "error"  # a finish reason of gateways
COMPRESSED = {"gzip", "x-gzip", "deflate"}  # what zlib reads
OTHER_COMPRESSION = {"br", "zstd", "compress"}
DONE = {"choices": [{"finish_reason": "stop"}]}  # what the last event of a stream says
TEXT_PARTS = (None, "text", "output_text")


class Reply(NamedTuple):
    """A response that was read to its end."""

    status: int
    retry_after: str
    encoding: str
    content: bytes


class NoCompletion(Exception):
    """A body without an answer. ``status`` is the one that it holds itself (0: none), ``reason`` what it says."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status


def unpacked(encoding: str, content: bytes) -> bytes:
    """``content`` without its compression, which was not asked for; :class:`Refused` if it cannot be decompressed
    within ``LARGEST`` bytes. Names of no compression ("identity", "utf-8") leave it as it is."""
    name = encoding.strip().lower()
    if name in OTHER_COMPRESSION or "," in name:
        raise Refused(f"it is compressed ({name[:20]})")
    if name not in COMPRESSED:
        return content
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, by its head
    try:
        found = unpack.decompress(content, LARGEST + 1)
    except zlib.error:
        raise Refused(f"it is compressed ({name}) and damaged") from None
    if len(found) > LARGEST:
        raise Refused(f"it is larger than {LARGEST} bytes")
    if not unpack.eof:
        raise Refused(f"it is compressed ({name}) and damaged")
    return found


def read_text(content: bytes) -> str:
    """The text of the first choice. :class:`Refused` for one that is not finished or holds no text,
    :class:`NoCompletion` for anything else: an error, or no chat completion at all."""
    found = _parsed(content)
    choices = found.get("choices") if isinstance(found, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise NoCompletion(error_within(found) or error_reason(content), error_status(found))
    end = choice.get("finish_reason")
    if end == FAILED or choice.get("error"):
        raise NoCompletion(error_within(choice) or error_within(found), error_status(choice) or error_status(found))
    if end is not None and not isinstance(end, str):
        raise Refused("it was cut off or withheld")
    if end and end.lower() in UNFINISHED:
        raise Refused(UNFINISHED[end.lower()])
    message = choice.get("message")
    text = _text(message.get("content") if isinstance(message, dict) else choice.get("text"))
    if text.strip():
        return text
    if not isinstance(message, dict):
        raise NoCompletion(error_within(found) or error_reason(content), error_status(found))
    raise Refused(_why_empty(message))


def _parsed(content: bytes) -> Any:
    """The JSON of ``content``; a stream of server-sent events as the completion that it adds up to."""
    if content.lstrip()[:1] in {b"d", b":", b"e"}:  # data:, a comment, event:
        return _joined(list(_events(content)))
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise NoCompletion(error_reason(content)) from None


def _events(content: bytes) -> Iterator[Any]:
    data = [line[5:].strip() for line in content.splitlines() if line.startswith(b"data:")]
    if not data:
        raise NoCompletion(error_reason(content))
    for piece in data:
        if piece == b"[DONE]":
            yield DONE
            return
        try:
            yield json.loads(piece)
        except (ValueError, RecursionError):
            raise NoCompletion(error_reason(piece)) from None


def _joined(events: list[Any]) -> dict[str, Any]:
    """One completion of all events. Without a reason to finish and without ``[DONE]`` the connection was cut."""
    texts, end = [], None
    for event in events:
        choices = event.get("choices") if isinstance(event, dict) else None
        if isinstance(event, dict) and (event.get("error") or not choices) and error_within(event):
            raise NoCompletion(error_within(event), error_status(event))
        if not choices:
            continue
        choice = choices[0] if isinstance(choices, list) and isinstance(choices[0], dict) else {}
        if choice.get("error"):
            raise NoCompletion(error_within(choice), error_status(choice))
        piece = choice.get("delta") or choice.get("message")
        texts.append(_text(piece.get("content") if isinstance(piece, dict) else choice.get("text")))
        end = end or choice.get("finish_reason")
    return {"choices": [{"message": {"content": "".join(texts)}, "finish_reason": end or "length"}]}


def _text(content: Any) -> str:
    """The text of a message: a string, or a list of parts of which those of text count."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        value = content.get("text")
        value = value.get("value") if isinstance(value, dict) else value
        return value if content.get("type") in TEXT_PARTS and isinstance(value, str) else ""
    return "".join(map(_text, content)) if isinstance(content, list) else ""


def _why_empty(message: dict[str, Any]) -> str:
    if message.get("refusal"):
        return "it declines"
    if message.get("tool_calls") or message.get("function_call"):
        return UNFINISHED["tool_calls"]
    if any(message.get(name) for name in ("reasoning_content", "reasoning", "thinking")):
        return "it holds thoughts and no text"
    return "it holds no text"
