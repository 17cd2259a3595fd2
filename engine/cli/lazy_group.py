"""A group of commands of which only the one that runs is imported."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """``lazy`` has the commands by name: where each is, relative to ``package``, and one line of help.

    A place is a module that holds the command under its own name, or ``module:attribute``.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], package: str, **more: Any) -> None:
        super().__init__(*args, **more)
        self.lazy, self.package = lazy, package

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            raise click.UsageError(f"unknown command {cmd_name!r}; choose one of {', '.join(self.lazy)}")
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command = getattr(import_module(module, self.package), attribute or cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy.items()])
