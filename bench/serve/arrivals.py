"""Times at which requests are sent: a Poisson process, whose clients do not wait for one another."""

from __future__ import annotations

from math import inf, log1p
from random import Random


def arrivals(count: int, rate: float, seed: int) -> tuple[float, ...]:
    """Seconds from the beginning to each of ``count`` requests, the first at 0: a function of its arguments alone.

    The gaps are exponential with mean 1 / ``rate`` seconds; with an infinite rate all are 0. ``ValueError`` for a rate
    that is not positive.
    """
    if not rate > 0:
        raise ValueError(f"request rate {rate} is not positive; give requests a second, or inf to send all at once")
    if rate == inf:
        return (0.0,) * count
    source, now, times = Random(seed), 0.0, []
    for _ in range(count):
        times.append(now)
        now += -log1p(-source.random()) / rate
    return tuple(times)
