"""Reading a published config into a dataclass, refusing by name every field or value we do not serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_list(value: Any, of: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(of(v) for v in value)


# Annotation of a dataclass field -> what a value must be. Sizes are positive; everything else has its own type.
KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (_is_size, "a positive integer"),
    "float": (lambda v: isinstance(v, int | float) and not isinstance(v, bool), "a number"),
    "bool": (lambda v: isinstance(v, bool), "true or false"),
    "str": (lambda v: isinstance(v, str), "a string"),
    "tuple[int, ...]": (lambda v: _is_list(v, _is_size), "a list of positive integers"),
    "tuple[str, ...]": (lambda v: _is_list(v, lambda s: isinstance(s, str)), "a list of strings"),
    "int | tuple[int, ...]": (
        lambda v: _is_size(v) or _is_list(v, _is_size),
        "a positive integer or a list of them",
    ),
}


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
            values[key] = _checked(key, value, free[key], where)
        elif key in fixed:
            if not any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in fixed[key]):
                refuse(where, key, value, " or ".join(repr(v) for v in fixed[key]))
        elif key not in ignored and not key.startswith("_") and value is not None:
            refuse(where, key, value, "none: the field is unknown")
    return kind(**values)


def refuse(where: str, key: str, value: Any, served: str) -> None:
    """Raises ValueError: one line that names the place, the key, its value and what is served."""
    raise ValueError(f"{where}: {key}={value!r} is not supported (served: {served})")


def _checked(key: str, value: Any, kind: str, where: str) -> Any:
    accepts, words = KINDS[kind]
    if not accepts(value):
        refuse(where, key, value, words)
    return tuple(value) if isinstance(value, list) else value
