"""``acdc video``: from one caption to moving pictures."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..examples import VIDEOS
from ..options import StoryOptions, check_sentences
from ..outputs import StoryResult
from ..storage.progress import make_progress
from ..storage.resume_story import changed_versions, check_request, check_settings, stored_story
from ..storage.run_lock import story_lock
from ..storage.story_writer import StoryWriter, cut_remark, shifted
from ..storage.video_io import no_mp4_reason, side_by_side, write_gif, write_mp4
from ..utils.streams import log, report
from ..utils.versions import versions
from .inputs import check_seed, output_directory
from .options import CORRECTION, RUN, remark_on_unused, story_options, with_options
from .story import load_engine

if TYPE_CHECKING:
    from ..engine import Engine

SOURCE = (
    click.option("--prompt", metavar="TEXT", help="What the video shows."),
    click.option("--example", type=click.Choice(list(VIDEOS)), help="A caption that comes with the program."),
    click.option("--frames", type=click.IntRange(min=1), default=32, show_default=True, help="N: frames in all."),
    click.option(
        "--chunk-frames", type=click.IntRange(min=1), default=16, show_default=True, help="L: corrected together."
    ),
    click.option("--fps", type=click.IntRange(1, 60), default=8, show_default=True, help="Frames a second."),
    click.option("--out", metavar="DIR", help="Where the video goes.  [default: out/EXAMPLE_video or out/video]"),
    click.option("--resume", is_flag=True, help="Continue an interrupted video in --out."),
    click.option("--overwrite", is_flag=True, help="Replace an earlier video in --out."),
)
BUNDLE = (click.option("--bundle", default="storyworld-video", show_default=True, help="A name or a directory."),)
DRAWING = (
    click.option("--no-correction", is_flag=True, help="The plain autoregressive model."),
    click.option(
        "--correct-first",
        type=int,
        metavar="K",
        help="Correct the first K chunks only.  [default: 1, or all with --correct-every]",
    ),
    click.option("--correct-every", type=int, metavar="K", help="Correct chunks 1, 1+K, 1+2K, ..."),
    click.option("--negative-prompt", help="What the corrector should avoid."),
    click.option("--temperature", type=float, help="Of the token draw; 0 = greedy.  [default: the bundle's]"),
    click.option("--top-k", type=int, help="Draw among the K likeliest tokens; 0 = all.  [default: the bundle's]"),
)


@click.command(short_help="Draw a video.")
@with_options(SOURCE, BUNDLE, RUN, CORRECTION, DRAWING)
def video(prompt: str | None, example: str | None, **given: Any) -> None:
    """Draw a video of one caption: chunks of frames, corrected together before the next chunk is drawn.

    Give --prompt TEXT or --example NAME. Writes video.gif, comparison.gif (drafts on the left) and, where PyAV is
    installed, video.mp4 and comparison.mp4, beside what ``acdc story`` writes.
    """
    caption = _caption(prompt, example)
    if given["correct_first"] is None and given["correct_every"] is None:
        given["correct_first"] = 1  # the paper's: 16 of 32 frames
    options = story_options(given, correction=not given["no_correction"])
    options.memory_settings.check_for_video()
    if given["context"] is not None:
        raise ValueError(f"context {given['context']!r} is for stories; an ARM sees of a video what it was taught to")
    seed, lengths = check_seed(given["seed"]), {"num_frames": given["frames"], "chunk_frames": given["chunk_frames"]}
    directory = output_directory(given["out"], f"out/{f'{example}_video' if example else 'video'}")
    lock = story_lock(directory)
    stored = stored_story(directory, resume=given["resume"], overwrite=given["overwrite"])
    if stored is not None:
        check_request(stored, (caption,) * len(stored.sentences), seed)
    engine = load_engine(given)
    remark_on_unused(options, engine.defaults)
    settings = engine.video_settings(options, **lengths)
    new = StoryResult((caption,) * lengths["num_frames"], seed, settings, versions(), engine.start(options))
    if stored is not None:
        check_settings(stored.settings, new.settings, lambda: engine.bundle.old_fingerprint())
        if remark := changed_versions(stored.versions, new.versions):
            log(f"acdc: {remark}")
        whole = len(stored.frames) // lengths["chunk_frames"] * lengths["chunk_frames"]
        if len(stored.frames) < lengths["num_frames"]:
            del stored.frames[whole:]  # of a chunk that a kill cut short
        new = stored
    with lock:
        _continue(engine, new, options, lengths, StoryWriter(directory), given["fps"])


def _caption(prompt: str | None, example: str | None) -> str:
    if (prompt is None) == (example is None):
        told = "no caption given" if prompt is None else "--prompt and --example are given together"
        raise ValueError(f"{told}; give --prompt TEXT or --example NAME")
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
        raise KeyboardInterrupt(f"interrupted after {_so_far(result, total, writer)}") from None
    seconds = time.perf_counter() - begun
    for frame in result.frames[done : done + 1]:  # one caption for all
        if frame.cut_prompt is not None:
            log(f"acdc: {cut_remark(frame)}")
    writer.finish(result, "", missing_only=done == total)
    if writer.remark:
        log(f"acdc: {writer.remark}")
    shown = _write_pictures(result, writer.directory, fps)
    told = f"{total - done} frames in {seconds:.1f} s" if done < total else "the video is finished, nothing to resume"
    report(f"{shown}: {told}")


def _draw(
    engine: "Engine", result: StoryResult, options: StoryOptions, lengths: dict[str, int], writer: StoryWriter
) -> None:
    done, total = tuple(result.frames), lengths["num_frames"]
    if len(done) == total:
        return
    offset = max((span.start_ms + span.duration_ms for frame in done for span in frame.spans), default=0.0)
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
    """The frames as moving pictures, shown ones alone and beside their drafts; returns the first file's name."""
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


def _so_far(result: StoryResult, total: int, writer: StoryWriter) -> str:
    hint = f"continue {writer.directory} with --resume" if result.frames else "nothing was written"
    return f"{len(result.frames)} of {total} frames; {hint}"
