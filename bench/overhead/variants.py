"""The ways to run the same stories that are compared at a concurrency n. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...engine.options import StoryOptions
from ...engine.scheduler.policy import SchedulerConfig

PLAIN, PLAIN_OVERLAPPED, SERIAL, OVERLAPPED = "plain", "plain_overlapped", "serial", "overlapped"


@dataclass(frozen=True)
class Variant:
    """A way to run stories: ``name`` in JSON, ``title`` in tables; without ``correction`` it is the plain ARM."""

    name: str
    title: str
    config: SchedulerConfig
    correction: bool = True


def one_slot(n: int) -> SchedulerConfig:
    """n stories side by side in one batch, one phase after another."""
    return SchedulerConfig(
        slots=1, stories=n, waiting=0, draw_batch=n, correct_batch=n, prompt_lookahead=0, merge_replace=False
    )  # fmt: skip


def overlapped(n: int, base: SchedulerConfig) -> SchedulerConfig:
    """The defaults ``base`` with n stories in flight: no more slots and no larger launches than those can fill."""
    return replace(
        base,
        slots=min(base.slots, n),
        stories=n,
        draw_batch=min(base.draw_batch, n),
        correct_batch=min(base.correct_batch, n),
    )


def main_variants(n: int, base: SchedulerConfig, batch: int | None = None) -> list[Variant]:
    """Plain ARM batched at n, ACDC serial and ACDC overlapped; where ``batch`` is given ACDC's launches have that many
    stories at most, and the plain ARM, over which the overhead is taken, is batched at n all the same."""
    plain = least = one_slot(n)
    most = overlapped(n, base)
    if batch is not None:
        least = replace(least, draw_batch=min(batch, n), correct_batch=min(batch, n))
        most = replace(most, draw_batch=min(batch, n), correct_batch=min(batch, n))
    return [
        Variant(PLAIN, "plain ARM, batched", plain, correction=False),
        Variant(SERIAL, "ACDC, serial", least),
        Variant(OVERLAPPED, "ACDC, overlapped", most),
    ]


def enters(options: StoryOptions) -> bool:
    """Is there anything to do where corrected codes enter by themselves? In the window context nothing is kept, and
    Show-o (which alone has a ``layout``) lets a frame in with the next sentence always. ``options`` are resolved."""
    return options.correction.feed_back and options.sampling.context == "full" and options.show_o.layout is None


def ablations(n: int, base: SchedulerConfig, enters: bool) -> list[Variant]:
    """Overlapped with one part less each; only those that differ from it at n. Where nothing ``enters`` by itself, it
    makes no difference whether that is merged."""
    most = overlapped(n, base)
    found = [
        Variant("no_run_ahead", "without memory ahead of frames", replace(most, prompt_lookahead=0)),
        Variant("no_slots", "without overlap of slots", replace(most, slots=1)),
        Variant("no_batching", "without batching", replace(most, draw_batch=1, correct_batch=1)),
        Variant("no_merged_replace", "without merged replace", replace(most, merge_replace=False)),
    ]
    if not enters:
        found.pop()
    return [variant for variant in found if variant.config != most]


def all_variants(n: int, base: SchedulerConfig, enters: bool) -> list[Variant]:
    """Variants of the main table. The plain ARM also in the way that ACDC overlapped runs, where that is another: the
    better one of both is what the correction is fairly compared with."""
    plain, serial, most = main_variants(n, base)
    also = Variant(PLAIN_OVERLAPPED, "plain ARM, overlapped", most.config, correction=False)
    return [plain, *([also] if also.config.slots > 1 else []), serial, most, *ablations(n, base, enters)]
