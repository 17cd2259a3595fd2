"""``acdc generate``: a file of stories, many at a time, each into a folder of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click
import cloup
from cloup import option, option_group

from ..memory import check_memory
from ..options import StoryOptions
from ..outputs import StoryResult
from ..request import StoryRequest
from ..scheduler.events import Event
from ..scheduler.policy import SERIAL, SchedulerConfig, for_device
from ..storage.resume_run import Earlier, check_folders, earlier_run, names_to_clear
from ..storage.run_progress import RunProgress, make_many_progress
from ..storage.run_writer import ManyWriter, frames_to_make
from ..storage.stories_file import read_requests
from ..utils.malloc import keep_freed_memory
from ..utils.streams import is_input, log, report
from ..utils.uninterrupted import uninterrupted
from .constraints import check_all_constraints, constraints
from .flags import Given, flag, with_options
from .inputs import check_earlier, check_seed, output_directory
from .many_engines import FLEET, fleet_choice, in_fleet
from .options import CONCURRENCY, SLOTS, drawing, output, remark_on_steps, remark_on_unused
from .story import begin_story, load_engine

if TYPE_CHECKING:
    import torch

    from ..engine import Engine

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
    FLEET,
    *drawing(constraints(pictures=False)),
)
def generate(
    stories: str,
    out: str | None,
    resume: bool,
    overwrite: bool,
    batch: int | None,
    serial: bool,
    engines: int | None,
    ray: str | None,
    gpus_per_engine: float | None,
    engine_timeout: float | None,
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
    choice = fleet_choice(engines, ray, gpus_per_engine, engine_timeout, engine_options)
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
    keep_freed_memory()
    num_frames = sum(len(request.sentences) for request in requests)
    opened: AbstractContextManager[Drawing]
    if choice is None:
        opened = in_process(given, serial=serial, batch=batch, num_frames=num_frames)
    else:
        scheduler = scheduler_values(given, batch)
        opened = in_fleet(choice, engine_options, options, scheduler, serial=serial, num_frames=num_frames)
    with opened as drawing:
        remark_on_unused(options, drawing.defaults, drawing.embeds_guidance)
        run_info = drawing.run_info(requests[0].sentences)
        if remark := earlier.check(run_info, drawing.old_fingerprint):
            log(f"acdc: {remark}")
        if not left:
            report(f"{directory}: the {len(requests)} stories are finished, nothing to resume")
            return
        remark_on_steps(run_info)
        tally = RunProgress(len(requests), len(requests) - len(left), frames_to_make(left, earlier.begun))
        known = None if overwrite else earlier.manifest
        writer = ManyWriter(directory, known, run_info, stale, make_many_progress(tally), options)
        draw_stories(drawing.generate_many(writer.requests(left, earlier.begun)), writer)
    kept = "; no frame was made, and what was there before is still there" if writer.kept else ""
    report(f"{directory}: {summary(tally)}{kept}")
    if tally.failed:
        raise click.exceptions.Exit(1)


class Events(Protocol):
    """A run, of which the events are read once."""

    def events(self) -> Generator[Event, None, None]: ...


class Drawing(Protocol):
    """One engine or many, as this command uses them."""

    @property
    def defaults(self) -> Mapping[str, Any]: ...
    @property
    def embeds_guidance(self) -> bool: ...
    def run_info(self, sentences: tuple[str, ...]) -> StoryResult: ...
    def old_fingerprint(self) -> str: ...
    def generate_many(self, stories: Iterable[StoryRequest]) -> Events: ...


class InProcess:
    """One engine in this process."""

    def __init__(self, engine: Engine, options: StoryOptions, config: SchedulerConfig) -> None:
        self._engine, self._options, self._config = engine, options, config
        self.defaults, self.embeds_guidance = engine.defaults, engine.embeds_guidance

    def run_info(self, sentences: tuple[str, ...]) -> StoryResult:
        """A story without frames that knows how its frames will be made."""
        return begin_story(self._engine, sentences, 0, self._options, None)

    def old_fingerprint(self) -> str:
        """The weights' fingerprint as earlier versions recorded it."""
        return self._engine.bundle.old_fingerprint()

    def generate_many(self, stories: Iterable[StoryRequest]) -> Events:
        """Draw them."""
        return self._engine.generate_many(stories, options=self._options, pipelining=self._config)


@contextmanager
def in_process(given: Given, *, serial: bool, batch: int | None, num_frames: int) -> Iterator[InProcess]:
    """Load the engine."""
    engine = load_engine(given.engine(), num_frames=num_frames)
    yield InProcess(engine, given.story(), scheduler_config(given, engine.device, serial=serial, batch=batch))


def out_directory(out: str | None, stories: str) -> Path:
    """The directory of the stories; ``ValueError`` for one that cannot be used."""
    return output_directory(out, f"out/{'stories' if is_input(stories) else Path(stories).stem}")


def draw_stories(run: Events, writer: ManyWriter) -> None:
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
    return replace(SERIAL if serial else for_device(None, device), **scheduler_values(given, batch))


def scheduler_values(given: Given, batch: int | None) -> dict[str, Any]:
    """The given options of the schedule; ``batch`` bounds the launches of both models."""
    batches = {} if batch is None else {"draw_batch": batch, "correct_batch": batch}
    return {**batches, **given.fields("scheduler")}
