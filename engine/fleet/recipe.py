"""The engine that every process of a fleet loads, and what the driver learns of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Protocol

from ..options import EngineOptions, StoryOptions
from ..outputs import Ran
from ..scheduler.events import Event
from ..scheduler.policy import SERIAL, SchedulerConfig, for_device
from ..scheduler.story_feed import StoryFeed
from ..utils.versions import versions

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Description:
    """A loaded engine, for a driver without one: ``settings``, ``versions`` and ``start`` as stories record them,
    ``defaults`` and ``embeds_guidance`` as the engine's; ``stories`` is the number that it takes at a time."""

    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    start: Mapping[str, float]
    defaults: Mapping[str, Any]
    embeds_guidance: bool
    stories: int

    def difference(self, other: Description) -> str:
        """The first setting or version in which ``other`` draws differently, as a clause; or nothing."""
        for name in ("settings", "versions", "start"):
            mine, theirs = getattr(self, name), getattr(other, name)
            for key in [*mine, *(key for key in theirs if key not in mine)]:
                if mine.get(key) != theirs.get(key):
                    return f"{key} is {theirs.get(key)!r} there and {mine.get(key)!r} elsewhere"
        return ""


class Run(Protocol):
    """A run over a feed, as ``Engine.generate_many`` gives it."""

    def events(self) -> Generator[Event, None, None]: ...
    def cancel(self, name: str) -> None: ...
    @property
    def timeline(self) -> list[Ran]: ...


class LoadedEngine(Protocol):
    """An engine in its process."""

    @property
    def description(self) -> Description: ...
    def run(self, feed: StoryFeed) -> Run: ...


Recipe = Callable[[], LoadedEngine]  # plain data that loads an engine when it is called: it is sent to each process


@dataclass(frozen=True)
class EngineRecipe:
    """Loads ``Engine.from_pretrained`` with ``engine`` and draws with ``story``.

    ``scheduler`` are fields of ``SchedulerConfig`` that replace the device's defaults, or those of ``serial``;
    ``num_frames`` is as for ``Engine.from_pretrained``.
    """

    engine: EngineOptions
    story: StoryOptions
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    serial: bool = False
    num_frames: int | None = None

    def __call__(self) -> LoadedEngine:
        """Load the weights; ``ValueError`` as ``Engine.from_pretrained``. torch is imported here and not before."""
        import torch

        from ..engine import Engine

        arguments = {field.name: getattr(self.engine, field.name) for field in fields(self.engine)}
        if (threads := arguments.pop("threads")) is not None:
            torch.set_num_threads(threads)
        return _Loaded(Engine.from_pretrained(**arguments, num_frames=self.num_frames), self)

    def config(self, device: torch.device) -> SchedulerConfig:
        """The limits of a run on ``device``."""
        return replace(SERIAL if self.serial else for_device(None, device), **self.scheduler)


class _Loaded:
    def __init__(self, engine: Any, recipe: EngineRecipe) -> None:
        self.engine, self.recipe, self.config = engine, recipe, recipe.config(engine.device)

    @property
    def description(self) -> Description:
        engine, story = self.engine, self.recipe.story
        recorded = engine.settings(story), versions(), engine.start(story), dict(engine.defaults)
        return Description(*recorded, engine.embeds_guidance, self.config.stories + self.config.waiting)

    def run(self, feed: StoryFeed) -> Run:
        run: Run = self.engine.generate_many(feed, options=self.recipe.story, pipelining=self.config)
        return run
