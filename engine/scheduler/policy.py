"""Choice of the next launch of a free slot: one function, to be read and to be replaced. No torch, no clock.

The autoregressive model reads its weights for every code and waits for memory; the diffusion model computes. So the
two run concurrently where both have work. After that, what is nearest to its end goes first ("drain"): frames
are shown early, and their memory is free early.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from ..outputs import Phase

if TYPE_CHECKING:
    import torch

Unit = Literal["arm", "dm"]
UNITS: dict[Phase, Unit] = {
    Phase.PREFILL: "arm",
    Phase.SAMPLE: "arm",
    Phase.VQ_DECODE: "dm",
    Phase.SDEDIT: "dm",
    Phase.VQ_ENCODE: "dm",
    Phase.UPDATE_CONTEXT: "arm",
}
ORDER = tuple(Phase)
FORMER_NAMES = {"run_ahead": "prompt_lookahead", "quantum": "max_passes_per_launch", "share": "split_across_slots"}
PATIENCE = 16  # launches that may go before a story that is ready
GPU_DEFAULTS = {
    "split_across_slots": False,
    "draw_batch": 16,
    "max_passes_per_launch": 64,
}  # one reading of the weights for all that are drawn


@dataclass(frozen=True)
class SchedulerConfig:
    """Limits of a concurrent run. Each field can be turned down to 1, 0 or False, to see what it is worth.

    ``slots`` launches run at a time. ``stories`` are in flight (they hold caches), ``waiting`` more may have their
    sentences rewritten. ``draw_batch`` and ``correct_batch`` bound a launch of either model. ``prompt_lookahead`` is
    for how many frames beyond the one being made a story's sentences may be rewritten (0: before the frame begins, and
    the story waits), ``calls`` how many memory calls are under way at a time. ``max_passes_per_launch`` bounds the
    passes of a draw launch (None: a frame's). ``split_across_slots`` divides what is ready among the slots, where
    computing is the limit; without it as many stories as can are drawn in one launch, where reading weights is, and no
    two draws run at a time. ``merge_replace`` lets corrected codes enter together with the next sentence.
    """

    slots: int = 2
    stories: int = 8
    waiting: int = 4
    draw_batch: int = 4
    correct_batch: int = 4
    prompt_lookahead: int = 2
    calls: int = 8
    max_passes_per_launch: int | None = None
    split_across_slots: bool = True
    merge_replace: bool = True

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> SchedulerConfig:
        """The configuration that a JSON file records; earlier versions wrote some fields under other names."""
        return cls(**{FORMER_NAMES.get(name, name): value for name, value in record.items()})

    def __post_init__(self) -> None:
        """``ValueError`` (one line) for impossible numbers."""
        for name in ("slots", "stories", "draw_batch", "correct_batch", "calls", "max_passes_per_launch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} {value} is too small; choose 1 or more")
        for name in ("waiting", "prompt_lookahead"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)} is negative; choose 0 or more")


SERIAL = SchedulerConfig(
    slots=1, stories=1, waiting=0, draw_batch=1, correct_batch=1, prompt_lookahead=0, merge_replace=False
)


def for_device(config: SchedulerConfig | None, device: torch.device) -> SchedulerConfig:
    """``config``, or what suits the device: on a CPU computing is the limit, on a GPU reading the weights."""
    if config is not None:
        return config
    return SchedulerConfig() if device.type == "cpu" else replace(SchedulerConfig(), **GPU_DEFAULTS)  # type: ignore[arg-type]


class Ready(Protocol):
    """A story that is ready to run, as the policy sees it."""

    @property
    def phase(self) -> Phase: ...
    @property
    def times_skipped(self) -> int: ...
    @property
    def retry_alone(self) -> bool: ...
    @property
    def batch_key(self) -> Hashable: ...


class Choice(NamedTuple):
    """The stories of one launch: the first ``size`` that are ready for ``phase`` with the first one's ``batch_key``; or
    one that runs ``alone``."""

    phase: Phase
    size: int
    retry_alone: bool = False


def choose(
    ready: Sequence[Ready],
    running: Collection[Phase],
    in_flight: int,
    config: SchedulerConfig,
    max_batch: Mapping[Phase, int] = MappingProxyType({}),
) -> Choice | None:
    """Choose the next launch of a free slot: ``ready`` stories (longest waiting first), phases ``running`` on other
    slots; or nothing. ``max_batch`` bounds the launches of phases that have run out of memory.

    1. who was passed over ``PATIENCE`` times: no story starves;
    2. a model that no other slot runs: ARM and DM overlap;
    3. the latest phase: drain.
    """
    phases = {story.phase for story in ready}
    if not config.split_across_slots and Phase.SAMPLE in running:
        phases -= {Phase.SAMPLE}  # they join that draw when its launch ends: one reading of the weights for all
    if not phases:
        return None
    starved = [story.phase for story in ready if story.phase in phases and story.times_skipped >= PATIENCE]
    busy = {UNITS[phase] for phase in running}
    phase = starved[0] if starved else max(phases, key=lambda phase: (UNITS[phase] not in busy, ORDER.index(phase)))
    first = next(story for story in ready if story.phase == phase)
    if first.retry_alone:
        return Choice(phase, 1, retry_alone=True)
    able = sum(story.phase == phase and not story.retry_alone and story.batch_key == first.batch_key for story in ready)
    return Choice(phase, batch(min(able, max_batch.get(phase, able)), phase, in_flight, config))


def batch(able: int, phase: Phase, in_flight: int, config: SchedulerConfig) -> int:
    """Number of the ``able`` stories that one launch takes: a power of two, so that few shapes are compiled."""
    limit = config.draw_batch if UNITS[phase] == "arm" else config.correct_batch
    if config.split_across_slots:
        limit = min(limit, -(-in_flight // config.slots))
    return 1 << (max(1, min(able, limit)).bit_length() - 1)
