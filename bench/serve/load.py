"""Open-loop load: every request leaves at its time, however slow the answers to those before it are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import httpx2

from .outcome import Outcome, Prompt, RequestFailed

Send = Callable[[Prompt, Outcome, Callable[[], float]], Awaitable[None]]


@dataclass
class Load:
    """Measurements so far; they grow while requests run, so that an interrupted run keeps them."""

    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    peak: int = 0  # requests under way at the same time
    running: int = 0


async def run_load(
    send: Send,
    prompts: Sequence[Prompt],
    due: Sequence[float],
    most: int | None,
    load: Load,
    on_end: Callable[[Outcome], None],
) -> None:
    """Send each of ``prompts`` at its time in ``due`` (seconds from now), at most ``most`` at a time, and note in
    ``load`` what became of them."""
    began = time.perf_counter()

    def now() -> float:
        return time.perf_counter() - began

    gate = nullcontext() if most is None else asyncio.Semaphore(most)

    async def one(prompt: Prompt, outcome: Outcome) -> None:
        await asyncio.sleep(max(0.0, outcome.due - now()))
        async with gate:
            load.running += 1
            load.peak = max(load.peak, load.running)
            outcome.sent = now()
            await settle(send, prompt, outcome, now)
            load.running -= 1
        on_end(outcome)

    load.outcomes.extend(Outcome(prompt.number, at) for prompt, at in zip(prompts, due, strict=True))
    try:
        await asyncio.gather(*(one(*pair) for pair in zip(prompts, load.outcomes, strict=True)))
    finally:
        load.seconds = now()


async def settle(send: Send, prompt: Prompt, outcome: Outcome, now: Callable[[], float]) -> None:
    """Send one request; its failure is part of the outcome and stops nothing else."""
    outcome.error = "interrupted"
    try:
        await send(prompt, outcome, now)
        outcome.error = None
    except RequestFailed as error:
        outcome.error = str(error)
    except httpx2.HTTPError as error:
        outcome.error = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # JSON of another shape
        outcome.error = f"the answer is not understood ({type(error).__name__}: {error})"
    finally:
        outcome.ended = now()
