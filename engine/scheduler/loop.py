"""Many stories at once: the loop of ``pipeline/serial.py`` with memory, ARM and diffusion model concurrently.

A turn of the loop: let stories in, ask for rewrites, fill the free slots, show what is finished, wait for the next
thing that is done. ``SerialPipeline`` calls the same phases one after another, and gives the same stories.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from threading import RLock

from ..memory import Memory
from ..options import StoryOptions
from ..outputs import PartialImage, Phase, Ran
from ..pipeline.frame_state import build_frame
from ..pipeline.phases import rewrite
from ..pipeline.story import context_pixels, restore_memory, stored_codes
from ..request import StoryRequest
from ..utils.out_of_memory import is_out_of_memory
from ..utils.to_one_line import one_line
from .batch_keys import batch_keys
from .events import AlreadyComplete, Cancelled, Event, FrameDone, PartialReady, StoryFailed
from .executor import Done, Executor, Posted, Slot
from .policy import SchedulerConfig
from .scheduler import Launch, Scheduler, State, phase_schedule
from .slot_phases import SlotPhases
from .story_feed import StoryFeed
from .story_state import StoryState, span

LOG = logging.getLogger(__name__)
TOGETHER = "%s of %d stories failed together and is done again for each alone: %s"
TOO_LARGE = "%s of %d stories ran out of memory and is done again; from now on it takes at most %d: %s"
KEPT = 1 << 14  # of what ran, the last: a run over any number of stories takes no more memory


class PipelinedLoop:
    """Stories from ``requests``, which are drawn lazily: when there is room for one. Over a feed the run waits for more
    until it is closed."""

    def __init__(
        self,
        slots: Sequence[tuple[Slot, SlotPhases]],
        options: StoryOptions,
        config: SchedulerConfig,
        load_memory: Callable[[], Memory],
        requests: Iterable[StoryRequest] | StoryFeed,
        options_of: Callable[[StoryRequest], StoryOptions] | None = None,
    ) -> None:
        """``options`` are resolved, one pair of ``slots`` for each of ``config.slots``; ``options_of`` resolves a
        request's own."""
        assert len(slots) == config.slots, f"{len(slots)} slots for {config.slots}"
        self.options, self.config, self.load_memory = options, config, load_memory
        self.feed = requests if isinstance(requests, StoryFeed) else None
        self.requests: Iterator[StoryRequest] = iter(()) if isinstance(requests, StoryFeed) else iter(requests)
        self.phases, self.own_options = [phases for _, phases in slots], options_of
        self.scheduler: Scheduler[StoryState] = Scheduler(config)
        self.executor = Executor([slot for slot, _ in slots])
        for phases in self.phases:
            phases.on_partial = lambda story, partial: self.executor.post((story, partial))  # on a slot's thread
        self.stories: list[StoryState] = []  # in the order in which they came
        self.ran: deque[Ran] = deque(maxlen=KEPT)
        self.origin = time.perf_counter()
        self._cancelled: set[str] = set()
        self._lock = RLock()  # of names: one is cancelled here while its story ends there
        self._broken: Exception | None = None  # why no more stories come

    def cancel(self, name: str) -> None:
        """Drop a story between two launches; it ends as ``StoryFailed`` with ``Cancelled``. From any thread. Over a
        feed the name of a story that has ended does nothing: a later story may have it."""
        with self._lock:
            if self.feed is None or name in self.feed:
                self._cancelled.add(name)
        self.executor.wake()

    def events(self) -> Generator[Event, None, None]:
        """Frames as they are finished, and stories that failed. A story goes on when the event after its frame is asked
        for, so a writer has written the frames to disk by then; the other stories go on meanwhile."""
        if self.feed is not None:
            self.feed.attach(self.executor.wake)  # before the try: a feed that another run reads is left as it is
        try:
            while True:
                yield from self._drop_cancelled()  # which makes room: what is let in then keeps the loop going
                yield from self._let_in()
                if not self.stories and (self.feed is None or self.feed.ended):
                    break  # calls for stories that have gone may still be under way
                self._ask()
                self._fill()
                done = self.executor.wait(idle=not self.stories)
                if not isinstance(done, Posted):
                    yield from self._take(done)
                elif done.what is not None:  # else somebody has put or cancelled a story
                    yield from self._partial(*done.what)
        finally:
            self.executor.close()
            if self.feed is not None:
                self.feed.detach()
        if self._broken is not None:
            raise self._broken

    def _let_in(self) -> Iterator[Event]:
        """Take requests while there is room; one that cannot be drawn fails alone."""
        while self.scheduler.room:
            try:
                request = next(self.requests, None) if self.feed is None else self.feed.take()
            except Exception as error:  # of the iterator: raised when the stories that are here are finished
                self.requests, self._broken = iter(()), error
                return
            if request is None:
                return
            try:
                if request.id in self._cancelled:
                    raise Cancelled.story(request.id)
                story = self._state(request)
            except Exception as error:
                self._forget(request.id)
                yield StoryFailed(request, error)
                continue
            if story.index == story.frames:
                self._forget(request.id)
                yield AlreadyComplete(request)
                continue
            self.stories.append(story)
            self.scheduler.add(story)

    def _state(self, request: StoryRequest) -> StoryState:
        arm, device, options = self.phases[0].models.arm, self.phases[0].device, self.options_of(request)
        phases = self.phases[0] if options is self.options else self.phases[0].with_options(options)
        phases.check_constraints(request)
        phases.check_partial_images(request)
        phases_of, done = phase_schedule(options, self.config)(len(request.sentences)), len(request.done)
        own = None if options is self.options else options
        new = self.load_memory(), arm.new_sequence(request.sentences), phases_of, done
        story = StoryState.of(request, *new, batch_keys=batch_keys(options), options=own)
        restore_memory(story.memory, request.sentences, request.done)
        if request.done:
            codes = stored_codes(request.done, arm.stream).to(device)
            story.sequence.restore(request.sentences[:done], list(codes.unbind(0)))
            for frame in request.done:
                story.sequence.show(frame.index, context_pixels(frame, options).to(device))
        return story

    def options_of(self, request: StoryRequest) -> StoryOptions:
        """Resolved options of a story: the run's, or its own in their places."""
        return self.own_options(request) if request.options and self.own_options is not None else self.options

    def _drop_cancelled(self) -> Iterator[Event]:
        for story in [story for story in self.stories if story.name in self._cancelled and story.error is None]:
            yield from self._drop(story, Cancelled.story(story.name))
        if self.feed is not None and self._cancelled:
            for request in self.feed.withdraw(self._cancelled):
                self._forget(request.id)
                yield StoryFailed(request, Cancelled.story(request.id))

    def _forget(self, name: str) -> None:
        """A story has ended: its name is free, and a cancellation of it now comes too late."""
        with self._lock:
            self._cancelled.discard(name)
            if self.feed is not None:
                self.feed.release(name)

    def _drop(self, story: StoryState, error: Exception) -> Iterator[Event]:
        """End a story now, or when the launch that it is in comes back."""
        story.error = error
        self.scheduler.drop(story)
        if story.state is State.GONE:
            yield self._end(story)

    def _drop_blocked(self, story: StoryState) -> Iterator[Event]:
        if story.blocked:
            assert story.prompt_error is not None
            yield from self._drop(story, story.prompt_error)

    def _ask(self) -> None:
        self._note_starts()  # before the calls: a busy machine may run them before this thread goes on
        for story in self.scheduler.calls():
            _start(story)
            arguments = story.memory, story.request.sentences, story.prompts_ready
            self.executor.call(story, partial(rewrite, *arguments))

    def _fill(self) -> None:
        self._note_starts()
        for launch in self.scheduler.schedule():
            for story in launch.stories:
                _start(story)
            run = self.phases[launch.slot].run
            self.executor.submit(launch.slot, launch, partial(run, launch.phase, launch.stories))

    def _note_starts(self) -> None:
        """Since when a story is in flight (that it waits for a slot counts), or waits for its prompt."""
        now = time.perf_counter()
        for story in self.stories:
            if story.state is not State.WAITING and story.frame_start is None:
                story.frame_start = now
            if story.stall_start is None and self.scheduler.waits_for_memory(story):
                story.stall_start = now

    def _take(self, done: Done) -> Iterator[Event]:
        if isinstance(done.what, Launch):
            yield from self._launched(done.what, done)
        else:
            yield from self._rewritten(done.what, done)

    def _partial(self, story: StoryState, partial: PartialImage) -> Iterator[Event]:
        """A story that has failed shows no more; one that begins its frame again shows the same pictures."""
        if story in self.stories and story.error is None and partial.number not in story.partials_shown:
            story.partials_shown.add(partial.number)
            yield PartialReady(story.request, partial)

    def _rewritten(self, story: StoryState, done: Done) -> Iterator[Event]:
        """A rewrite came back; if it failed, the story ends where it needs it."""
        self._note(None, Phase.MEMORY, (story,), done)
        index = story.prompts_ready
        if done.error is None:
            self.scheduler.complete_call(story)
        else:
            self.scheduler.fail_call(story)
        if story not in self.stories or story.error is not None:
            return
        if done.error is not None:
            story.prompt_error = done.error
            yield from self._drop_blocked(story)
            return
        assert story.story_start is not None
        story.rewrites[index] = done.result
        story.calls[index] = span(Phase.MEMORY, done.start, done.end, story.story_start)
        if index == story.index and story.stall_start is not None:
            story.stall_s = max(0.0, done.end - story.stall_start)  # it may have come before it was missed
            story.stall_start = None

    def _launched(self, launch: Launch[StoryState], done: Done) -> Iterator[Event]:
        """A launch came back: its stories go on, or begin the frame again, or have failed."""
        self._note(launch.slot, launch.phase, launch.stories, done)
        if done.error is not None:
            for story in self.scheduler.fail(launch, is_out_of_memory(done.error)):
                story.error = done.error
            if len(launch.stories) > 1:
                self._warn(launch, done.error)
            for story in launch.stories:
                story.begin_again()
        else:
            for story in launch.stories:
                assert story.story_start is not None
                story.spans.append(span(launch.phase, done.start, done.end, story.story_start))
            finished = self.scheduler.complete(launch, done.result)
            self._fill()  # the others go on while these are shown
            for story in finished:
                try:
                    event = self._show(story)
                except Exception as error:
                    yield from self._drop(story, error)
                    continue
                yield event
                if self.scheduler.shown(story):
                    self.stories.remove(story)
                    self._forget(story.name)
                else:
                    yield from self._drop_blocked(story)
        for story in launch.stories:
            if story in self.stories and story.error is not None and story.state is State.GONE:
                yield self._end(story)

    def _warn(self, launch: Launch[StoryState], error: Exception) -> None:
        phase, count, message = launch.phase, len(launch.stories), one_line(str(error))
        if is_out_of_memory(error):
            LOG.warning(TOO_LARGE, phase, count, self.scheduler.max_batch[phase], message)
        else:
            LOG.warning(TOGETHER, phase, count, message)

    def _show(self, story: StoryState) -> FrameDone:
        now = time.perf_counter()
        if (call := story.calls.get(story.index)) is not None:
            story.spans.insert(0, call)
        assert story.frame_start is not None
        event = FrameDone(story.request, build_frame(story), (now - story.frame_start) * 1e3, story.stall_s * 1e3)
        story.frame_start, story.stall_s = now, 0.0
        story.partials_shown.clear()
        story.clear_frame()
        return event

    def _end(self, story: StoryState) -> StoryFailed:
        assert story.error is not None
        event = StoryFailed(story.request, story.error)
        story.begin_again()
        self.stories.remove(story)
        self._forget(story.name)
        return event

    def _note(self, slot: int | None, phase: Phase, stories: Sequence[StoryState], done: Done) -> None:
        names = tuple(story.name for story in stories)
        self.ran.append(Ran(slot, phase, names, done.start - self.origin, done.end - self.origin))


def _start(story: StoryState) -> None:
    """The first thing that runs for a story starts its clock."""
    if story.story_start is None:
        story.story_start = time.perf_counter()
