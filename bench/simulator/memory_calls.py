"""What a memory call takes, where a language model answers: a few real calls, once."""

from __future__ import annotations

import time
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...engine.options import StoryOptions
from .stories import TOLD

if TYPE_CHECKING:
    from ...engine.engine import Engine


def by_rules(options: StoryOptions) -> StoryOptions:
    """The same without a language model."""
    asked = ("memory_model", "memory_url", "memory_calls", "memory_on_failure", "memory_timeout")
    unasked: dict[str, Any] = dict.fromkeys(asked)
    return options.replace(memory="rules", **unasked)


def call_seconds(engine: Engine, options: StoryOptions) -> float:
    """Mean seconds a frame of one story of our own: asked once a frame, or once for all of them, as ``options`` say."""
    run = engine.generate_many([], options=options).run
    run.executor.close()
    memory, told, seconds = run.load_memory(), TOLD[0], list[float]()
    for index in range(len(told)):
        began = time.perf_counter()
        memory.rewrite(told[: index + 1], told[index + 1 :])
        seconds.append(time.perf_counter() - began)
    return fmean(seconds)
