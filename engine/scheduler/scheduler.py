"""Which stories run which phase on which slot. Decisions only: no torch, no threads, no clock.

The life of a frame, phase by phase (``walk``):

    prefill -> draw (again and again, up to max_passes_per_launch passes each) -> decode [-> correct [-> encode [->
    replace]]] -> shown

Memory calls run outside the slots: they run ahead by ``prompt_lookahead`` frames, and a frame waits for its own where
its prompt is needed. A story is in one place at a time:

    waiting    added, not begun; its sentences may be rewritten
    ready      for its phase, unless it waits for its prompt
    running    in a launch
    finished   with a frame, which is to be shown before the story goes on: it must be on disk by then
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

from ..options import StoryOptions
from ..outputs import Phase
from .policy import SchedulerConfig, choose


class State(Enum):
    """States of a story; see above."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    FINISHED = "finished"
    GONE = "gone"


@dataclass(eq=False)
class ScheduledStory:
    """A story's place in the schedule. ``phases_of(index)`` are the phases of frame ``index``; frames before ``index``
    are there already. Stories share a launch of a phase where their ``batch_keys`` of it are equal."""

    name: str
    frames: int
    phases_of: Callable[[int], Sequence[Phase]]
    index: int = 0
    place: int = 0
    state: State = State.WAITING
    prompt_pending: bool = False
    prompts_ready: int = 0  # frames whose prompt is there
    prompt_failed: bool = False  # the next prompt will not come
    retry_alone: bool = False  # a launch with others failed
    times_skipped: int = 0
    dropped: bool = False
    ready_since: int = field(default=0)  # when it became ready, as a count of events
    batch_keys: Mapping[Phase, Hashable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.prompts_ready = max(self.prompts_ready, self.index)

    @property
    def phase(self) -> Phase:
        """The next phase of the story."""
        return self.phases_of(self.index)[self.place]

    @property
    def batch_key(self) -> Hashable:
        """Options that the stories of its next launch have in common."""
        return self.batch_keys.get(self.phase)

    @property
    def blocked(self) -> bool:
        """Has it come to the frame whose prompt will not come?"""
        return self.prompt_failed and self.prompts_ready <= self.index


Story = TypeVar("Story", bound=ScheduledStory)


class Launch(NamedTuple, Generic[Story]):
    """Work for a slot: one phase of some stories, computed together."""

    slot: int
    phase: Phase
    stories: tuple[Story, ...]


def frame_phases(corrected: bool, feed_back: bool, last: bool, merge_replace: bool) -> tuple[Phase, ...]:
    """The phases of a frame. Corrected codes enter with the next sentence (``merge_replace``) or by themselves; nobody
    reads those of the last frame."""
    phases = [Phase.PREFILL, Phase.SAMPLE, Phase.VQ_DECODE]
    if corrected:
        phases.append(Phase.SDEDIT)
        if feed_back:
            phases.append(Phase.VQ_ENCODE)
            if not merge_replace and not last:
                phases.append(Phase.UPDATE_CONTEXT)
    return tuple(phases)


def phase_schedule(options: StoryOptions, config: SchedulerConfig) -> Callable[[int], Callable[[int], Sequence[Phase]]]:
    """By a story's number of frames, what ``Task.walks`` is for it."""

    def of(frames: int) -> Callable[[int], Sequence[Phase]]:
        merge = config.merge_replace
        made = [
            frame_phases(options.corrects(i), options.correction.feed_back, i + 1 == frames, merge)
            for i in range(frames)
        ]
        return made.__getitem__

    return of


class Scheduler(Generic[Story]):
    """Tasks, slots and what is under way. Every method is a decision or the news that something happened."""

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.stories: list[Story] = []
        self.running: dict[int, Launch[Story]] = {}  # by slot
        self.calls_pending = 0  # calls under way, those of dropped stories among them
        self.max_batch: dict[Phase, int] = {}  # of phases that ran out of memory
        self._events = 0

    @property
    def room(self) -> bool:
        """May another story be added? The queue is bounded: the feeder waits."""
        return len(self.stories) < self.config.stories + self.config.waiting

    @property
    def in_flight(self) -> int:
        """Stories that were begun."""
        return sum(story.state is not State.WAITING for story in self.stories)

    def add(self, story: Story) -> None:
        """A story comes in."""
        assert self.room, "the queue is full"
        self.stories.append(story)
        self._begin()

    def calls(self) -> list[Story]:
        """Stories whose next sentence (number ``prompts_ready``) is to be rewritten now; those that were begun come
        first."""
        free = self.config.calls - self.calls_pending
        wanting = [story for story in self.stories if self._wants_a_call(story)]
        called = sorted(wanting, key=lambda story: (story.prompts_ready - story.index, story.state is State.WAITING))[
            : max(0, free)
        ]
        for story in called:
            story.prompt_pending = True
        self.calls_pending += len(called)
        return called

    def complete_call(self, story: Story) -> None:
        """The rewrite that a story asked for is there."""
        assert story.prompt_pending, "nobody asked"
        story.prompt_pending, story.prompts_ready = False, story.prompts_ready + 1
        self.calls_pending -= 1

    def fail_call(self, story: Story) -> None:
        """The rewrite that a story asked for failed. The frames before it are made; there it is ``stuck``."""
        assert story.prompt_pending, "nobody asked"
        story.prompt_pending, story.prompt_failed = False, True
        self.calls_pending -= 1

    def schedule(self) -> list[Launch[Story]]:
        """Launches of the free slots. One slot that does not run ahead runs phases one after another, and the memory
        calls of all stories are such a phase: those in step stay in step, and are batched."""
        if self.calls_pending and self.config.slots == 1 and self.config.prompt_lookahead == 0:
            return []
        launches = []
        for slot in range(self.config.slots):
            if slot not in self.running and (launch := self._launch(slot)) is not None:
                self.running[slot] = launch
                launches.append(launch)
        return launches

    def complete(self, launch: Launch[Story], again: Collection[Story] = ()) -> list[Story]:
        """A launch is done; ``again`` are drawn on. Returns the stories that finished a frame by it."""
        self._free(launch)
        finished = []
        for story in launch.stories:
            if story not in again:
                story.place += 1
            if story.place == len(story.phases_of(story.index)):
                story.state = State.FINISHED
                finished.append(story)
            else:
                self._ready(story)
        self._remove_dropped(launch.stories)
        return [story for story in finished if not story.dropped]

    def fail(self, launch: Launch[Story], out_of_memory: bool = False) -> list[Story]:
        """A launch failed. Its stories begin the frame again, each alone; one that was alone is returned: it failed.

        Where memory ran out, no later launch of the phase takes more than half as many stories, and these begin again
        without being alone.
        """
        self._free(launch)
        shrinks = out_of_memory and len(launch.stories) > 1
        if shrinks:
            self.max_batch[launch.phase] = min(
                len(launch.stories) // 2, self.max_batch.get(launch.phase, len(self.stories))
            )
        if len(launch.stories) == 1 and launch.stories[0].retry_alone:
            (story,) = launch.stories
            self._leave(story)
            return [] if story.dropped else [story]
        for story in launch.stories:
            story.retry_alone, story.place = not shrinks, 0
            self._ready(story)
        self._remove_dropped(launch.stories)
        return []

    def shown(self, story: Story) -> bool:
        """A finished frame is where it belongs: the story goes on. Is it over?"""
        assert story.state is State.FINISHED, f"{story.name} has no frame to show"
        story.index, story.place, story.retry_alone = story.index + 1, 0, False
        if story.index == story.frames:
            self._leave(story)
            return True
        self._ready(story)
        return False

    def drop(self, story: Story) -> None:
        """Forget a story: at once, or when the launch that it is in comes back; it holds its place until then."""
        story.dropped = True
        if story.state is not State.RUNNING:
            self._leave(story)

    def waits_for_memory(self, story: Story) -> bool:
        """Does its next phase need a prompt that is not there yet?"""
        return story.state is State.READY and story.prompts_ready <= story.index and story.place >= self._gate(story)

    def _launch(self, slot: int) -> Launch[Story] | None:
        ready = [story for story in self.stories if story.state is State.READY and not self.waits_for_memory(story)]
        ready.sort(key=lambda story: story.ready_since)
        phases = [launch.phase for launch in self.running.values()]
        if (choice := choose(ready, phases, self.in_flight, self.config, self.max_batch)) is None:
            return None
        able = [story for story in ready if story.phase == choice.phase and story.retry_alone == choice.retry_alone]
        chosen = tuple([story for story in able if story.batch_key == able[0].batch_key][: choice.size])
        for story in ready:
            story.times_skipped += 1
        for story in chosen:
            story.state, story.times_skipped = State.RUNNING, 0
        return Launch(slot, choice.phase, chosen)

    def _gate(self, story: Story) -> int:
        """The place in the walk at which the prompt is needed: where it corrects, else where the frame ends."""
        phases = story.phases_of(story.index)
        if self.config.prompt_lookahead == 0:
            return 0
        return phases.index(Phase.SDEDIT) if Phase.SDEDIT in phases else len(phases) - 1

    def _wants_a_call(self, story: Story) -> bool:
        if (
            story.prompt_pending
            or story.prompt_failed
            or story.dropped
            or story.prompts_ready >= story.frames
            or story.state is State.GONE
        ):
            return False
        if self.config.prompt_lookahead == 0:
            return story.state is State.READY and story.place == 0 and story.prompts_ready <= story.index
        return story.prompts_ready <= story.index + self.config.prompt_lookahead

    def _begin(self) -> None:
        for story in self.stories:
            if story.state is State.WAITING and self.in_flight < self.config.stories:
                self._ready(story)

    def _ready(self, story: Story) -> None:
        self._events += 1
        story.state, story.ready_since = State.READY, self._events

    def _remove_dropped(self, stories: Sequence[Story]) -> None:
        for story in stories:
            if story.dropped:
                self._leave(story)

    def _free(self, launch: Launch[Story]) -> None:
        assert self.running.get(launch.slot) is launch, f"slot {launch.slot} does not run that"
        del self.running[launch.slot]

    def _leave(self, story: Story) -> None:
        story.state = State.GONE
        if story in self.stories:
            self.stories.remove(story)
        self._begin()
