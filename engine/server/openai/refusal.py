"""Requests that are refused, with the field at fault, as clients of OpenAI's API expect."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from ..errors import ApiError

SHOWN = 80  # characters of a value that a message quotes


class Refusal(ApiError):
    """400: ``param`` is the field at fault, ``code`` the kind of fault, for programs."""

    def __init__(self, message: str, param: str | None = None, code: str = "invalid_value") -> None:
        super().__init__(400, message, param=param, code=code)


def unsupported(param: str, value: Any, advice: str) -> Refusal:
    """The refusal of a field, or of a value of it, that this engine cannot meet."""
    return Refusal(f"{param} {shown(value)} is not supported; {advice}", param, "unsupported_parameter")


def refusal_of(error: ValidationError) -> Refusal:
    """The first fault that pydantic found, as one line."""
    first = error.errors(include_url=False)[0]
    param = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return Refusal(f"{param} is missing; give it", param, "missing_required_parameter")
    if first["type"] == "extra_forbidden":
        return Refusal(f"unknown parameter {param!r}; docs/openai.md lists the known ones", param, "unknown_parameter")
    if "param" in first.get("ctx", {}):
        return Refusal(first["msg"], first["ctx"]["param"], first["type"])
    if not param:
        return Refusal(f"the body is a {type(first['input']).__name__}; send a JSON object")
    problem = first["msg"][:1].lower() + first["msg"][1:]
    return Refusal(f"{param} {shown(first['input'])}: {problem}", param)


def shown(value: Any) -> str:
    """A value as a message quotes it."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
