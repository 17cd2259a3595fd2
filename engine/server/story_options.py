"""Options of a story in a request's JSON: by their flat names, at the top level or in the object ``acdc``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..options import FLAT_NAMES, StoryOptions
from .errors import ApiError, refusing

NAMES = tuple(name for name in FLAT_NAMES if not name.startswith("memory"))  # a memory is the run's
KEY = "acdc"


def read_options(extra: Mapping[str, Any]) -> dict[str, Any]:
    """The options among a request's further fields. ``ApiError`` (400) for an unknown field, a name that is given
    twice, and an invalid value."""
    inner = extra.get(KEY, {})
    if not isinstance(inner, dict):
        raise ApiError(400, f"{KEY!r} is not an object of options", param=KEY, code="invalid_value")
    outer = {name: value for name, value in extra.items() if name != KEY}
    for name in [*outer, *inner]:
        if name not in NAMES:
            code = "unsupported_parameter" if name in FLAT_NAMES else "unknown_parameter"
            raise ApiError(400, f"unknown field {name[:100]!r}; choose among {', '.join(NAMES)}", param=name, code=code)
        if name in outer and name in inner:
            raise ApiError(400, f"{name!r} is given twice; give it once", param=name, code="invalid_value")
    options = {**outer, **inner}
    for name, value in options.items():  # one by one, so that the error names its field
        with refusing(name):
            StoryOptions().replace(**{name: value})
    with refusing():
        StoryOptions().replace(**options)
    return options
