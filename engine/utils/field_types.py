"""Types of a dataclass's fields, at run time: to check values, and to read them from text."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

ABSTRACT: dict[type, type] = {float: Real, int: Integral}  # NumPy's numbers count as numbers
NAMES: dict[type, str] = {float: "a number", int: "an integer", str: "a string", bool: "true or false"}


class FieldType(NamedTuple):
    """``kind`` is a class; ``choices`` are the strings that a Literal allows; an ``optional`` field may be None; one of
    ``many`` is a tuple of that kind."""

    kind: type
    choices: tuple[str, ...] = ()
    optional: bool = False
    many: bool = False


@cache
def field_types(group: type) -> dict[str, FieldType]:
    """Field name -> type, for a dataclass."""
    hints = get_type_hints(group)
    return {field.name: _field_type(hints[field.name]) for field in fields(group)}


def _field_type(hint: Any) -> FieldType:
    optional = False
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (one for one in get_args(hint) if one is not NoneType)
        optional = True
    if get_origin(hint) is Literal:
        return FieldType(str, get_args(hint), optional)
    if get_origin(hint) is tuple:
        kind, _ = get_args(hint)
        return FieldType(kind, (), optional, many=True)
    return FieldType(hint, (), optional)


def check_types(options: Any, prefix: str = "") -> None:
    """``ValueError`` (one line) for a field whose value has another type, or is not among the choices of a Literal.

    ``prefix`` precedes the fields' names in messages.
    """
    for name, (kind, choices, optional, many) in field_types(options.__class__).items():
        value = getattr(options, name)
        if value is None and optional:
            continue
        if many:
            if not isinstance(value, tuple) or not all(isinstance(one, kind) for one in value):
                raise ValueError(f"{prefix}{name} {value!r} has the wrong type; choose a tuple of {kind.__name__}")
            continue
        if choices and value not in choices:
            raise ValueError(f"unknown {prefix}{name} {value!r}; choose one of {', '.join(choices)}")
        if not isinstance(value, ABSTRACT.get(kind, kind)) or (isinstance(value, bool) and kind is not bool):
            wanted = NAMES.get(kind, kind.__name__) + (" or None" if optional else "")
            raise ValueError(f"{prefix}{name} {value!r} has the wrong type; choose {wanted}")
