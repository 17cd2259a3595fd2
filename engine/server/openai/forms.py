"""Multipart forms as OpenAI's client writes them: lists as ``name[]``, objects as ``name[key]``, every value a text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from starlette.datastructures import UploadFile
from starlette.requests import Request

from .fields import MORE_OPTIONS
from .refusal import Refusal
from .uploads import MOST_BYTES

MEMBER = re.compile(r"(\w+)\[(\w*)\]")
MOST_FILES, MOST_FIELDS = 18, 200  # 16 pictures, a mask, and one more, so that the refusal names what is too much


class Form(NamedTuple):
    """``fields`` are for a pydantic model, ``files`` the bytes of each file part by its name without brackets."""

    fields: dict[str, Any]
    files: dict[str, list[bytes]]


async def read_form(request: Request) -> Form:
    """The form of a request; :class:`Refusal` for a file that is too large."""
    files: dict[str, list[bytes]] = {}
    texts: list[tuple[str, str]] = []
    async with request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                plain = name.removesuffix("[]")
                if (value.size or 0) > MOST_BYTES:
                    raise Refusal(f"{plain} has {value.size} bytes; the limit is {MOST_BYTES}", plain)
                files.setdefault(plain, []).append(await value.read())
            else:
                texts.append((name, value))
    return Form(fields_of(texts), files)


def fields_of(texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Values by field. Those of ``acdc`` that no model names are read as JSON, since nothing else says their type."""
    found: dict[str, Any] = {}
    for name, value in texts:
        member = MEMBER.fullmatch(name)
        if member is None:
            found[name] = value
            continue
        field, key = member.groups()
        held = found.setdefault(field, {} if key else [])
        if key and isinstance(held, dict):
            held[key] = from_text(value) if key in MORE_OPTIONS else value
        elif not key and isinstance(held, list):
            held.append(value)
        else:
            raise Refusal(f"{field} comes in two forms, as {name} and otherwise; choose one", field)
    return found


def from_text(value: str) -> Any:
    """A number, true, false or null; else the text itself."""
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return value if isinstance(read, str | list | dict) else read
