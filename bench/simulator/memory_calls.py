"""Time of a memory call by a language model: a few real calls, once."""

from __future__ import annotations

import time
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...engine.options import StoryOptions
from .stories import BUILT_IN

if TYPE_CHECKING:
    from ...engine.engine import Engine


def by_rules(options: StoryOptions) -> StoryOptions:
    """The same without a language model."""
    asked = ("memory_model", "memory_url", "memory_calls", "memory_on_failure", "memory_timeout")
    unasked: dict[str, Any] = dict.fromkeys(asked)
    return options.replace(memory="rules", **unasked)


def call_seconds(engine: Engine, options: StoryOptions) -> float:
    """Mean seconds a frame of one built-in story: asked once a frame, or once for all of them, as ``options`` say."""
    run = engine.generate_many([], options=options).run
    run.executor.close()
    memory, sentences, seconds = run.load_memory(), BUILT_IN[0], list[float]()
    for index in range(len(sentences)):
        began = time.perf_counter()
        memory.rewrite(sentences[: index + 1], sentences[index + 1 :])
        seconds.append(time.perf_counter() - began)
    return fmean(seconds)
