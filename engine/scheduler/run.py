"""Many stories of one engine: slots with plans of their own, and a run over them that can be cancelled."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ...compile.cache import PlanCache
from ...compile.graph_pool import Captures, count_captures
from ...compile.openvino_int8 import Calibration
from ..memory import Memory
from ..models.model_set import Models
from ..options import StoryOptions, check_sentences
from ..outputs import Ran, StoryResult
from ..request import StoryRequest
from ..runtime.compiled import compile_models
from .events import Event, FrameDone, StoryFailed
from .executor import Slot
from .loop import PipelinedLoop
from .policy import SchedulerConfig, for_device
from .results import results_of
from .slot_phases import SlotPhases
from .story_feed import StoryFeed


class SlotModels:
    """The models once for each slot: weights are shared; plans, and the graphs' memory, are a slot's own and are kept
    for the next run."""

    def __init__(
        self,
        loaded: Models,
        backends: dict[str, str],
        cache: PlanCache,
        automatic: Collection[str] = (),
        calibration: Calibration | None = None,
    ) -> None:
        """``loaded`` are the models as they were read, before any plan; the others as for :func:`compile_models`."""
        self.loaded, self.backends, self.cache = loaded, backends, cache
        self.automatic, self.calibration = automatic, calibration
        self._made: dict[tuple[int, int], Models] = {}
        self._caches = [cache]

    def slots(self, count: int, device: torch.device) -> list[tuple[Slot, Models]]:
        """Fresh slots, among which torch's threads are divided on a CPU."""
        threads = max(1, torch.get_num_threads() // count) if device.type == "cpu" else torch.get_num_threads()
        return [(Slot(device, threads), self._models(number, threads)) for number in range(count)]

    def _models(self, slot: int, threads: int) -> Models:
        if (slot, threads) not in self._made:  # plans are compiled for as many threads as their slot has
            self._caches.append(self.cache.shallow_copy())
            settings = self.backends, self._caches[-1], self.automatic, self.calibration
            self._made[slot, threads] = compile_models(self.loaded, *settings)
        return self._made[slot, threads]

    @property
    def captures(self) -> Captures:
        """Captures of all slots' CUDA graphs so far."""
        return count_captures(self._caches)


class Many:
    """A run over many stories: an iterator of ``StoryResult`` and ``StoryFailed``, in the order in which they end.

    ``events()`` has every frame instead. Either is drawn lazily: nothing runs ahead of the reader but what the slots
    hold. Leaving the loop, or an exception in it, stops the run.
    """

    def __init__(
        self,
        run: PipelinedLoop,
        settings: Mapping[str, Any],
        versions: Mapping[str, str],
        start: Mapping[str, float],
        describe: Callable[[StoryRequest], tuple[Mapping[str, Any], Mapping[str, float]]] | None = None,
    ) -> None:
        """``describe`` gives settings and start of a request that has options of its own."""
        self.run, self.settings, self.versions, self.start = run, settings, versions, start
        self._describe = describe
        self._begun = False

    def __iter__(self) -> Iterator[StoryResult | StoryFailed]:
        """Each story when it is finished."""
        return results_of(self.events(), self.begun)

    def events(self) -> Generator[Event, None, None]:
        """Each frame when it is finished, each failure, each story of which nothing is left to make, and the partial
        images that requests want. Once: a run that was read, or left, cannot be read again (``ValueError``)."""
        if self._begun:
            raise ValueError("this run has been read already; call generate_many() again")
        self._begun = True
        return self.run.events()

    def begun(self, request: StoryRequest) -> StoryResult:
        """The story with the frames that it brought along."""
        settings, versions, start = self.settings, self.versions, self.start
        if request.options and self._describe is not None:
            settings, start = self._describe(request)
        frames, constraints = list(request.done), request.recorded(self.run.options_of(request))
        return StoryResult(request.sentences, request.seed, settings, versions, start, frames, request.id, constraints)

    def cancel(self, name: str) -> None:
        """Drop the story of that id between two launches, from any thread; the others go on. It ends as ``StoryFailed``
        with the error ``Cancelled``; its frames so far are kept. One that has ended is left as it is."""
        self.run.cancel(name)

    @property
    def timeline(self) -> list[Ran]:
        """Launches and calls so far, with their times; the end of a long run."""
        return list(self.run.ran)


def begin(
    copies: SlotModels,
    device: torch.device,
    options: StoryOptions,
    config: SchedulerConfig | None,
    load_memory: Callable[[], Memory],
    requests: Iterable[StoryRequest] | StoryFeed,
    options_of: Callable[[StoryRequest], StoryOptions] | None = None,
) -> PipelinedLoop:
    """A run that has not begun. ``options`` are resolved, ``options_of`` resolves a request's own; ``ValueError`` where
    they cannot be met."""
    chosen = for_device(config, device)
    if options.memory.name == "local":
        chosen = replace(chosen, calls=1)  # one model, which answers one after another
    slots = [(slot, SlotPhases(models, options, chosen)) for slot, models in copies.slots(chosen.slots, device)]
    return PipelinedLoop(slots, options, chosen, load_memory, requests, options_of)


def as_requests(stories: Iterable[StoryRequest | Sequence[str]], seed: int) -> Iterator[StoryRequest]:
    """Requests as they are; of sentences alone, story number i (from 0) gets seed ``seed`` + i and a number as its id.

    ``ValueError`` for an id that was there before, and for invalid sentences, with the story's number."""
    seen: set[str] = set()
    for number, story in enumerate(stories):
        request = story if isinstance(story, StoryRequest) else _numbered(story, number, seed + number)
        if request.id in seen:
            raise ValueError(f"story id {request.id!r} is given twice; give each story its own")
        seen.add(request.id)
        yield request


def _numbered(sentences: Sequence[str], number: int, seed: int) -> StoryRequest:
    try:
        return StoryRequest(f"{number + 1:06d}", check_sentences(sentences), seed)
    except ValueError as error:
        raise ValueError(f"story {number + 1}: {error}") from None


def frames_of(events: Iterable[Event]) -> Iterator[FrameDone]:
    """The frames alone; the first failure is raised."""
    for event in events:
        if isinstance(event, StoryFailed):
            raise event.error
        if isinstance(event, FrameDone):
            yield event
