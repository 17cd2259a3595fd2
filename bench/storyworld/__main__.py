"""``python -m acdc.bench.storyworld COMMAND``: what measures the storyworld, and what teaches moving clips."""

from __future__ import annotations

import click

from ...engine.cli.lazy_group import LazyGroup

COMMANDS = {  # name: (module, or module:attribute, and one line of help)
    "judge": (".judge.command", "Say which animal, setting and action pictures show."),
    "evaluate": (".study.evaluate", "Draw and judge held-out stories in every variant of the engine."),
    "evaluate_drift": (".study.drift", "Draw and judge long stories, corrected more or less often."),
    "evaluate_steps": (".study.few_steps", "Judge and time the few-step corrector next to the full one."),
    "evaluate_video": (".study.video", "Draw and judge held-out clips, corrected and not."),
    "train": (".train.all:main", "Train the whole bundle, stage after stage; goes on where it stopped."),
    "distill": (".train.distill:main", "Distil the corrector into a LoRA that needs a few steps."),
    "clip_data": (".train.video_data:main", "Render moving clips and encode them."),
    "clip_drafts": (".train.video_drafts:main", "Draw a share of clips' codes again, as the ARM would have."),
    "train_motion": (".train.motion:main", "Teach the diffusion model's motion modules."),
    "train_video": (".train.video:main", "Teach the ARM to go on with a clip, frame after frame."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS, package=__package__, help="Measure the storyworld, and teach moving clips.")
def main() -> None: ...


if __name__ == "__main__":
    main(prog_name="python -m acdc.bench.storyworld")
