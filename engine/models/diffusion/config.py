"""Reading a published config into a dataclass, refusing by name every field or value we do not serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from ..fields import SIZES, Rule, is_list, is_number, is_size

T = TypeVar("T")

# Annotation of a dataclass field -> what a value must be. Sizes and scales are positive; everything else has its own
# type. FREE numbers may have either sign.
KINDS: dict[str, Rule] = {
    **SIZES,
    "str | None": (lambda v: v is None or isinstance(v, str), "a string or null"),
    "str": (lambda v: isinstance(v, str), "a string"),
    "tuple[str, ...]": (lambda v: is_list(v, lambda s: isinstance(s, str)), "a list of strings"),
    "int | None": (lambda v: v is None or is_size(v), "a positive integer or null"),
    "int | tuple[int, ...]": (
        lambda v: is_size(v) or is_list(v, is_size),
        "a positive integer or a list of them",
    ),
}
FREE: dict[str, Rule] = {"freq_shift": (is_number, "a finite number")}


def read_config(
    kind: type[T],
    config: Mapping[str, Any],
    where: str,
    fixed: Mapping[str, Sequence[Any]],
    ignored: frozenset[str],
) -> T:
    """`kind(**config)`, where `kind` is a dataclass whose fields are the values that may vary.

    `fixed` names further keys with the only values served; `ignored` keys, and those that start with an
    underscore, change nothing at inference; an unknown key passes only if it is null (a newer writer's "off").
    Raises ValueError (one line) that names `where`, the key, the value and what would have been accepted.
    """
    free = {f.name: str(f.type) for f in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in config.items():
        if key in free:
            values[key] = _checked(key, value, FREE.get(key, KINDS[free[key]]), where)
        elif key in fixed:
            if not any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in fixed[key]):
                refuse(where, key, value, " or ".join(repr(v) for v in fixed[key]))
        elif key not in ignored and not key.startswith("_") and value is not None:
            refuse(where, key, value, "none: the field is unknown")
    return kind(**values)


def refuse(where: str, key: str, value: Any, served: str) -> None:
    """Raises ValueError: one line that names the place, the key, its value and what is served."""
    raise ValueError(f"{where}: {key}={value!r} is not supported (served: {served})")


def _checked(key: str, value: Any, rule: Rule, where: str) -> Any:
    accepts, words = rule
    if not accepts(value):
        refuse(where, key, value, words)
    return tuple(value) if isinstance(value, list) else value
