"""``acdc compile``: build the plans of a backend before the first story needs them."""

from typing import Any

import click

from ...compile.cache import PlanCache
from ..utils.streams import report
from .options import BUNDLE, RUN, story_options, with_options
from .story import load_engine

SHAPES = (
    click.option("--frames", type=click.IntRange(min=1), default=6, show_default=True, help="Length of the stories."),
    click.option("--stories", type=click.IntRange(min=1), default=1, show_default=True, help="Stories side by side."),
    click.option("--guidance", type=float, help="At most 1: without guidance.  [default: the bundle's]"),
)
MIB = 1 << 20
SENTENCE = "Benny the beagle sat in a garden."


@click.command(short_help="Build the plans of a backend ahead of time.")
@with_options(BUNDLE, RUN, SHAPES)
def compile(frames: int, stories: int, **given: Any) -> None:
    """Build the plans that stories of these shapes need and keep them on disk; what lies there already is kept.

    One quick batch of such stories is drawn and thrown away.
    """
    options = story_options({**given, "steps": 2})
    built: list[str] = []

    def say(what: str, seconds: float, peak_bytes: int) -> None:
        built.append(what)
        memory = f"{peak_bytes / MIB:6.0f} MiB" if peak_bytes else ""
        report(f"{seconds:6.1f} s  {memory:10}  {what}")

    plans = PlanCache(on_build=say)
    plans.check_kept()
    engine = load_engine(given, plans)
    seeds = range(given["seed"], given["seed"] + stories)
    engine.generate_batch([[SENTENCE] * frames] * stories, seeds=list(seeds), options=options)
    report(f"{plans.root}: {len(built)} plans built for {stories} x {frames} frames with {engine.backend}")
