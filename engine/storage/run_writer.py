"""Many stories onto disk, as their frames come: each into its own folder, and into the manifest when it is over."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from ..memory import MemoryFailure
from ..options import StoryOptions
from ..outputs import StoryResult
from ..request import StoryRequest
from ..scheduler.events import AlreadyComplete, Event, FrameDone, StoryFailed
from ..utils.to_one_line import one_line
from .manifest import MANIFEST_FILE, Failed, Finished, Manifest, ManifestWriter, digest, sync_directory
from .resume_run import clear_stories
from .run_progress import ManyProgress
from .story_reader import FRAMES, read_story
from .story_writer import StoryWriter, cut_remark, end_ms, shifted, story_title

MAX_PENDING_SHEETS = 4  # finished stories whose sheets may wait to be drawn, before everything waits for them


@dataclass
class _Open:
    """A story on the way: its ``seconds`` so far, those of earlier runs included, by which new spans are shifted."""

    story: StoryResult
    writer: StoryWriter
    seconds: float = 0.0
    offset_ms: float = field(init=False)

    def __post_init__(self) -> None:
        self.offset_ms = end_ms(self.story.frames)
        self.seconds = self.offset_ms / 1e3


class ManyWriter:
    """Writes into ``directory``. A story's frames are on disk before the next event is asked for; its sheet is drawn by
    another thread, and its line in the manifest follows. What is held in memory are stories on the way.

    ``known`` is the manifest as it was read (None: to be replaced, and the ``stale`` stories removed, when there is
    a frame that takes their place), ``run_info`` a story without frames that knows how frames are made. The folder is
    touched when this is entered, and not before.
    """

    def __init__(
        self,
        directory: Path,
        known: Manifest | None,
        run_info: StoryResult,
        stale: Sequence[str],
        progress: ManyProgress,
        options: StoryOptions,
    ) -> None:
        self.options = options
        self.directory, self.known, self.run_info, self.progress = directory, known, run_info, progress
        self.stale = stale
        # Failures while the obsolete stories are still there.
        self._early: list[Failed] | None = [] if stale else None
        self._open: dict[str, _Open] = {}
        self._remarked = False  # that a sheet has boxes is said of the first one
        self._finishing: deque[tuple[Future[str], Finished]] = deque()
        self._manifest: ManifestWriter | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._manifest = stack.enter_context(ManifestWriter(self.directory / MANIFEST_FILE, self.known))
            if self.known is None and not self.stale:
                self._manifest.start_over()
            self._sheets = stack.enter_context(ThreadPoolExecutor(1, "acdc-sheets"))
            stack.enter_context(self.progress)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is None or issubclass(kind, KeyboardInterrupt):
                self._note_finished(0)

    @property
    def kept(self) -> bool:
        """Are the stories that were to be replaced still there, because no frame was made?"""
        return self._early is not None

    @property
    def so_far(self) -> str:
        """Finished stories, their directory, and how to continue."""
        if self.kept:
            return f"before the first frame; what was in {self.directory} is still there"
        tally = self.progress.tally
        there = f"{tally.done + tally.finished} of {tally.stories} stories in {self.directory}"
        return f"after {there}; continue with --resume"

    def requests(self, asked: Iterable[StoryRequest], begun: Collection[str]) -> Iterator[StoryRequest]:
        """``asked``, those that were ``begun`` with their frames; each is read when there is room for it."""
        for request in asked:
            if request.id not in begun:
                yield request
                continue
            opened = self._open[request.id] = self._begun(request)
            yield replace(request, done=tuple(opened.story.frames))

    def take(self, event: Event) -> None:
        """A frame, or the end of a story that failed or was whole already."""
        match event:
            case FrameDone():
                self._add(event)
            case StoryFailed():
                self._fail(event)
            case AlreadyComplete(request):
                self._finish(request)
        self._note_finished(MAX_PENDING_SHEETS)

    def _add(self, made: FrameDone) -> None:
        request, frame = made.request, made.frame
        self._replace_obsolete()
        opened = self._open.get(request.id) or self._new(request)
        opened.writer.add(opened.story, shifted(frame, opened.offset_ms))
        opened.seconds += made.latency_ms / 1e3
        self.progress.frame()
        if frame.memory_note:
            self.progress.note(f"story {request.id!r}, frame {frame.index + 1}: {one_line(frame.memory_note)}")
        if frame.cut_prompt is not None:
            self.progress.note(f"story {request.id!r}, frame {frame.index + 1}: {one_line(cut_remark(frame))}")
        if made.last:
            self._finish(request)

    def _fail(self, event: StoryFailed) -> None:
        request, error = event.request, event.error
        opened = self._open.pop(request.id, None)
        made = 0 if opened is None else len(opened.story.frames)
        readable = isinstance(error, ValueError | OSError | MemoryFailure) and str(error)
        reason = str(error) if readable else f"{type(error).__name__}: {error}"
        self._note_failed(request.id, reason, len(request.sentences) - made)

    def _new(self, request: StoryRequest) -> _Open:
        constraints = request.recorded(self.options)
        story = replace(
            self.run_info, sentences=request.sentences, seed=request.seed, constraints=constraints, frames=[]
        )
        opened = self._open[request.id] = _Open(story, StoryWriter(self.directory / request.id))
        return opened

    def _begun(self, request: StoryRequest) -> _Open:
        story = read_story(self.directory / request.id)
        assert story is not None, "it was there when the run began"
        return _Open(story, StoryWriter(self.directory / request.id))

    def _finish(self, request: StoryRequest) -> None:
        opened = self._open.pop(request.id)
        asked = digest(request.sentences, request.recorded(self.options))
        entry = Finished(request.id, request.seed, len(opened.story.frames), opened.seconds, asked)
        title = story_title(request.id)
        self._finishing.append((self._sheets.submit(_complete, opened.writer, opened.story, title), entry))

    def _note_finished(self, max_pending: int) -> None:
        """Enter stories into the manifest whose files are all there; wait until at most ``max_pending`` are not."""
        assert self._manifest is not None
        while self._finishing and (len(self._finishing) > max_pending or self._finishing[0][0].done()):
            future, entry = self._finishing.popleft()
            try:
                remark = future.result()
            except Exception as error:  # out of memory, for one: the frames are kept, and the other stories go on
                reason = f"its frames are there, its sheet or trace is not: {type(error).__name__}: {error}"
                self._note_failed(entry.id, reason, 0)
                continue
            self._manifest.append(entry)
            self.progress.story(entry)
            if remark and not self._remarked:
                self._remarked = True
                self.progress.note(f"story {entry.id!r}: {remark}")

    def _note_failed(self, name: str, reason: str, missing: int) -> None:
        assert self._manifest is not None
        entry = Failed(name, one_line(reason))
        if self._early is None:
            self._manifest.append(entry)
        else:
            self._early.append(entry)
        self.progress.failure(entry, missing)

    def _replace_obsolete(self) -> None:
        """Remove the stories that were to be replaced, and enter what has failed before; once."""
        if self._early is None:
            return
        assert self._manifest is not None
        self._manifest.start_over()  # first, so that a crash leaves no line about a story that is gone
        clear_stories(self.directory, self.stale)
        early, self._early = self._early, None
        for entry in early:
            self._manifest.append(entry)


def frames_to_make(asked: Sequence[StoryRequest], begun: Mapping[str, int]) -> int:
    """Frames that are missing."""
    return sum(len(request.sentences) - begun.get(request.id, 0) for request in asked)


def _complete(writer: StoryWriter, story: StoryResult, title: str) -> str:
    """Write the files of a story besides its frames; then all of its names are on disk. Returns a remark on unreadable
    letters of its sheet."""
    writer.finish(story, title)
    for folder in (writer.directory / FRAMES, writer.directory, writer.directory.parent):
        sync_directory(folder)
    return writer.remark
