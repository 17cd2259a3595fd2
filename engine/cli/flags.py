"""Declare a command's options: groups of flags, of which some set one field of a dataclass, by its path.

Such a flag takes its type and its default from the field. A command gets what was set as one :class:`Given`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click
import cloup

from ..memory import MemorySettings
from ..options import (
    ConstraintOptions,
    CorrectionOptions,
    EngineOptions,
    Lora,
    SamplingOptions,
    ShowOOptions,
    StoryOptions,
)
from ..options.paths import default_of, parse_assignments, paths_of, with_values
from ..scheduler.policy import SchedulerConfig

STORY_GROUPS: dict[str, type] = {
    "sampling": SamplingOptions,
    "correction": CorrectionOptions,
    "constraint": ConstraintOptions,
    "memory": MemorySettings,
    "show_o": ShowOOptions,
}
GROUPS: dict[str, type] = {**STORY_GROUPS, "engine": EngineOptions, "scheduler": SchedulerConfig}
DOT = "__"  # in place of the dot of a path: click wants identifiers
ASSIGNMENTS = "assignments"
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class LoraType(click.ParamType[Lora]):
    """``FILE`` or ``FILE=WEIGHT``."""

    name = "FILE[=WEIGHT]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Lora:
        """``ValueError`` for a weight that is not a number."""
        return value if isinstance(value, Lora) else Lora.parse(value)


TYPES: dict[type, click.ParamType[Any]] = {float: click.FLOAT, int: click.INT, str: click.STRING, Lora: LoraType()}


@dataclass(frozen=True)
class Given:
    """Values that the command line sets: path -> value. All other fields keep their defaults."""

    values: Mapping[str, Any]

    def __contains__(self, path: str) -> bool:
        return path in self.values

    def fields(self, group: str) -> dict[str, Any]:
        """The fields of one group that are set, by name."""
        below = {path.partition("."): value for path, value in self.values.items()}
        return {field: value for (name, _, field), value in below.items() if name == group}

    def story(self, base: StoryOptions | None = None) -> StoryOptions:
        """``base`` (None: the defaults) with the values that are set: sampling, correction, constraints, memory and
        family-specific options. ``ValueError`` for impossible values."""
        return with_values(
            base or StoryOptions(), {p: v for p, v in self.values.items() if p.partition(".")[0] in STORY_GROUPS}
        )

    def engine(self, base: EngineOptions | None = None) -> EngineOptions:
        """``base`` (None: the defaults) with the values that are set."""
        return with_values(base or EngineOptions(), self.fields("engine"))

    def memory(self, base: MemorySettings) -> MemorySettings:
        """``base`` with the values that are set."""
        return with_values(base, self.fields("memory"))

    def scheduler(self, base: SchedulerConfig) -> SchedulerConfig:
        """``base`` with the values that are set."""
        return with_values(base, self.fields("scheduler"))


def flag(
    names: str,
    path: str,
    text: str,
    *,
    unset: str | None = None,
    choices: Sequence[str] = (),
    value: Any = None,
    metavar: str | None = None,
    least: int | None = None,
) -> Decorator:
    """An option that sets the field at ``path``.

    ``names`` are its flags, separated by spaces; ``text`` is its help, to which the field's default is added. ``unset``
    says what happens where that default is None. ``value`` makes a flag without an argument, which sets that value.
    ``least`` is the smallest integer that is allowed. The flag of a field that is a tuple may be given several times.
    """
    group, _, field = path.partition(".")
    kind = paths_of(GROUPS, many=True)[path]
    declared = (*names.split(), path.replace(".", DOT))
    if value is not None or kind.kind is bool:
        setting = True if value is None else value
        return cloup.option(*declared, help=text, flag_value=setting, is_flag=True, type=kind.kind, default=None)
    default = default_of(GROUPS[group], field)
    assert default not in (None, ()) or unset, f"{path} has no default; say what happens without"
    allowed = choices or kind.choices
    accepted = click.Choice(allowed) if allowed else TYPES[kind.kind] if least is None else click.IntRange(min=least)
    return cloup.option(
        *declared,
        type=accepted,
        multiple=kind.many,
        metavar=metavar,
        help=f"{text}  [default: {unset or default}]",
    )


def with_options(*groups: Decorator) -> Decorator:
    """Decorate a command with groups of options, in the order in which ``--help`` shows them.

    The command gets ``given``, if one of its options sets a field, and each other option under its own name.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def called(**parameters: Any) -> Any:
            return command(**gathered(parameters))

        decorated: Callable[..., Any] = called
        for group in reversed(groups):
            decorated = group(decorated)
        return decorated

    return decorate


def gathered(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A command's parsed parameters, of which those that set fields, and ``--set``, become ``given``."""
    fields = {name: value for name, value in parameters.items() if DOT in name}
    others = {name: value for name, value in parameters.items() if name not in fields and name != ASSIGNMENTS}
    if not fields:
        return others
    values = {name.replace(DOT, "."): value for name, value in fields.items() if value not in (None, ())}
    roots = {name.partition(DOT)[0] for name in fields}
    return {**others, "given": Given(_merged(values, parameters.get(ASSIGNMENTS, ()), roots))}


def _merged(values: Mapping[str, Any], assignments: Sequence[str], roots: set[str]) -> dict[str, Any]:
    """The flags' values and those of ``--set``; ``ValueError`` for a field that both set."""
    assigned = parse_assignments(assignments, {name: group for name, group in GROUPS.items() if name in roots})
    for path in assigned:
        if path in values:
            raise ValueError(f"--set {path} is given together with the flag that sets it; choose one of them")
    return {**values, **assigned}
