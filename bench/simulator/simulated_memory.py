"""A language model that is only its latency: it sleeps, then answers by rules. For measurements; no network."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ...engine.memory.rules import Rules


class Simulated(Rules):
    """Memory by rules that takes ``latency_s`` seconds a call, without using a processor meanwhile."""

    name = "simulated"

    def __init__(self, latency_s: float) -> None:
        """``ValueError`` for an impossible latency."""
        super().__init__()
        self.latency_s = check_latency(latency_s)

    def refine(self, prompts: Sequence[str]) -> str:
        """As :meth:`Rules.refine`, later."""
        time.sleep(self.latency_s)
        return super().refine(prompts)


def check_latency(latency_s: float) -> float:
    """``latency_s``, if a call can take that long; else ``ValueError``."""
    if not 0.0 <= latency_s < float("inf"):
        raise ValueError(f"latency {latency_s} s is out of range; choose 0 or more seconds")
    return latency_s
