"""A run of a fleet, which reads as a run of one engine does."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

from ..options import StoryOptions
from ..outputs import StoryResult
from ..request import StoryRequest
from ..scheduler.events import Event, StoryFailed
from ..scheduler.results import results_of
from .recipe import Description


class FleetRun:
    """An iterator of ``StoryResult`` and ``StoryFailed``, or of ``events()``: see ``scheduler.run.Many``."""

    def __init__(
        self,
        events: Callable[[], Generator[Event, None, None]],
        cancel: Callable[[str], None],
        describe: Callable[[], Description],
        options: StoryOptions,
    ) -> None:
        """``describe`` waits for the first engine."""
        self._events, self._describe, self._options = events, describe, options
        self._begun = False
        self.cancel = cancel

    def __iter__(self) -> Iterator[StoryResult | StoryFailed]:
        """Each story when it is finished."""
        return results_of(self.events(), self.begun)

    def events(self) -> Generator[Event, None, None]:
        """Each frame when it is finished, and each failure; once. ``NoEngineLeft`` where all engines have ended."""
        if self._begun:
            raise ValueError("this run has been read already; call generate_many() again")
        self._begun = True
        return self._events()

    def begun(self, request: StoryRequest) -> StoryResult:
        """The story with the frames that it brought along. ``ValueError`` for one with options of its own, whose
        settings its engine alone knows; ``events()`` has its frames."""
        if request.options:
            raise ValueError(f"story {request.id!r} has options of its own; read the events of a fleet's run instead")
        made, options = self._describe(), self._options.resolved(self.defaults)
        recorded = made.settings, made.versions, made.start
        return StoryResult(
            request.sentences, request.seed, *recorded, list(request.done), request.id, request.recorded(options)
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """As ``Engine.settings``."""
        return self._describe().settings

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions that the engines compute with."""
        return self._describe().versions

    @property
    def start(self) -> Mapping[str, float]:
        """As ``Engine.start``."""
        return self._describe().start

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The bundle's defaults for options that are left open."""
        return self._describe().defaults
