"""The folder of a story: every finished frame is on disk before the next one starts."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..outputs import Frame, Span, StoryResult
from ..utils.atomic import write_json, write_png
from .earlier import cut_story, keep_earlier
from .perfetto import trace_events
from .sheet import draw_sheet, sheet_remark
from .story_reader import FRAMES, STORY_FILE, draft_name, image_name, story_record

SHEET_FILE = "sheet.png"
TRACE_FILE = "trace.json"
MADE_OF_ALL = (SHEET_FILE, TRACE_FILE)


def cut_remark(frame: Frame) -> str:
    """A remark on a frame's prompt that the text encoder did not see whole."""
    return prompt_remark(frame.cut_prompt or "")


def prompt_remark(seen: str) -> str:
    """A remark on a prompt of which the text encoder saw this part."""
    return f"the prompt is too long for the text encoder, which saw it up to {' '.join(seen.split()[-4:])!r}"


class StoryWriter:
    """Writes one story into ``directory``: pictures, ``story.json``, contact sheet, trace.

    Every file is written under another name and renamed. ``story.json`` comes after the frame's pictures:
    a frame counts once it is listed there. An earlier story in the same folder stays whole until the first
    frame of the new one is done.
    """

    def __init__(self, directory: str | Path, earlier: int = 0) -> None:
        """``earlier`` is the number of frames of a story in ``directory`` of which some are made again: it is copied to
        ``earlier/N`` before the first of them is written."""
        self.directory, self.earlier = Path(directory), earlier
        self.sheet = self.directory / SHEET_FILE
        self.trace = self.directory / TRACE_FILE
        self.remark = ""  # letters that the sheet cannot show

    def add(self, story: StoryResult, frame: Frame) -> None:
        """Append ``frame`` to ``story`` and to the folder."""
        assert frame.index == len(story.frames), "frames come in order"
        if self.earlier:
            keep_earlier(self.directory, MADE_OF_ALL)
            cut_story(self.directory, story, self.earlier, MADE_OF_ALL)
            self.earlier = 0
        if frame.index == 0:
            self.clear()
        (self.directory / FRAMES).mkdir(parents=True, exist_ok=True)
        write_png(self.directory / draft_name(frame.index), frame.draft)
        write_png(self.directory / image_name(frame.index), frame.image)
        story.frames.append(frame)
        write_json(self.directory / STORY_FILE, story_record(story))

    def finish(self, story: StoryResult, title: str = "", *, missing_only: bool = False) -> list[str]:
        """Write the contact sheet and the trace, or those that are missing; returns the names written."""
        written = []
        if not (missing_only and self.sheet.exists()):
            write_png(self.sheet, draw_sheet(story, title))
            self.remark = sheet_remark(story, title)
            written.append(SHEET_FILE)
        if not (missing_only and self.trace.exists()):
            write_json(self.trace, trace_events(story))
            written.append(TRACE_FILE)
        return written

    def clear(self) -> None:
        """Remove an earlier story, its list of frames first; files of other kinds are left alone."""
        for path in (self.directory / STORY_FILE, self.sheet, self.trace):
            path.unlink(missing_ok=True)
        for pattern in ("frame_[0-9]*.png", ".frame_[0-9]*.png.part"):  # also what a kill left of one
            for path in sorted((self.directory / FRAMES).glob(pattern)):
                path.unlink()


def story_title(name: str) -> str:
    """Title of a story's sheet, from an example's or a folder's name."""
    return name.replace("_", " ").capitalize()


def end_ms(frames: Iterable[Frame]) -> float:
    """The end of the last span on the timeline of ``frames``."""
    return max((span.start_ms + span.duration_ms for frame in frames for span in frame.spans), default=0.0)


def shifted(frame: Frame, offset_ms: float) -> Frame:
    """``frame`` with its spans ``offset_ms`` later, so that a resumed run follows the first on one timeline."""
    spans = (Span(span.phase, span.start_ms + offset_ms, span.duration_ms) for span in frame.spans)
    return replace(frame, spans=tuple(spans))
