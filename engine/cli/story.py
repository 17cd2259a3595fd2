"""``acdc story``: from sentences to a folder of pictures."""

import time
from dataclasses import fields
from typing import TYPE_CHECKING

import click
import cloup
from cloup import option, option_group

from ...compile.cache import PlanCache
from ..constraints import NONE, Constraints
from ..examples import EXAMPLES
from ..loading.bundle_place import find_place
from ..memory import MemoryFailure, check_memory
from ..options import EngineOptions, StoryOptions
from ..outputs import StoryResult
from ..storage.progress import make_progress
from ..storage.resume_story import check_request
from ..storage.story_writer import StoryWriter, cut_remark, end_ms, shifted, story_title
from ..utils.malloc import keep_freed_memory
from ..utils.streams import log, report
from ..utils.versions import versions
from .constraints import check_control, constraints, read_constraints
from .flags import Given, with_options
from .inputs import check_seed, image_digest, read_init_image, set_threads, story_sentences
from .options import drawing, output, remark_on_steps, remark_on_unused
from .redo import Redo, open_redo
from .story_folder import StoryFolder, frames_so_far, open_story_folder

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
AGAIN = option_group(
    "Redraw",
    option(
        "--redo",
        type=click.IntRange(min=1),
        metavar="N",
        help="Draw frame N of the story in --out again, and those after it; earlier frames stay. A --mask or --depth "
        "without a number is for frame N. The story as it was is kept in --out/earlier.",
    ),
)


@cloup.command(short_help="Draw a story.")
@click.argument("sentences", nargs=-1)
@with_options(SOURCE, OUTPUT, AGAIN, *drawing(constraints(pictures=True)))
def story(
    sentences: tuple[str, ...],
    example: str | None,
    prompts: str | None,
    number: int | None,
    init_image: str | None,
    out: str | None,
    resume: bool,
    overwrite: bool,
    redo: int | None,
    masks: tuple[str, ...],
    depths: tuple[str, ...],
    seed: int,
    given: Given,
) -> None:
    """Draw a story: one picture a sentence, each corrected before the next is drawn.

    Give SENTENCES, --example NAME or --prompts FILE; with --redo the story's own are taken.
    """
    check_seed(seed)
    pictures, default = read_constraints(masks, depths, redo), f"out/{example or 'story'}"
    if redo is not None:
        if resume or overwrite:
            raise ValueError("--redo goes with neither --resume nor --overwrite; choose one of them")
        asked = bool(sentences or example or prompts)
        texts = story_sentences(sentences, example, prompts, number) if asked else ()
        redraw(open_redo(out, default, redo, texts, seed), pictures, init_image, given)
        return
    texts = story_sentences(sentences, example, prompts, number)
    options, engine_options = given.story(), given.engine()
    folder = open_story_folder(out, default, resume=resume, overwrite=overwrite)
    pictures = folder.with_canvases(pictures)
    check_control(pictures, engine_options, options, len(texts))
    if folder.stored is not None:
        check_request(folder.stored, texts, seed, pictures.recorded(len(texts), options))
    if folder.stored is None or len(folder.stored.frames) < len(texts):
        check_memory(options.memory)
    first_draft = None if init_image is None else read_init_image(init_image)
    engine = load_engine(engine_options, num_frames=len(texts))
    remark_on_unused(options, engine.defaults, engine.embeds_guidance)
    new = begin_story(engine, texts, seed, options, first_draft, pictures)
    result = folder.continued(new, engine)
    remark_on_steps(new)
    title = story_title(example or folder.directory.name)
    with folder.lock:
        continue_story(engine, result, options, first_draft, StoryWriter(folder.directory), title, pictures)


def redraw(redo: Redo, pictures: Constraints, init_image: str | None, given: Given) -> None:
    """Draw the frames that are to be made again; the story as it was is kept."""
    texts, engine_options = redo.stored.sentences, given.engine()
    options = given.story(redo.options)
    pictures = redo.constraints(pictures)
    check_control(pictures, engine_options, options, len(texts))
    check_memory(options.memory)
    first_draft = None if init_image is None else read_init_image(init_image)
    engine = load_engine(engine_options, num_frames=len(texts) - redo.number + 1)
    remark_on_unused(options, engine.defaults, engine.embeds_guidance)
    new = begin_story(engine, texts, redo.stored.seed, options, first_draft, pictures)
    folder = StoryFolder(redo.directory, redo.lock, redo.stored)
    folder.continued(new, engine)
    remark_on_steps(new)
    writer = StoryWriter(redo.directory, earlier=len(redo.stored.frames))
    with redo.lock:
        result, title = redo.kept(new), story_title(redo.directory.name)
        continue_story(engine, result, options, first_draft, writer, title, pictures)


def load_engine(options: EngineOptions, cache: PlanCache | None = None, *, num_frames: int | None = None) -> "Engine":
    """The bundle on the device, for a run of ``num_frames`` (None: unknown). torch is imported here and not before,
    and not for a bundle that is not there."""
    find_place(options.bundle)
    set_threads(options.threads)
    keep_freed_memory()
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
    pictures: Constraints = NONE,
) -> StoryResult:
    """A story without frames that knows how its frames will be made."""
    settings = {**engine.settings(options), "init_image": image_digest(init_image)}
    recorded = pictures.recorded(len(sentences), options)
    return StoryResult(sentences, seed, settings, versions(), engine.start(options), constraints=recorded)


def continue_story(
    engine: "Engine",
    result: StoryResult,
    options: StoryOptions,
    init_image: "Image.Image | None",
    writer: StoryWriter,
    title: str,
    pictures: Constraints = NONE,
) -> None:
    """Draw what is missing of ``result``; Ctrl-C leaves the finished frames on disk."""
    total, done = len(result.sentences), len(result.frames)
    if done == total:
        written = writer.finish(result, title, missing_only=True)
        remark = f"; wrote {' and '.join(written)}" if written else ""
        report(f"{writer.sheet}: the story is finished, nothing to resume{remark}")
        return
    try:
        seconds = draw_frames(engine, result, options, init_image, writer, pictures)
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
    pictures: Constraints = NONE,
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
            constraints=pictures,
            on_phase=progress.phase,
        )
        begun = last = time.perf_counter()
        for frame in frames:
            writer.add(result, shifted(frame, offset))
            now = time.perf_counter()
            progress.frame(frame, now - last)
            last = now
    return last - begun
