"""``acdc generate``: a file of stories, many at a time, each into a folder of its own."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup
from cloup import option, option_group

from ..memory import check_memory
from ..scheduler.policy import SERIAL, SchedulerConfig
from ..storage.resume_run import Earlier, check_folders, earlier_run, names_to_clear
from ..storage.run_progress import RunProgress, make_many_progress
from ..storage.run_writer import ManyWriter, frames_to_make
from ..storage.stories_file import read_requests
from ..utils.malloc import limit_malloc_arenas
from ..utils.streams import is_input, log, report
from ..utils.uninterrupted import uninterrupted
from .constraints import check_all_constraints, constraints
from .flags import Given, flag, with_options
from .inputs import check_earlier, check_seed, output_directory
from .options import CONCURRENCY, SLOTS, drawing, output, remark_on_steps, remark_on_unused
from .story import begin_story, load_engine

if TYPE_CHECKING:
    import torch

    from ..scheduler.run import Many

SOURCE = option_group(
    "Stories",
    option(
        "--stories",
        metavar="FILE",
        required=True,
        help="Read stories from this .jsonl file, one story a line (- reads standard input).",
    ),
)
OUTPUT = output("a folder for each story", "out/ and FILE's name, or out/stories", "run")
SCHEDULING = option_group(
    "Scheduling",
    SLOTS,
    CONCURRENCY,
    option(
        "--batch",
        type=click.IntRange(min=1),
        metavar="N",
        help="Put at most N stories into one launch, rounded down to a power of two.  [default: the device's]",
    ),
    flag(
        "--prompt-lookahead --run-ahead",
        "scheduler.prompt_lookahead",
        "Rewrite a story's sentences for up to N frames before they are drawn.",
        metavar="N",
        least=0,
    ),
    flag(
        "--no-merge",
        "scheduler.merge_replace",
        "Write corrected tokens to the KV cache in a forward pass of their own, not together with the next sentence.",
        value=False,
    ),
    option(
        "--serial",
        is_flag=True,
        help="Run one launch of one story at a time; options that are given explicitly still apply.",
    ),
)


@cloup.command(short_help="Draw a file of stories.")
@with_options(
    SOURCE,
    OUTPUT,
    SCHEDULING,
    *drawing(constraints(pictures=False)),
)
def generate(
    stories: str,
    out: str | None,
    resume: bool,
    overwrite: bool,
    batch: int | None,
    serial: bool,
    seed: int,
    given: Given,
) -> None:
    """Draw the stories of FILE, many at a time: language model, autoregressive model and corrector run concurrently.

    A line of FILE is {"sentences": ["A fox sat.", "It ran."]}, with "id" and "seed" if wanted, and "mask" and "depth":
    a picture for every frame, or {"2": PICTURE} for frame 2. DIR/<id>/ holds what `acdc story` writes;
    DIR/manifest.jsonl says which stories are finished, and which failed. Exit code 1: some failed.
    """
    options, engine_options = given.story(), given.engine()
    given.scheduler(SchedulerConfig())  # refuses impossible numbers before anything is loaded
    check_earlier(resume, overwrite)
    directory = out_directory(out, stories)
    requests = read_requests(stories, check_seed(seed))
    check_all_constraints(requests, engine_options, options)
    earlier = Earlier() if overwrite else earlier_run(directory, requests, options, resume=resume)
    left = [request for request in requests if request.id not in earlier.finished]
    stale = names_to_clear(directory, requests) if overwrite else []
    check_folders(directory, [*(request.id for request in left), *stale])
    if left:
        check_memory(options.memory)
    limit_malloc_arenas()
    engine = load_engine(engine_options, num_frames=sum(len(request.sentences) for request in requests))
    remark_on_unused(options, engine.defaults, engine.embeds_guidance)
    run_info = begin_story(engine, requests[0].sentences, 0, options, None)
    if remark := earlier.check(run_info, lambda: engine.bundle.old_fingerprint()):
        log(f"acdc: {remark}")
    if not left:
        report(f"{directory}: the {len(requests)} stories are finished, nothing to resume")
        return
    remark_on_steps(run_info)
    tally = RunProgress(len(requests), len(requests) - len(left), frames_to_make(left, earlier.begun))
    known = None if overwrite else earlier.manifest
    writer = ManyWriter(directory, known, run_info, stale, make_many_progress(tally), options)
    unfinished = writer.requests(left, earlier.begun)
    config = scheduler_config(given, engine.device, serial=serial, batch=batch)
    draw_stories(engine.generate_many(unfinished, options=options, pipelining=config), writer)
    kept = "; no frame was made, and what was there before is still there" if writer.kept else ""
    report(f"{directory}: {summary(tally)}{kept}")
    if tally.failed:
        raise click.exceptions.Exit(1)


def out_directory(out: str | None, stories: str) -> Path:
    """The directory of the stories; ``ValueError`` for one that cannot be used."""
    return output_directory(out, f"out/{'stories' if is_input(stories) else Path(stories).stem}")


def draw_stories(run: Many, writer: ManyWriter) -> None:
    """Write what ``run`` makes; Ctrl-C leaves everything that is finished on disk."""
    try:
        with writer, closing(run.events()) as events:
            for event in events:
                with uninterrupted():
                    writer.take(event)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted {writer.so_far}") from None


def summary(tally: RunProgress) -> str:
    """One line that sums up the run."""
    if not (tally.made or tally.failed):
        return f"the {tally.stories} stories are finished, no frame was left to draw"
    rate = f", {tally.rate:.2f} frames a second" if tally.made else ""
    counts = f"{tally.finished} stories, {tally.made} frames{rate}"
    before = f"; {tally.done} stories were finished before" if tally.done else ""
    return f"{counts}, {tally.failed} failed{before}"


def scheduler_config(given: Given, device: torch.device, *, serial: bool, batch: int | None) -> SchedulerConfig:
    """The device's defaults, or those of ``serial``, with the given options in their place."""
    from ..scheduler.run import for_device

    base = SERIAL if serial else for_device(None, device)
    if batch is not None:
        base = replace(base, draw_batch=batch, correct_batch=batch)
    return given.scheduler(base)
