"""``acdc compile``: build the plans of a backend before the first story needs them."""

import click
import cloup
from cloup import option, option_group

from ...compile.cache import PlanCache
from ..utils.streams import report
from .engine_options import EXECUTION, models
from .flags import Given, with_options
from .options import DECODING, GUIDANCE, RARE, SEED
from .story import load_engine

SHAPES = option_group(
    "Shapes",
    option(
        "--frames",
        type=click.IntRange(min=1),
        default=6,
        show_default=True,
        help="Build plans for stories of this number of frames.",
    ),
    option(
        "--stories",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Build plans for batches of this number of stories.",
    ),
)
MIB = 1 << 20
SENTENCE = "Benny the beagle sat in a garden."


@cloup.command(short_help="Build the plans of a backend ahead of time.")
@with_options(
    models(), EXECUTION, SHAPES, option_group("Sampling", SEED, DECODING), option_group("Correction", GUIDANCE), RARE
)
def compile(frames: int, stories: int, seed: int, given: Given) -> None:
    """Build the plans that stories of these shapes need and keep them on disk; plans that are there already stay.

    The command draws one short batch of such stories and discards it.
    """
    options = given.story().replace(num_inference_steps=2)
    built: list[str] = []

    def say(what: str, seconds: float, peak_bytes: int) -> None:
        built.append(what)
        memory = f"{peak_bytes / MIB:6.0f} MiB" if peak_bytes else ""
        report(f"{seconds:6.1f} s  {memory:10}  {what}")

    plans = PlanCache(on_build=say)
    plans.check_kept()
    engine = load_engine(given.engine(), plans)
    engine.generate_batch([[SENTENCE] * frames] * stories, seeds=list(range(seed, seed + stories)), options=options)
    report(f"{plans.root}: {len(built)} plans built for {stories} x {frames} frames with {engine.backend}")
