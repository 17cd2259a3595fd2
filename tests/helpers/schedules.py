"""Random schedules, driven and watched from outside: what may come, in any order, and what must hold at any moment."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from acdc.engine.outputs import Phase
from acdc.engine.scheduler.policy import PATIENCE, SchedulerConfig
from acdc.engine.scheduler.scheduler import Launch, ScheduledStory, Scheduler, State
from tests.helpers.plots import Plot

ARM = {Phase.PREFILL, Phase.SAMPLE, Phase.UPDATE_CONTEXT}


@dataclass
class Seen:
    """A story as the test sees it, without asking its task."""

    plot: Plot
    phases_of_frames: Sequence[tuple[Phase, ...]]
    frame: int
    place: int = 0
    expected: int = 0
    asking: bool = False
    alone: bool = False
    passed: int = 0  # launches that went before it while it was ready
    shown: list[int] = field(default_factory=list)
    end: str | None = None

    @property
    def phase(self) -> Phase:
        return self.phases_of_frames[self.frame][self.place]

    def waits(self, prompt_lookahead: int) -> bool:
        """Is its prompt not there, where it is needed: where it corrects, or else where the frame ends; without
        lookahead, where the frame begins?"""
        phases = self.phases_of_frames[self.frame]
        where = phases.index(Phase.SDEDIT) if Phase.SDEDIT in phases else len(phases) - 1
        return self.expected <= self.frame and self.place >= (where if prompt_lookahead else 0)


class World:
    """Drives a scheduler at random, and watches."""

    def __init__(
        self,
        config: SchedulerConfig,
        plots: Sequence[Plot],
        seed: int,
        trouble: bool,
        fits: Mapping[Phase, int] | None = None,
    ) -> None:
        """``fits``: the number of stories above which a launch of a phase runs out of memory."""
        self.config, self.coming, self.chance = config, list(plots), random.Random(seed)
        self.fits: Mapping[Phase, int] = fits or {}
        self.ran_out: dict[Phase, list[int]] = {}  # sizes of launches, as they failed
        self.scheduler, self.trouble = Scheduler(config), trouble
        self.seen: dict[ScheduledStory, Seen] = {}
        self.launches: dict[int, Launch] = {}
        self.asked: list[ScheduledStory] = []
        self.finished: list[ScheduledStory] = []

    def run(self) -> None:
        """To the end. An event at a time, in any order; a free slot and a call are never kept waiting."""
        limit = 2000 + 600 * len(self.coming)
        for _ in range(limit):
            self.ask()
            self.fill()
            self.check()
            events = [self.complete] * len(self.launches) + [self.tell] * len(self.asked)
            events += [self.show] * len(self.finished) + [self.add] * (bool(self.coming) and self.scheduler.room)
            if not events:
                assert not self.scheduler.stories, "stories are left and nothing is under way"
                assert not self.coming, "there is room and nobody is let in"
                return
            if self.trouble and self.chance.random() < 0.03:
                self.drop()
            else:
                self.chance.choice(events)()
        raise AssertionError(f"no end after {limit} events")

    def add(self) -> None:
        plot = self.coming.pop(0)
        phases = plot.phases(self.config.merge_replace)
        task = ScheduledStory(str(len(self.seen)), plot.frames, phases.__getitem__, plot.done)
        self.seen[task] = Seen(plot, phases, plot.done, expected=plot.done)
        self.scheduler.add(task)

    def ask(self) -> None:
        for task in self.scheduler.calls():
            seen = self.seen[task]
            assert seen.end is None, "a call for a story that has ended"
            assert not seen.asking, "two calls of one story at a time"
            assert task.prompts_ready == seen.expected, "sentences are rewritten in order, each once"
            assert seen.expected < seen.plot.frames
            assert seen.expected <= seen.frame + self.config.prompt_lookahead
            if self.config.prompt_lookahead == 0:
                assert seen.place == 0
                assert task.state is State.READY
            seen.asking = True
            self.asked.append(task)

    def tell(self) -> None:
        task = self.asked.pop(self.chance.randrange(len(self.asked)))
        self.scheduler.complete_call(task)
        self.seen[task].asking = False
        self.seen[task].expected += 1

    def fill(self) -> None:
        """Each free slot's launch is looked at, in the order in which they were decided."""
        drawing = any(launch.phase is Phase.SAMPLE for launch in self.launches.values())
        for launch in self.scheduler.schedule():
            assert launch.slot not in self.launches, "a slot holds two launches"
            assert 0 <= launch.slot < self.config.slots
            assert self.config.split_across_slots or not (drawing and launch.phase is Phase.SAMPLE), (
                "two draws at a time"
            )
            self._check_launch(launch)
            self._pass_over(launch, drawing)
            drawing |= launch.phase is Phase.SAMPLE
            self.launches[launch.slot] = launch
        assert self.scheduler.running == self.launches

    def _check_launch(self, launch: Launch) -> None:
        held = {task for other in self.launches.values() for task in other.stories}
        assert not held & set(launch.stories), "a story is in two launches"
        count = len(launch.stories)
        assert count == len(set(launch.stories))
        assert count & (count - 1) == 0
        assert 1 <= count <= (self.config.draw_batch if launch.phase in ARM else self.config.correct_batch)
        assert all(2 * count <= size for size in self.ran_out.get(launch.phase, [])), (
            "more than half of what did not fit"
        )
        if self.config.split_across_slots:
            assert count <= -(-self.scheduler.in_flight // self.config.slots)
        for task in launch.stories:
            seen = self.seen[task]
            assert seen.end is None, "a launch of a story that has ended"
            assert seen.phase is launch.phase, "phases in order, none left out"
            assert count == 1 or not seen.alone, "a story whose launch failed runs alone"
            if launch.phase is Phase.SDEDIT or self.config.prompt_lookahead == 0:
                assert seen.expected > seen.frame, "its prompt is not there"

    def _pass_over(self, launch: Launch, drawing: bool) -> None:
        """Without ``share``, who waits for the end of a draw is not passed over meanwhile."""
        for task, seen in self.seen.items():
            if task in launch.stories:
                seen.passed = 0
            elif task.state is State.READY and not seen.waits(self.config.prompt_lookahead):
                joins = seen.phase is Phase.SAMPLE and drawing and not self.config.split_across_slots
                seen.passed += not joins
            assert seen.passed <= PATIENCE + self.config.stories, "a story starves"

    def complete(self) -> None:
        """Any launch comes back: done, to be drawn on, or broken."""
        slot = self.chance.choice(list(self.launches))
        launch = self.launches.pop(slot)
        if len(launch.stories) > self.fits.get(launch.phase, len(launch.stories)):
            self.run_out(launch)
            return
        broken = any((self.seen[t].frame, self.seen[t].place) == self.seen[t].plot.breaks for t in launch.stories)
        if broken or (self.trouble and self.chance.random() < 0.02):
            self.fail(launch)
            return
        again = [task for task in launch.stories if launch.phase is Phase.SAMPLE and self.chance.random() < 0.4]
        finished = self.scheduler.complete(launch, again)
        for task in launch.stories:
            seen = self.seen[task]
            seen.place += task not in again
            over = seen.place == len(seen.phases_of_frames[seen.frame])
            if task.dropped:
                seen.end = "dropped"
            elif over:
                assert seen.expected > seen.frame, "a frame ends without its prompt"
            assert (task in finished) == (over and not task.dropped)
        self.finished += finished

    def run_out(self, launch: Launch) -> None:
        """Nobody fails, nobody is alone."""
        self.ran_out.setdefault(launch.phase, []).append(len(launch.stories))
        assert self.scheduler.fail(launch, out_of_memory=True) == []
        for task in launch.stories:
            seen = self.seen[task]
            seen.place = 0
            if task.dropped:
                seen.end = "dropped"

    def fail(self, launch: Launch) -> None:
        others = [
            task for task in self.scheduler.stories if task not in launch.stories and task.state is not State.WAITING
        ]
        before = [snapshot(task) for task in others]
        failed = self.scheduler.fail(launch)
        assert [snapshot(task) for task in others] == before, "a failure moves only whom it concerns"
        was_alone = len(launch.stories) == 1 and self.seen[launch.stories[0]].alone
        for task in launch.stories:
            seen = self.seen[task]
            assert (task in failed) == (was_alone and not task.dropped), "who fails alone has failed, nobody else"
            if task.dropped or task in failed:
                seen.end = "dropped" if task.dropped else "failed"
                assert task.state is State.GONE
            else:
                seen.place, seen.alone = 0, True
                assert task.state is State.READY

    def show(self) -> None:
        task = self.finished.pop(self.chance.randrange(len(self.finished)))
        seen = self.seen[task]
        seen.shown.append(seen.frame)
        seen.frame, seen.place, seen.alone = seen.frame + 1, 0, False
        over = self.scheduler.shown(task)
        assert over == (seen.frame == seen.plot.frames)
        if over:
            seen.end = "finished"

    def drop(self) -> None:
        """Any story, at any phase."""
        if not self.scheduler.stories:
            return
        task = self.chance.choice(self.scheduler.stories)
        running = task.state is State.RUNNING
        self.scheduler.drop(task)
        assert (task.state is State.GONE) == (not running), "at once, or when its launch comes back"
        if not running:
            self.seen[task].end = "dropped"
            self.finished = [other for other in self.finished if other is not task]

    def check(self) -> None:
        """Invariants of every moment."""
        tasks = self.scheduler.stories
        held = Counter(task for launch in self.launches.values() for task in launch.stories)
        assert max(held.values(), default=1) == 1
        assert {task for task in tasks if task.state is State.RUNNING} == set(held)
        assert len(tasks) <= self.config.stories + self.config.waiting
        assert (
            len([seen for task, seen in self.seen.items() if task in held or self._begun(task)]) <= self.config.stories
        )
        assert len(self.asked) <= self.config.calls
        assert all(
            self.seen[task].expected <= self.seen[task].frame + self.config.prompt_lookahead + 1 for task in tasks
        )
        assert [task for task, seen in self.seen.items() if seen.end is None] == tasks, "first come, first listed"

    def _begun(self, task: ScheduledStory) -> bool:
        return task.state in (State.READY, State.RUNNING, State.FINISHED)


def snapshot(task: ScheduledStory) -> tuple[object, ...]:
    return (
        task.state,
        task.index,
        task.place,
        task.prompts_ready,
        task.prompt_pending,
        task.retry_alone,
        task.dropped,
        task.ready_since,
    )
