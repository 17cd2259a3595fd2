"""``acdc story``: from sentences to a folder of pictures."""

import time
from typing import TYPE_CHECKING, Any

import click

from ...compile.cache import PlanCache
from ..examples import EXAMPLES
from ..memory import MemoryFailure, check_memory
from ..options import StoryOptions
from ..outputs import StoryResult
from ..storage.progress import make_progress
from ..storage.resume_story import changed_versions, check_request, check_settings, stored_story
from ..storage.run_lock import story_lock
from ..storage.story_writer import StoryWriter, cut_remark, shifted, story_title
from ..utils.streams import log, report
from ..utils.versions import versions
from .inputs import check_seed, image_digest, output_directory, read_init_image, set_threads, story_sentences
from .options import BUNDLE, CORRECTION, RUN, remark_on_unused, story_options, with_options

if TYPE_CHECKING:
    from PIL import Image

    from ..engine import Engine

SOURCE = (
    click.argument("sentences", nargs=-1),
    click.option("--example", type=click.Choice(list(EXAMPLES)), help="A story printed in the paper."),
    click.option("--prompts", metavar="FILE", help="UTF-8 text, one sentence a line (- reads stdin), or a .jsonl."),
    click.option("--number", type=click.IntRange(min=1), metavar="N", help="Which story of a .jsonl.  [default: 1]"),
    click.option("--out", metavar="DIR", help="Where the story goes.  [default: out/EXAMPLE or out/story]"),
    click.option("--resume", is_flag=True, help="Continue an interrupted story in --out."),
    click.option("--overwrite", is_flag=True, help="Replace an earlier story in --out."),
)
DRAWING = (
    click.option("--no-correction", is_flag=True, help="The plain autoregressive model."),
    click.option("--correct-first", type=int, metavar="K", help="Correct the first K frames only."),
    click.option("--correct-every", type=int, metavar="K", help="Correct frames 1, 1+K, 1+2K, ..."),
    click.option("--negative-prompt", help="What the corrector should avoid."),
    click.option(
        "--temperature", type=float, help="Of the token draw; 0 = greedy (not Show-o).  [default: the bundle's]"
    ),
    click.option("--top-k", type=int, help="Draw among the K likeliest tokens; 0 = all.  [default: the bundle's]"),
)
INIT_IMAGE = (click.option("--init-image", metavar="FILE", help="A picture that takes the place of the first draft."),)


@click.command(short_help="Draw a story.")
@with_options(SOURCE, BUNDLE, RUN, CORRECTION, DRAWING, INIT_IMAGE)
def story(sentences: tuple[str, ...], example: str | None, prompts: str | None, **given: Any) -> None:
    """Draw a story: one picture a sentence, each corrected before the next is drawn.

    Give SENTENCES, --example NAME or --prompts FILE.
    """
    asked = story_sentences(sentences, example, prompts, given["number"])
    options = story_options(given, correction=not given["no_correction"])
    seed = check_seed(given["seed"])
    directory = output_directory(given["out"], f"out/{example or 'story'}")
    lock = story_lock(directory)
    stored = stored_story(directory, resume=given["resume"], overwrite=given["overwrite"])
    if stored is not None:
        check_request(stored, asked, seed)
    if stored is None or len(stored.frames) < len(asked):
        check_memory(options.memory_settings)
    init_image = None if given["init_image"] is None else read_init_image(given["init_image"])
    engine = load_engine(given)
    remark_on_unused(options, engine.defaults)
    new = begin_story(engine, asked, seed, options, init_image)
    title = story_title(example or directory.name)
    if stored is not None:
        check_settings(stored.settings, new.settings, lambda: engine.bundle.old_fingerprint())
        if remark := changed_versions(stored.versions, new.versions):
            log(f"acdc: {remark}")
        new = stored
    with lock:
        continue_story(engine, new, options, init_image, StoryWriter(directory), title)


def load_engine(given: dict[str, Any], cache: PlanCache | None = None) -> "Engine":
    """The bundle on the device; torch is imported here and not before."""
    set_threads(given["threads"])
    from ..engine import Engine

    names = ("models", "random_weights", "device", "dtype", "backend", "attention", "kernels", "quantization")
    return Engine.from_pretrained(given["bundle"], cache=cache, **{name: given[name] for name in names})


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
