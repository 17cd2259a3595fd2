"""Ways of running the same stories. Each is compared with the plainest: eager, one story at a time, one code a pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Way = Literal["batch", "overlapped", "killed"]
STEPS = 10  # of the correction, half of which run at the bundle's strength


@dataclass(frozen=True)
class Condition:
    """One row: how the stories are run.

    ``batch`` stories are side by side in one call, ``overlapped`` are many at a time by the scheduler, ``killed`` are
    drawn by ``acdc generate``, whose process is killed and resumed. With ``orders`` the stories of a block are drawn
    that number of times, each time in another order and so with other neighbours; 0 is once, in their own order.
    ``few`` conditions take long, and are drawn over the first block alone.
    ``corrected`` stories have every frame corrected; the others are the ARM's alone.
    """

    name: str
    title: str
    way: Way = "batch"
    batch: int = 1
    backend: str = "eager"
    decoding: str = "auto"
    threads: int = 1
    orders: int = 0
    few: bool = False
    corrected: bool = False

    @property
    def reference(self) -> Condition:
        """The condition that this one is compared with."""
        return CORRECTED_ALONE if self.corrected else ALONE


ALONE = Condition("alone", "one story, one code a pass, eager, 1 thread", decoding="sequential")
CORRECTED_ALONE = Condition(
    "corrected_alone", "the same with correction", decoding="sequential", corrected=True
)  # fmt: skip
PLAIN = (
    Condition("window", "several codes a pass", few=True),
    Condition("batch_2", "2 stories side by side", batch=2, few=True),
    Condition("batch_4", "4 stories side by side", batch=4, few=True),
    Condition("batch_16", "16 stories side by side", batch=16),
    Condition("orders_16", "16 side by side", batch=16, orders=11),
    Condition("threads_2", "2 threads", threads=2, few=True),
    Condition("overlapped", "overlapped by the scheduler", "overlapped", threads=2, orders=2, few=True),
    Condition("killed", "`acdc generate`, killed and resumed", "killed", threads=2, few=True),
    Condition("plans", "default plans, one story", backend="auto", few=True),
    Condition("plans_16", "default plans, 16 side by side", batch=16, backend="auto", orders=11),
    Condition(
        "plans_overlapped", "default plans, overlapped", "overlapped", backend="auto", threads=2, orders=2, few=True
    ),
)
CORRECTED = (
    Condition("corrected_4", "4 side by side", batch=4, corrected=True),
    Condition("corrected_16", "16 side by side, 2 threads", batch=16, threads=2, corrected=True),
    Condition("corrected_overlapped", "overlapped by the scheduler", "overlapped", threads=2, corrected=True),
    Condition("corrected_plans", "default plans, one story", backend="auto", corrected=True),
    Condition(
        "corrected_plans_overlapped", "default plans, overlapped", "overlapped", backend="auto", threads=2,
        corrected=True,
    ),
)  # fmt: skip
CONDITIONS = {condition.name: condition for condition in (ALONE, *PLAIN, CORRECTED_ALONE, *CORRECTED)}
