"""One story in a worker: its frames go to disk as ``acdc story`` writes them, then its events to the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...outputs import Frame, PartialImage, StoryResult
from ...request import StoryRequest
from ...scheduler.events import FrameDone
from ...storage.story_reader import read_story
from ...storage.story_writer import StoryWriter, end_ms, shifted, story_title
from ...utils.atomic import write_png
from ..continuation import settings_digest
from ..store.claims import SUSPECT, Claims
from ..store.records import Job
from ..story_files import partial_name
from .persist import Persistence


class StoryWork:
    """A claimed story. Call :meth:`begin`, then :meth:`partial` and :meth:`frame` as they come, then :meth:`finish`."""

    def __init__(self, job: Job, folder: Path, claims: Claims, persist: Persistence) -> None:
        """Reads the frames that earlier attempts have left; ``ValueError`` for damaged ones."""
        self.job, self.folder, self.claims, self.persist = job, folder, claims, persist
        stored = read_story(folder)
        self.frames: list[Frame] = [] if stored is None else stored.frames
        self.stored_settings: Mapping[str, Any] | None = None if stored is None else stored.settings
        if [frame.sentence for frame in self.frames] != job.sentences[: len(self.frames)]:
            raise ValueError(f"the frames in the folder of story {job.id!r} are another story's; choose another id")
        self.writer = StoryWriter(folder)
        self.suspect = job.attempt > SUSPECT  # until its next frame

    @property
    def request(self) -> StoryRequest:
        """For the engine: the story with the frames that are there."""
        body = self.job.body
        return StoryRequest(
            self.job.id,
            tuple(self.job.sentences),
            body["seed"],
            done=tuple(self.frames),
            partial_images=body.get("partial_images", 0),
            options=body.get("options", {}),
        )

    def begin(self, new: StoryResult) -> None:
        """``new`` knows how frames are made, and has those that are there; events of frames that a killed worker had
        written to disk alone follow now. ``ValueError`` where the model or its settings have changed since."""
        if self.stored_settings is not None and settings_digest(self.stored_settings) != settings_digest(new.settings):
            raise ValueError("the first frames were drawn with another model or other settings; begin a new story")
        self.story = replace(new, frames=list(self.frames))
        self.offset_ms = end_ms(self.frames)
        reported = {data["index"] for data in self.claims.seen(self.job.id, ("frame",))}
        self.shown = {(d["index"], d.get("number", 0)) for d in self.claims.seen(self.job.id, ("draft", "estimate"))}
        for frame in self.frames:
            if frame.index not in reported:
                self._event("frame", frame_data(frame, None, None))

    def partial(self, partial: PartialImage) -> None:
        """A picture of the frame under way; one that an earlier attempt showed is the same, and is not shown again."""
        if (partial.index, partial.number) in self.shown:
            return
        path = self.folder / partial_name(partial.index, partial.number)
        self.persist(lambda: _write_partial(path, partial))
        self.shown.add((partial.index, partial.number))
        if partial.number == 0:
            self._event("draft", {"index": partial.index})
        else:
            self._event("estimate", {"index": partial.index, "number": partial.number, "step": partial.step})

    def frame(self, done: FrameDone) -> None:
        """A finished frame: to disk, then its event."""
        frame = shifted(done.frame, self.offset_ms)
        self.persist(lambda: self._add(frame))
        self._event("frame", frame_data(frame, done.latency_ms, done.waited_ms))
        self.suspect = False

    def finish(self) -> None:
        """All sentences have their frames: sheet and trace, then the story's last event, or that it waits for more."""
        self.persist(lambda: self.writer.finish(self.story, story_title(self.job.id)))
        frames = self.story.frames
        data = {"frames": len(frames), "seconds": round(end_ms(frames) / 1e3, 3)}
        self.persist(lambda: self.claims.settle(self.job.id, len(frames), data))

    def _add(self, frame: Frame) -> None:
        del self.story.frames[frame.index :]  # what a write that failed has left
        self.writer.add(self.story, frame)

    def _event(self, kind: str, data: Mapping[str, Any]) -> None:
        self.persist(lambda: self.claims.add(self.job.id, kind, data))


def frame_data(frame: Frame, latency_ms: float | None, waited_ms: float | None) -> dict[str, Any]:
    """Data of the event ``frame``. Times are None where an earlier worker drew the frame."""
    height, width = frame.image.shape[:2]
    return {
        "index": frame.index,
        "sentence": frame.sentence,
        "refined_prompt": frame.refined_prompt,
        "corrected": frame.corrected,
        "width": width,
        "height": height,
        "image_tokens": len(frame.draft_codes),
        "phases_ms": {name: round(ms, 3) for name, ms in frame.phases_ms.items()},
        "latency_ms": None if latency_ms is None else round(latency_ms, 3),
        "waited_ms": None if waited_ms is None else round(waited_ms, 3),
        "memory_note": frame.memory_note,
    }


def _write_partial(path: Path, partial: PartialImage) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, partial.image)
