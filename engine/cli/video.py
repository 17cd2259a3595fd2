"""``acdc video``: from one caption to moving pictures."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup
from cloup import option, option_group

from ..examples import VIDEOS
from ..options import EngineOptions, StoryOptions, check_sentences
from ..outputs import StoryResult
from ..storage.progress import make_progress
from ..storage.resume_story import check_request
from ..storage.story_writer import StoryWriter, cut_remark, end_ms, shifted
from ..storage.video_io import no_mp4_reason, side_by_side, write_gif, write_mp4
from ..utils.streams import log, report
from ..utils.versions import versions
from .flags import Given, with_options
from .inputs import check_seed
from .options import drawing, output, remark_on_steps, remark_on_unused
from .story import load_engine
from .story_folder import frames_so_far, open_story_folder

if TYPE_CHECKING:
    from ..engine import Engine

BUNDLE = "storyworld-video"
FIRST = 1  # chunks that are corrected: 16 of 32 frames, as in the paper
COUNT = click.IntRange(min=1)
SOURCE = option_group(
    "Video",
    option("--prompt", metavar="TEXT", help="Draw a video that shows this text."),
    option("--example", type=click.Choice(list(VIDEOS)), help="Draw a video of this caption of the paper."),
    option("--frames", type=COUNT, default=32, show_default=True, help="Draw this number N of frames."),
    option(
        "--chunk-frames",
        type=COUNT,
        default=16,
        show_default=True,
        help="Draw and correct the frames in chunks of this length L.",
    ),
    option(
        "--fps", type=click.IntRange(1, 60), default=8, show_default=True, help="Show this number of frames a second."
    ),
)
OUTPUT = output("pictures and videos", "out/EXAMPLE_video, or out/video", "video")


@cloup.command(short_help="Draw a video.")
@with_options(
    SOURCE,
    OUTPUT,
    *drawing(bundle=BUNDLE, unit="chunks", first=f"{FIRST}, or all if --correct-every is given"),
)
def video(
    prompt: str | None,
    example: str | None,
    frames: int,
    chunk_frames: int,
    fps: int,
    out: str | None,
    resume: bool,
    overwrite: bool,
    seed: int,
    given: Given,
) -> None:
    """Draw a video of one caption: chunks of frames, corrected together before the next chunk is drawn.

    Give --prompt TEXT or --example NAME. Writes video.gif, comparison.gif (drafts on the left) and, where PyAV is
    installed, video.mp4 and comparison.mp4, in addition to the files of `acdc story`.
    """
    caption = _caption(prompt, example)
    options, engine_options = given.story(), given.engine(EngineOptions(bundle=BUNDLE))
    if "correction.first" not in given and "correction.every" not in given:
        options = options.replace(correct_first=FIRST)
    options.memory.check_for_video()
    if (context := options.sampling.context) is not None:
        raise ValueError(f"context {context!r} is for stories; an ARM sees of a video what it was taught to")
    seed, lengths = check_seed(seed), {"num_frames": frames, "chunk_frames": chunk_frames}
    default = f"out/{f'{example}_video' if example else 'video'}"
    folder = open_story_folder(out, default, resume=resume, overwrite=overwrite)
    if folder.stored is not None:
        check_request(folder.stored, (caption,) * len(folder.stored.sentences), seed)
    engine = load_engine(engine_options, num_frames=frames)
    remark_on_unused(options, engine.defaults, engine.embeds_guidance)
    settings = engine.video_settings(options, **lengths)
    new = StoryResult((caption,) * frames, seed, settings, versions(), engine.start(options))
    result = folder.continued(new, engine)
    remark_on_steps(new)
    if len(result.frames) < frames:
        del result.frames[len(result.frames) // chunk_frames * chunk_frames :]  # of a chunk that a kill cut short
    with folder.lock:
        _continue(engine, result, options, lengths, StoryWriter(folder.directory), fps)


def _caption(prompt: str | None, example: str | None) -> str:
    if (prompt is None) == (example is None):
        problem = "no caption given" if prompt is None else "--prompt and --example are given together"
        raise ValueError(f"{problem}; give --prompt TEXT or --example NAME")
    (caption,) = check_sentences([VIDEOS[example] if example is not None else prompt or ""])
    return caption


def _continue(
    engine: "Engine", result: StoryResult, options: StoryOptions, lengths: dict[str, int], writer: StoryWriter, fps: int
) -> None:
    """Draw what is missing; Ctrl-C leaves the finished chunks on disk."""
    total, done = lengths["num_frames"], len(result.frames)
    begun = time.perf_counter()
    try:
        _draw(engine, result, options, lengths, writer)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted after {frames_so_far(result, total, writer)}") from None
    seconds = time.perf_counter() - begun
    for frame in result.frames[done : done + 1]:  # one caption for all
        if frame.cut_prompt is not None:
            log(f"acdc: {cut_remark(frame)}")
    writer.finish(result, "", missing_only=done == total)
    if writer.remark:
        log(f"acdc: {writer.remark}")
    shown = _write_pictures(result, writer.directory, fps)
    summary = (
        f"{total - done} frames in {seconds:.1f} s" if done < total else "the video is finished, nothing to resume"
    )
    report(f"{shown}: {summary}")


def _draw(
    engine: "Engine", result: StoryResult, options: StoryOptions, lengths: dict[str, int], writer: StoryWriter
) -> None:
    done, total = tuple(result.frames), lengths["num_frames"]
    if len(done) == total:
        return
    offset = end_ms(done)
    with make_progress(total, len(done)) as progress:
        chunks = engine.stream_video(
            result.sentences[0], seed=result.seed, options=options, done=done, on_phase=progress.phase, **lengths
        )
        last = time.perf_counter()
        for chunk in chunks:
            now = time.perf_counter()
            for frame in chunk:
                writer.add(result, shifted(frame, offset))
                progress.frame(frame, (now - last) / len(chunk))
            last = now


def _write_pictures(result: StoryResult, directory: Path, fps: int) -> Path:
    """Write the frames as videos, alone and side by side with their drafts; returns the first file's name."""
    pictures = {
        "video": result.images,
        "comparison": side_by_side([frame.draft for frame in result.frames], result.images),
    }
    for name, images in pictures.items():
        write_gif(directory / f"{name}.gif", images, fps)
        if (reason := no_mp4_reason()) is None:
            write_mp4(directory / f"{name}.mp4", images, fps)
    if reason is not None:
        log(f"acdc: no MP4 was written: {reason}")
    return directory / "video.gif"
