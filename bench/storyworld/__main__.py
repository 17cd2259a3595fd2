"""``python -m acdc.bench.storyworld COMMAND``: the storyworld's measuring tools."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {  # name: (module, attribute, one line of help); a module is imported when its command runs
    "judge": ("judge.command", "judge", "Say which animal, setting and action pictures show."),
    "evaluate": ("study.evaluate", "evaluate", "Draw and judge held-out stories in every variant of the engine."),
}


class LazyGroup(click.Group):
    """A group that lists its commands from `COMMANDS` without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(import_module(f"{__package__}.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, help="The storyworld's measuring tools.")
def main() -> None: ...


if __name__ == "__main__":
    main(prog_name="python -m acdc.bench.storyworld")
