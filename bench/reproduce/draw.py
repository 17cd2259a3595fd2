"""Draw what is missing of a row: stories many at a time, videos and the diffusion model's stories one by one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ...engine.cli.story import begin_story
from ...engine.engine import Engine
from ...engine.memory import memory_maker
from ...engine.options import StoryOptions
from ...engine.outputs import StoryResult
from ...engine.request import StoryRequest
from ...engine.scheduler.events import FrameDone
from ...engine.storage.resume_run import check_folders, earlier_run
from ...engine.storage.resume_story import check_request, check_settings
from ...engine.storage.run_progress import RunProgress, make_many_progress
from ...engine.storage.run_writer import ManyWriter, frames_to_make
from ...engine.storage.story_reader import read_story
from ...engine.storage.story_writer import StoryWriter, end_ms, shifted, story_title
from ...engine.utils.uninterrupted import uninterrupted
from ...engine.utils.versions import versions
from .diffusion_alone import correction_of, frames_alone
from .spent import Meter


def draw_stories(engine: Engine, folder: Path, stories: Sequence[StoryRequest], options: StoryOptions) -> int:
    """Write into ``folder`` what ``acdc generate`` would; returns how many stories failed."""
    earlier = earlier_run(folder, stories, options, resume=True)
    left = [story for story in stories if story.id not in earlier.finished]
    check_folders(folder, [story.id for story in left])
    run_info = begin_story(engine, stories[0].sentences, 0, options, None)
    earlier.check(run_info)
    if not left:
        return 0
    tally = RunProgress(len(stories), len(stories) - len(left), frames_to_make(left, earlier.begun))
    writer = ManyWriter(folder, earlier.manifest, run_info, [], make_many_progress(tally), options)
    meter = Meter(folder, engine.device)
    run = engine.generate_many(writer.requests(left, earlier.begun), options=options)
    with writer, closing(run.events()) as events:
        for event in events:
            with uninterrupted():
                writer.take(event)
                if isinstance(event, FrameDone):
                    meter.frame()
    return tally.failed


def draw_alone(engine: Engine, folder: Path, stories: Sequence[StoryRequest], options: StoryOptions) -> int:
    """Write stories of the diffusion model alone into ``folder``, a folder each."""
    correction, meter = correction_of(engine, options), Meter(folder, engine.device)
    settings = {**engine.settings(options.replace(strength=1.0)), "diffusion_alone": True}
    memory = memory_maker(options.memory, device=str(engine.device), loaded={})()
    for story in stories:
        new = StoryResult(story.sentences, story.seed, settings, versions(), correction.schedule.record())
        writer = StoryWriter(folder / story.id)
        result = _continued(writer.directory, new)
        asked, offset = replace(story, done=tuple(result.frames)), end_ms(result.frames)
        for frame in frames_alone(engine, correction, asked, memory):
            with uninterrupted():
                writer.add(result, shifted(frame, offset))
                meter.frame()
        writer.finish(result, story_title(story.id), missing_only=len(asked.done) == len(story.sentences))
    return 0


def draw_videos(
    engine: Engine, folder: Path, stories: Sequence[StoryRequest], options: StoryOptions, frames: int, chunk: int
) -> int:
    """Write a video of each story's first sentence into ``folder``, as ``acdc video`` writes it."""
    meter, start = Meter(folder, engine.device), engine.start(options)
    settings = engine.video_settings(options, frames, chunk)
    for story in stories:
        new = StoryResult((story.sentences[0],) * frames, story.seed, settings, versions(), start)
        writer = StoryWriter(folder / story.id)
        result = _continued(writer.directory, new)
        whole = len(result.frames) == frames
        if not whole:
            del result.frames[len(result.frames) // chunk * chunk :]  # a chunk that a kill cut short
            done, offset = tuple(result.frames), end_ms(result.frames)
            chunks = engine.stream_video(
                story.sentences[0],
                seed=story.seed,
                options=options,
                done=done,
                num_frames=frames,
                chunk_frames=chunk,
            )
            for made in chunks:
                with uninterrupted():
                    for frame in made:
                        writer.add(result, shifted(frame, offset))
                    meter.frame(len(made))
        writer.finish(result, missing_only=whole)
    return 0


def _continued(directory: Path, new: StoryResult) -> StoryResult:
    """The story in ``directory`` where it would be drawn in the same way, ``new`` where there is none; ``ValueError``
    names what differs."""
    stored = read_story(directory)
    if stored is None:
        return new
    check_request(stored, new.sentences, new.seed)
    check_settings(stored.settings, new.settings)
    return stored
