"""One story in a worker: its frames go to disk as ``acdc story`` writes them, then its events to the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ...outputs import Frame, PartialImage, StoryResult
from ...request import StoryRequest
from ...scheduler.events import FrameDone
from ...storage.story_reader import read_story
from ...storage.story_writer import StoryWriter, end_ms, shifted
from ...utils.atomic import write_png
from ..partials import partial_name
from ..settings_digest import settings_digest
from ..store.claims import SUSPECT, Claims
from ..store.records import Job
from .persist import Persistence


class StoryWork:
    """A claimed story. Call :meth:`begin`, then :meth:`show` and :meth:`frame` as they come, then :meth:`finish`."""

    def __init__(
        self,
        job: Job,
        stories: Path,
        claims: Claims,
        persist: Persistence,
        carried: Callable[[Job], list[Frame]],
        count_tokens: Callable[[str], int],
    ) -> None:
        """Reads the frames that earlier attempts have left in the folder of all ``stories``; ``ValueError`` for damaged
        ones. ``carried`` makes those that a client carried here, ``count_tokens`` counts those of a sentence."""
        self.job, self.folder, self.claims, self.persist = job, stories / job.id, claims, persist
        self.count_tokens = count_tokens
        stored = read_story(self.folder)
        self.frames: list[Frame] = [] if stored is None else stored.frames
        self.drawn_with = None if stored is None else settings_digest(stored.settings)
        self.on_disk = len(self.frames)
        if (token := job.body.get("carried")) and len(self.frames) < len(token["frames"]):
            self.frames, self.drawn_with = _copied(stories, token) or carried(job), token["settings"]
        elif len(self.frames) < len(job.body.get("given", ())):
            self.frames = carried(job)
        if [frame.sentence for frame in self.frames] != job.sentences[: len(self.frames)]:
            raise ValueError(f"the frames in the folder of story {job.id!r} are another story's; choose another id")
        self.writer = StoryWriter(self.folder)
        self.suspect = job.attempt > SUSPECT  # until its next frame

    @cached_property
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
        if self.drawn_with not in (None, settings_digest(new.settings)):
            raise ValueError("the first frames were drawn with another model or other settings; begin a new story")
        self.story = replace(new, frames=self.frames[: self.on_disk])
        for frame in self.frames[self.on_disk :]:
            self.persist(partial(self._add, frame))
        self.offset_ms = end_ms(self.frames)
        reported = {data["index"] for data in self.claims.seen(self.job.id, ("frame",))}
        self.shown = {(d["index"], d.get("number", 0)) for d in self.claims.seen(self.job.id, ("draft", "estimate"))}
        for frame in self.frames:
            if frame.index not in reported:
                self._frame_event(frame, frame_data(frame, None, None))

    def show(self, picture: PartialImage) -> None:
        """A picture of the frame under way; one that an earlier attempt showed is the same, and is not shown again."""
        if (picture.index, picture.number) in self.shown:
            return
        path = self.folder / partial_name(picture.index, picture.number)
        self.persist(lambda: _write_partial(path, picture))
        self.shown.add((picture.index, picture.number))
        if picture.number == 0:
            self._event("draft", {"index": picture.index})
        else:
            self._event("estimate", {"index": picture.index, "number": picture.number, "step": picture.step})

    def frame(self, done: FrameDone, finished_at: float) -> None:
        """A frame that the engine had ``finished_at`` (seconds since 1970): to disk, then its event."""
        frame = shifted(done.frame, self.offset_ms)
        self.persist(lambda: self._add(frame))
        self._frame_event(frame, frame_data(frame, done.latency_ms, done.waited_ms) | {"finished_at": finished_at})
        self.suspect = False

    def finish(self) -> None:
        """All sentences have their frames: the story's last event, or that it waits for more."""
        frames = self.story.frames
        data = {"frames": len(frames), "seconds": round(end_ms(frames) / 1e3, 3)}
        self.persist(lambda: self.claims.settle(self.job.id, len(frames), data))

    def _add(self, frame: Frame) -> None:
        del self.story.frames[frame.index :]  # what a write that failed has left
        self.writer.add(self.story, frame)

    def _frame_event(self, frame: Frame, data: Mapping[str, Any]) -> None:
        self._event("frame", {**data, "text_tokens": self.count_tokens(frame.sentence)})

    def _event(self, kind: str, data: Mapping[str, Any]) -> None:
        self.persist(lambda: self.claims.add(self.job.id, kind, data))


def frame_data(frame: Frame, latency_ms: float | None, waited_ms: float | None) -> dict[str, Any]:
    """Data of the event ``frame``, without ``finished_at``: when the engine had it (seconds since 1970). Times are None
    where an earlier worker drew the frame."""
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


def _copied(stories: Path, token: Mapping[str, Any]) -> list[Frame]:
    """The carried frames with their pictures, where the story that they are of is here; else none."""
    try:
        source = read_story(stories / token["story"])
    except ValueError:
        return []
    frames = [] if source is None else source.frames[: len(token["frames"])]
    if [list(frame.codes) for frame in frames] != [record["codes"] for record in token["frames"]]:
        return []
    return [replace(frame, spans=(), later_prompts=()) for frame in frames]


def _write_partial(path: Path, picture: PartialImage) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, picture.image)
