"""Configs of networks: a dataclass of sizes from values by name, and the values checked by its annotations."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Any, TypeVar

Config = TypeVar("Config")
Rule = tuple[Callable[[Any], bool], str]


def is_size(value: Any) -> bool:
    """An integer of 1 or more; true and false are none."""
    return type(value) is int and value > 0


def is_number(value: Any) -> bool:
    """Finite; true and false are none."""
    return type(value) in (int, float) and math.isfinite(value)


def is_list(value: Any, of: Callable[[Any], bool]) -> bool:
    """A list that is not empty, of values that fit."""
    return isinstance(value, list | tuple) and len(value) > 0 and all(of(v) for v in value)


# Annotation -> what a size, a rate or a switch of a network must be.
SIZES: Mapping[str, Rule] = {
    "int": (is_size, "a positive integer"),
    "float": (lambda value: is_number(value) and value > 0, "a positive number"),
    "bool": (lambda value: type(value) is bool, "true or false"),
    "tuple[int, ...]": (lambda value: is_list(value, is_size), "a list of positive integers"),
}


def check_fields(config: Any, but: Collection[str] = ()) -> None:
    """``ValueError`` for the first field of a dataclass of sizes whose value is not of its annotated kind; those in
    ``but`` are dataclasses, which check themselves."""
    for field in (field for field in fields(config) if field.name not in but):
        (fits, words), value = SIZES[str(field.type)], getattr(config, field.name)
        if not fits(value):
            raise ValueError(f"{field.name} is {value!r}, expected {words}")


def read_fields(kind: type[Config], values: Mapping[str, Any], what: str) -> Config:
    """The dataclass ``kind`` from values by name. ``ValueError`` for an unknown or a missing one; ``what`` names it."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            raise ValueError(f"unknown {what} setting {name!r}; choose from {', '.join(names)}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"incomplete {what} config: {str(error).partition(' ')[2]}") from None
