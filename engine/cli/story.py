"""``acdc story``: from sentences to a folder of pictures."""

import time
from dataclasses import fields
from typing import TYPE_CHECKING

import click
import cloup
from cloup import option, option_group

from ...compile.cache import PlanCache
from ..examples import EXAMPLES
from ..memory import MemoryFailure, check_memory
from ..options import EngineOptions, StoryOptions
from ..outputs import StoryResult
from ..storage.progress import make_progress
from ..storage.resume_story import changed_versions, check_request, check_settings, stored_story
from ..storage.run_lock import story_lock
from ..storage.story_writer import StoryWriter, cut_remark, shifted, story_title
from ..utils.streams import log, report
from ..utils.versions import versions
from .flags import Given, with_options
from .inputs import check_seed, image_digest, output_directory, read_init_image, set_threads, story_sentences
from .options import (
    EXECUTION,
    MEMORY,
    RARE,
    SAMPLING,
    SHOW_O,
    STRENGTH,
    TOKENS,
    choice_of_frames,
    models,
    remark_on_unused,
)

if TYPE_CHECKING:
    from PIL import Image

    from ..engine import Engine

SOURCE = option_group(
    "Story",
    option("--example", type=click.Choice(list(EXAMPLES)), help="Draw this story of the paper."),
    option(
        "--prompts",
        metavar="FILE",
        help="Read the sentences from this file: UTF-8 text with one sentence a line (- reads standard input), or "
        ".jsonl with one story a line.",
    ),
    option("--number", type=click.IntRange(min=1), metavar="N", help="Draw story N of a .jsonl file.  [default: 1]"),
    option("--init-image", metavar="FILE", help="Use this picture (PNG or JPEG) as the draft of the first frame."),
)
OUTPUT = option_group(
    "Output",
    option(
        "--out",
        metavar="DIR",
        help="Write pictures and story.json to this directory.  [default: out/EXAMPLE, or out/story]",
    ),
    option("--resume", is_flag=True, help="Continue the interrupted story in --out."),
    option("--overwrite", is_flag=True, help="Replace the earlier story in --out."),
)


@cloup.command(short_help="Draw a story.")
@click.argument("sentences", nargs=-1)
@with_options(
    SOURCE,
    OUTPUT,
    models(),
    EXECUTION,
    option_group("Sampling", *SAMPLING, *TOKENS),
    option_group("Correction", *STRENGTH, *choice_of_frames()),
    MEMORY,
    SHOW_O,
    RARE,
)
def story(
    sentences: tuple[str, ...],
    example: str | None,
    prompts: str | None,
    number: int | None,
    init_image: str | None,
    out: str | None,
    resume: bool,
    overwrite: bool,
    seed: int,
    given: Given,
) -> None:
    """Draw a story: one picture a sentence, each corrected before the next is drawn.

    Give SENTENCES, --example NAME or --prompts FILE.
    """
    texts = story_sentences(sentences, example, prompts, number)
    options, engine_options, seed = given.story(), given.engine(), check_seed(seed)
    directory = output_directory(out, f"out/{example or 'story'}")
    lock = story_lock(directory)
    stored = stored_story(directory, resume=resume, overwrite=overwrite)
    if stored is not None:
        check_request(stored, texts, seed)
    if stored is None or len(stored.frames) < len(texts):
        check_memory(options.memory)
    first_draft = None if init_image is None else read_init_image(init_image)
    engine = load_engine(engine_options, num_frames=len(texts))
    remark_on_unused(options, engine.defaults)
    new = begin_story(engine, texts, seed, options, first_draft)
    title = story_title(example or directory.name)
    if stored is not None:
        check_settings(stored.settings, new.settings, lambda: engine.bundle.old_fingerprint())
        if remark := changed_versions(stored.versions, new.versions):
            log(f"acdc: {remark}")
        new = stored
    with lock:
        continue_story(engine, new, options, first_draft, StoryWriter(directory), title)


def load_engine(options: EngineOptions, cache: PlanCache | None = None, *, num_frames: int | None = None) -> "Engine":
    """The bundle on the device, for a run of ``num_frames`` (None: unknown). torch is imported here and not before."""
    set_threads(options.threads)
    from ..engine import Engine

    arguments = {field.name: getattr(options, field.name) for field in fields(options)}
    del arguments["threads"]
    return Engine.from_pretrained(**arguments, cache=cache, num_frames=num_frames)


def begin_story(
    engine: "Engine",
    sentences: tuple[str, ...],
    seed: int,
    options: StoryOptions,
    init_image: "Image.Image | None",
) -> StoryResult:
    """A story without frames that knows how its frames will be made."""
    settings = {**engine.settings(options), "init_image": image_digest(init_image)}
    return StoryResult(sentences, seed, settings, versions(), engine.start(options))


def continue_story(
    engine: "Engine",
    result: StoryResult,
    options: StoryOptions,
    init_image: "Image.Image | None",
    writer: StoryWriter,
    title: str,
) -> None:
    """Draw what is missing of ``result``; Ctrl-C leaves the finished frames on disk."""
    total, done = len(result.sentences), len(result.frames)
    if done == total:
        written = writer.finish(result, title, missing_only=True)
        remark = f"; wrote {' and '.join(written)}" if written else ""
        report(f"{writer.sheet}: the story is finished, nothing to resume{remark}")
        return
    try:
        seconds = draw_frames(engine, result, options, init_image, writer)
        writer.finish(result, title)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted after {_so_far(result, writer)}") from None
    except MemoryFailure as failure:
        raise click.ClickException(f"{failure}; stopped after {_so_far(result, writer)}") from None
    for frame in result.frames[done:]:
        if frame.memory_note:
            log(f"acdc: frame {frame.index + 1}: {frame.memory_note}")
        if frame.cut_prompt is not None:
            log(f"acdc: frame {frame.index + 1}: {cut_remark(frame)}")
    if writer.remark:
        log(f"acdc: {writer.remark}")
    report(f"{writer.sheet}: {total} frames, {seconds / (total - done):.2f} s a frame")


def _so_far(result: StoryResult, writer: StoryWriter) -> str:
    hint = f"continue {writer.directory} with --resume" if result.frames else "nothing was written"
    return f"{len(result.frames)} of {len(result.sentences)} frames; {hint}"


def draw_frames(
    engine: "Engine",
    result: StoryResult,
    options: StoryOptions,
    init_image: "Image.Image | None",
    writer: StoryWriter,
) -> float:
    """Stream the missing frames into ``writer``; their times follow the stored ones.

    Returns the seconds that drawing and writing took.
    """
    done = tuple(result.frames)
    offset = max((span.start_ms + span.duration_ms for frame in done for span in frame.spans), default=0.0)
    with make_progress(len(result.sentences), len(done)) as progress:
        frames = engine.stream(
            result.sentences,
            seed=result.seed,
            options=options,
            init_image=init_image,
            done=done,
            on_phase=progress.phase,
        )
        begun = last = time.perf_counter()
        for frame in frames:
            writer.add(result, shifted(frame, offset))
            now = time.perf_counter()
            progress.frame(frame, now - last)
            last = now
    return last - begun
