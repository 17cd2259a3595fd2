"""Clips of one sentence: chunks of frames that are corrected together, as ``acdc video`` draws them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from ...options import StoryOptions
from ...outputs import Frame, StoryResult
from ...storage.story_reader import read_story
from ...storage.story_writer import StoryWriter, end_ms, shifted
from ...utils.versions import versions
from ..settings_digest import settings_digest
from ..store.records import Job
from .desk import Desk
from .story_work import frame_data

if TYPE_CHECKING:
    from ...engine import Engine

FIRST = 1  # chunks that are corrected by default, as in the paper


def draws_clips(engine: Engine) -> bool:
    """Was the engine's ARM trained on moving pictures?"""
    try:
        engine.models.arm.video_session(1, 1, StoryOptions().resolved(engine.defaults)).close()
    except ValueError:
        return False
    return True


def clip(engine: Engine, job: Job, desk: Desk) -> dict[str, Any]:
    """Draw what is missing: whole chunks of an earlier attempt, or of the clip that is extended, are kept."""
    options, video = clip_options(desk.options), job.body["video"]
    frames, chunk_frames = video["num_frames"], video["chunk_frames"]
    (prompt,) = job.sentences
    settings = engine.video_settings(options, frames, chunk_frames)
    captions, start = (prompt,) * frames, engine.start(options)
    result = StoryResult(captions, job.body["seed"], settings, versions(), start)
    result.frames += earlier_frames(desk, settings, frames, chunk_frames)
    reported = {data["index"] for data in desk.seen("frame")}
    for frame in result.frames:
        if frame.index not in reported:
            _report(engine, desk, frame)
    _draw(engine, desk, result, options, chunk_frames, reported)
    return {"frames": len(result.frames), "seconds": round(end_ms(result.frames) / 1e3, 3)}


def clip_options(options: StoryOptions) -> StoryOptions:
    """With the first chunk alone corrected, unless the options say which."""
    chosen = options.correction
    return options if chosen.first is not None or chosen.every != 1 else options.replace(correct_first=FIRST)


def earlier_frames(desk: Desk, settings: Mapping[str, Any], frames: int, chunk_frames: int) -> list[Frame]:
    """Whole chunks that lie in the folder; ``ValueError`` where they were drawn in another way."""
    stored = read_story(desk.folder)
    if stored is None:
        return []
    if _digest(stored.settings) != _digest(settings):
        raise ValueError("the first frames were drawn with another model or other settings; begin a new video")
    there = len(stored.frames)
    return stored.frames[: there if there == frames else there // chunk_frames * chunk_frames]


def _draw(
    engine: Engine, desk: Desk, result: StoryResult, options: StoryOptions, chunk_frames: int, reported: Collection[int]
) -> None:
    done, frames = tuple(result.frames), len(result.sentences)
    if len(done) == frames:
        return
    offset, writer = end_ms(done), StoryWriter(desk.folder)
    chunks = engine.stream_video(
        result.sentences[0], seed=result.seed, num_frames=frames, chunk_frames=chunk_frames, options=options, done=done
    )
    for chunk in chunks:
        for frame in (shifted(frame, offset) for frame in chunk):
            desk.write(lambda one=frame: _add(writer, result, one))  # type: ignore[misc]
            if frame.index not in reported:  # of a chunk that a kill cut short
                _report(engine, desk, frame)
        desk.check()


def _add(writer: StoryWriter, result: StoryResult, frame: Frame) -> None:
    del result.frames[frame.index :]  # left by a write that failed
    writer.add(result, frame)


def _report(engine: Engine, desk: Desk, frame: Frame) -> None:
    tokens = len(engine.models.arm.encode(frame.sentence)) if frame.index == 0 else 0
    desk.event("frame", {**frame_data(frame, None, None), "text_tokens": tokens})


def _digest(settings: Mapping[str, Any]) -> str:
    """Clips of any length are drawn alike."""
    return settings_digest({name: value for name, value in settings.items() if name != "num_frames"})
