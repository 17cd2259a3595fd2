"""Options by their paths: ``correction.strength`` is field ``strength`` of group ``correction``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any, TypeVar

from ..utils.field_types import NAMES, FieldType, field_types

Group = TypeVar("Group")
BOOLS = {"true": True, "false": False}
NONE = "none"


def with_values(group: Group, values: Mapping[str, Any]) -> Group:
    """A copy of a (nested) dataclass with other values, by path.

    Each group is made once with all its values, so its checks see them together.
    """
    changes: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        name, dot, rest = path.partition(".")
        if dot:
            inner.setdefault(name, {})[rest] = value
        else:
            changes[name] = value
    changes |= {name: with_values(getattr(group, name), below) for name, below in inner.items()}
    return replace(group, **changes) if changes else group  # type: ignore[type-var]


def paths_of(groups: Mapping[str, type], *, many: bool = False) -> dict[str, FieldType]:
    """Path -> type of every option in the groups, which are dataclasses by name; with ``many`` also of tuples, which
    no single text assigns."""
    return {
        f"{name}.{field}": kind
        for name, group in groups.items()
        for field, kind in field_types(group).items()
        if (many and kind.many) or not (kind.many or is_dataclass(kind.kind))
    }


def default_of(group: type, name: str) -> Any:
    """The default of a field that has one."""
    (default,) = (field.default for field in fields(group) if field.name == name)  # type: ignore[arg-type]
    assert default is not MISSING
    return default


def parse_assignments(texts: Iterable[str], groups: Mapping[str, type]) -> dict[str, Any]:
    """``path=value`` texts -> values by path, in the types of their fields.

    ``ValueError`` (one line) for a path that does not exist, or is given twice, and for a value of another type.
    """
    known = paths_of(groups)
    values: dict[str, Any] = {}
    for text in texts:
        path, sign, value = text.partition("=")
        if not sign:
            raise ValueError(f"{text!r} is not an assignment; give PATH=VALUE, such as correction.strength=0.4")
        if path not in known:
            near = difflib.get_close_matches(path, known) or [one for one in known if one.endswith(f".{path}")]
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ValueError(f"unknown option {path!r}; {hint}choose among {', '.join(known)}")
        if path in values:
            raise ValueError(f"{path} is given twice; give it once")
        values[path] = parse_value(path, value, known[path])
    return values


def parse_value(path: str, text: str, field: FieldType) -> Any:
    """The value that ``text`` means in a field; ``none`` is None where the field may be open."""
    if field.optional and text == NONE:
        return None
    if field.choices and text not in field.choices:
        raise ValueError(f"unknown {path} {text!r}; choose one of {', '.join(field.choices)}")
    try:
        return BOOLS[text] if field.kind is bool else field.kind(text)
    except (KeyError, ValueError):
        wanted = NAMES[field.kind] + (f", or {NONE}" if field.optional else "")
        raise ValueError(f"{path} {text!r} has the wrong type; choose {wanted}") from None
