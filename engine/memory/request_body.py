"""The body of a request for a completion, and what of it an endpoint does not take."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from .prompt import Messages, merged

SYSTEM = "system"  # the turn of that role
OPTIONAL = ("temperature", "seed")
MAY_NAME_A_FIELD = {200, 400, 422, 500, 501}
_NAMED = {name: re.compile(rf"(?<![a-z]){name}(?![a-z])", re.IGNORECASE) for name in OPTIONAL}
_NAMED[SYSTEM] = re.compile(r"\b(?:system|developer)\W+(?:roles?|messages?|prompts?|instructions?)\b|\broles?\b", re.I)


def request_body(
    model: str, messages: Messages, options: Mapping[str, float | int], refused: Collection[str]
) -> dict[str, Any]:
    """JSON for /chat/completions without what is ``refused``: options by their names, and "system" for the turn of that
    role, which then goes before the user's."""
    turns = merged(messages) if SYSTEM in refused else messages
    taken = {name: value for name, value in options.items() if name not in refused}
    return {"model": model, "messages": turns, **taken}


def refused_fields(status: int, reason: str, body: Mapping[str, Any]) -> set[str]:
    """Fields of ``body`` that the server's ``reason`` names, to be left out. Empty where it names nothing that can.

    400, "temperature does not support 0.0" -> {"temperature"}; 400, "System role not supported" -> {"system"}.
    """
    if status not in MAY_NAME_A_FIELD:
        return set()
    sent = {name for name in OPTIONAL if name in body}
    sent |= {SYSTEM for message in body["messages"] if message["role"] == SYSTEM}
    return {name for name in sent if _NAMED[name].search(reason)}
