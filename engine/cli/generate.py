"""``acdc generate``: a file of stories, many at a time, each into a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..memory import check_memory
from ..scheduler.policy import SERIAL, SchedulerConfig
from ..storage.resume_run import Earlier, check_folders, earlier_run, names_to_clear
from ..storage.run_progress import RunProgress, make_many_progress
from ..storage.run_writer import ManyWriter, frames_to_make
from ..storage.stories_file import read_requests
from ..utils.malloc import limit_malloc_arenas
from ..utils.streams import is_input, log, report
from ..utils.uninterrupted import uninterrupted
from .inputs import check_seed, output_directory
from .options import BUNDLE, CORRECTION, RUN, remark_on_unused, story_options, with_options
from .story import DRAWING, begin_story, load_engine

if TYPE_CHECKING:
    import torch

    from ..scheduler.run import Many

STORIES = (
    click.option("--stories", metavar="FILE", required=True, help="A .jsonl, one story a line (- reads stdin)."),
    click.option("--out", metavar="DIR", help="Where the stories go.  [default: out/ and FILE's name, or out/stories]"),
    click.option("--resume", is_flag=True, help="Go on with what an earlier run left in --out."),
    click.option("--overwrite", is_flag=True, help="Replace an earlier run's stories in --out."),
)
COUNT = click.IntRange(min=1)
PIPELINING = (
    click.option("--slots", type=COUNT, metavar="N", help="Launches at a time.  [default: 2]"),
    click.option("--concurrency", type=COUNT, metavar="N", help="Stories in flight.  [default: 8]"),
    click.option(
        "--batch",
        type=COUNT,
        metavar="N",
        help="Stories in one launch, at most; rounded down to a power of two.  [default: the device's]",
    ),
    click.option(
        "--run-ahead", type=click.IntRange(min=0), metavar="N", help="Frames to rewrite ahead of.  [default: 2]"
    ),
    click.option("--no-merge", is_flag=True, help="Corrected codes enter by themselves."),
    click.option("--serial", is_flag=True, help="One thing after another, but for what is given beside this."),
)


@click.command(short_help="Draw a file of stories.")
@with_options(STORIES, BUNDLE, RUN, PIPELINING, CORRECTION, DRAWING)
def generate(stories: str, **given: Any) -> None:
    """Draw the stories of FILE, many at a time: language model, autoregressive model and corrector run concurrently.

    A line of FILE is {"sentences": ["A fox sat.", "It ran."]}, with "id" and "seed" if wanted. DIR/<id>/ holds what
    `acdc story` writes; DIR/manifest.jsonl says which stories are finished, and which failed. Exit code 1: some failed.
    """
    options = story_options(given, correction=not given["no_correction"])
    if given["resume"] and given["overwrite"]:
        raise ValueError("--resume and --overwrite are given together; choose one of them")
    directory = out_directory(given["out"], stories)
    requests = read_requests(stories, check_seed(given["seed"]))
    earlier = Earlier() if given["overwrite"] else earlier_run(directory, requests, resume=given["resume"])
    left = [request for request in requests if request.id not in earlier.finished]
    obsolete = names_to_clear(directory, requests) if given["overwrite"] else []
    check_folders(directory, [*(request.id for request in left), *obsolete])
    if left:
        check_memory(options.memory_settings)
    limit_malloc_arenas()
    engine = load_engine(given)
    remark_on_unused(options, engine.defaults)
    pattern = begin_story(engine, requests[0].sentences, 0, options, None)
    if remark := earlier.check(pattern, lambda: engine.bundle.old_fingerprint()):
        log(f"acdc: {remark}")
    if not left:
        report(f"{directory}: the {len(requests)} stories are finished, nothing to resume")
        return
    tally = RunProgress(len(requests), len(requests) - len(left), frames_to_make(left, earlier.begun))
    known = None if given["overwrite"] else earlier.manifest
    writer = ManyWriter(directory, known, pattern, obsolete, make_many_progress(tally))
    asked = writer.requests(left, earlier.begun)
    how = pipelining(given, engine.device)
    draw_stories(engine.generate_many(asked, options=options, pipelining=how), writer)
    kept = "; no frame was made, and what was there before is still there" if writer.kept else ""
    report(f"{directory}: {summary(tally)}{kept}")
    if tally.failed:
        raise click.exceptions.Exit(1)


def out_directory(out: str | None, stories: str) -> Path:
    """Where the stories go; ``ValueError`` where they cannot."""
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
    """What this run did, in one line."""
    if not (tally.made or tally.failed):
        return f"the {tally.stories} stories are finished, no frame was left to draw"
    rate = f", {tally.rate:.2f} frames a second" if tally.made else ""
    counts = f"{tally.finished} stories, {tally.made} frames{rate}"
    before = f"; {tally.done} stories were finished before" if tally.done else ""
    return f"{counts}, {tally.failed} failed{before}"


def pipelining(given: Mapping[str, Any], device: torch.device) -> SchedulerConfig:
    """What runs concurrently: the defaults of the device, with the given options in their place."""
    from ..scheduler.run import for_device

    base = SERIAL if given["serial"] else for_device(None, device)
    asked = {"slots": given["slots"], "stories": given["concurrency"], "run_ahead": given["run_ahead"]}
    asked |= {"draw_batch": given["batch"], "correct_batch": given["batch"]}
    asked |= {"merge_replace": False if given["no_merge"] else None}
    return replace(base, **{name: value for name, value in asked.items() if value is not None})
