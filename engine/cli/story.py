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
from ..storage.resume_story import check_request
from ..storage.story_writer import StoryWriter, cut_remark, end_ms, shifted, story_title
from ..utils.streams import log, report
from ..utils.versions import versions
from .flags import Given, with_options
from .inputs import check_seed, image_digest, read_init_image, set_threads, story_sentences
from .options import drawing, output, remark_on_unused
from .story_folder import frames_so_far, open_story_folder

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
OUTPUT = output("pictures and story.json", "out/EXAMPLE, or out/story", "story")


@cloup.command(short_help="Draw a story.")
@click.argument("sentences", nargs=-1)
@with_options(SOURCE, OUTPUT, *drawing())
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
    folder = open_story_folder(out, f"out/{example or 'story'}", resume=resume, overwrite=overwrite)
    if folder.stored is not None:
        check_request(folder.stored, texts, seed)
    if folder.stored is None or len(folder.stored.frames) < len(texts):
        check_memory(options.memory)
    first_draft = None if init_image is None else read_init_image(init_image)
    engine = load_engine(engine_options, num_frames=len(texts))
    remark_on_unused(options, engine.defaults)
    result = folder.continued(begin_story(engine, texts, seed, options, first_draft), engine)
    title = story_title(example or folder.directory.name)
    with folder.lock:
        continue_story(engine, result, options, first_draft, StoryWriter(folder.directory), title)


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
        raise KeyboardInterrupt(f"interrupted after {frames_so_far(result, total, writer)}") from None
    except MemoryFailure as failure:
        raise click.ClickException(f"{failure}; stopped after {frames_so_far(result, total, writer)}") from None
    for frame in result.frames[done:]:
        if frame.memory_note:
            log(f"acdc: frame {frame.index + 1}: {frame.memory_note}")
        if frame.cut_prompt is not None:
            log(f"acdc: frame {frame.index + 1}: {cut_remark(frame)}")
    if writer.remark:
        log(f"acdc: {writer.remark}")
    report(f"{writer.sheet}: {total} frames, {seconds / (total - done):.2f} s a frame")


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
    offset = end_ms(done)
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
