"""Stories in a Ray Data pipeline: a class for ``Dataset.map_batches``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..options import EngineOptions, make_options
from ..request import StoryRequest
from ..scheduler.events import FrameDone, StoryFailed
from ..scheduler.story_feed import StoryFeed
from ..utils.atomic import png_bytes
from ..utils.to_one_line import one_line
from .recipe import EngineRecipe

Batch = dict[str, Any]


class DrawStories:
    """Loads one engine, and draws the rows of a batch together.

    A row has ``sentences`` (a list of texts) and, if wanted, ``seed`` (an integer; 0 where it is missing or null); its
    other columns stay. It gets ``frames`` (PNG files as bytes), ``refined_prompts`` (texts) and ``error``: empty, or
    one line that says why the story has fewer frames than sentences. A row never ends the batch.

    ``DrawStories("storyworld", engine={"device": "cuda"}, strength=0.4)``: ``bundle`` and ``engine`` are arguments of
    ``Engine.from_pretrained``, ``options`` those of a story by their flat names. Raises ``ValueError`` for options that
    cannot be met.
    """

    def __init__(self, bundle: str = "storyworld", *, engine: Mapping[str, Any] | None = None, **options: Any) -> None:
        recipe = EngineRecipe(EngineOptions(bundle=bundle, **(engine or {})), make_options(**options))
        self._engine = recipe()

    def __call__(self, batch: Batch) -> Batch:
        """Columns of a batch, each a sequence with one value a row."""
        if "sentences" not in batch:
            raise ValueError(f"a row has no 'sentences'; its columns are {', '.join(batch)}")
        rows = len(batch["sentences"])
        frames: list[list[bytes]] = [[] for _ in range(rows)]
        prompts: list[list[str]] = [[] for _ in range(rows)]
        errors = [""] * rows
        feed = StoryFeed()
        for row in range(rows):
            try:
                feed.put(self._request(batch, row))
            except (TypeError, ValueError, OverflowError) as error:
                errors[row] = one_line(str(error))
        feed.close()
        for event in self._engine.run(feed).events():
            row = int(event.request.id)
            match event:
                case FrameDone(_, frame):
                    frames[row].append(png_bytes(frame.image))
                    prompts[row].append(frame.refined_prompt)
                case StoryFailed(_, reason):
                    errors[row] = one_line(f"{type(reason).__name__}: {reason}")
        return {**batch, "frames": frames, "refined_prompts": prompts, "error": errors}

    def _request(self, batch: Batch, row: int) -> StoryRequest:
        sentences = batch["sentences"][row]
        if isinstance(sentences, str):
            raise ValueError("sentences are one text; give a list of texts")
        texts = tuple(() if sentences is None else sentences)
        if wrong := [text for text in texts if not isinstance(text, str)]:
            raise ValueError(f"sentence {wrong[0]!r} is not text; give a list of texts")
        return StoryRequest(str(row), texts, as_seed(batch["seed"][row]) if "seed" in batch else 0)


def as_seed(value: Any) -> int:
    """The seed of a row: a table holds None or NaN where there is none, and floats where some rows have none.

    ``ValueError`` for a number that is not an integer, ``OverflowError`` for infinity, ``TypeError`` for another kind.
    """
    if value is None or value != value:
        return 0
    if value != int(value):
        raise ValueError(f"seed {value!r} is not an integer")
    return int(value)
