"""``python -m acdc.bench.storyworld COMMAND``: what measures the storyworld, and what teaches moving clips."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {  # name: (module, attribute, one line of help); a module is imported when its command runs
    "judge": ("judge.command", "judge", "Say which animal, setting and action pictures show."),
    "evaluate": ("study.evaluate", "evaluate", "Draw and judge held-out stories in every variant of the engine."),
    "evaluate_drift": ("study.drift", "evaluate_drift", "Draw and judge long stories, corrected more or less often."),
    "evaluate_video": ("study.video", "evaluate_video", "Draw and judge held-out clips, corrected and not."),
    "train": ("train.all", "main", "Train the whole bundle, stage after stage; goes on where it stopped."),
    "clip_data": ("train.video_data", "main", "Render moving clips and encode them."),
    "clip_drafts": ("train.video_drafts", "main", "Draw a share of clips' codes again, as the ARM would have."),
    "train_motion": ("train.motion", "main", "Teach the diffusion model's motion modules."),
    "train_video": ("train.video", "main", "Teach the ARM to go on with a clip, frame after frame."),
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


@click.group(cls=LazyGroup, help="Measure the storyworld, and teach moving clips.")
def main() -> None: ...


if __name__ == "__main__":
    main(prog_name="python -m acdc.bench.storyworld")
