"""Why a server refused, in whichever form it says so."""

from __future__ import annotations

import html
import json
import re
from typing import Any

DEEPEST = 5  # levels of an error within an error
_WORDS = (
    "message",
    "msg",
    "detail",
    "details",
    "error_description",
    "description",
    "reason",
    "title",
    "error",
    "errors",
)
_NAMES = ("param", "loc")  # the field of the request that is at fault
_TAGS = re.compile(r"(?s)<!--.*?-->|<(script|style)\b.*?</\1\s*>|<[^<>]*>")


def error_reason(content: bytes) -> str:
    """Message in the body of an error, with the field that it names; empty for an empty body.

    ``{"error": {"message": "no", "param": "seed"}}`` -> ``"no (seed)"``; ``{"detail": [{"loc": ["body", "seed"], "msg":
    "no"}]}`` -> ``"no (body.seed)"``; of HTML the text, of anything else all of it.
    """
    text = content.decode("utf-8", "replace")
    try:
        found = _reason(json.loads(content), DEEPEST)
    except (ValueError, RecursionError):
        found = ""
    return found or _plain(text)


def error_within(content: Any) -> str:
    """Reason in JSON that holds no answer; empty where it gives none."""
    return _reason(content, DEEPEST)


def error_status(content: Any) -> int:
    """The status of HTTP that an error in a body holds ("code" or "status"), 0 where it holds none."""
    error = content.get("error") if isinstance(content, dict) else None
    for holder in (error, content):
        for name in ("code", "status", "status_code"):
            value = holder.get(name) if isinstance(holder, dict) else None
            if isinstance(value, int | str) and re.fullmatch(r"[45][0-9]{2}", str(value)):
                return int(value)
    return 0


def _reason(content: Any, deepest: int) -> str:
    if isinstance(content, str):
        return content.strip()
    if deepest == 0:
        return ""
    if isinstance(content, list):
        reasons = (_reason(item, deepest - 1) for item in content[:3])
        return "; ".join(reason for reason in reasons if reason)
    if not isinstance(content, dict):
        return ""
    found = next((reason for name in _WORDS if (reason := _reason(content.get(name), deepest - 1))), "")
    names = [_name(content[name]) for name in _NAMES if content.get(name)]
    return f"{found} ({', '.join(names)})" if found and names else found


def _name(value: Any) -> str:
    return ".".join(str(part) for part in value[:5]) if isinstance(value, list) else str(value)[:100]


def _plain(text: str) -> str:
    if not text.lstrip().startswith("<"):
        return text
    return html.unescape(_TAGS.sub(" ", text)).strip() or text
