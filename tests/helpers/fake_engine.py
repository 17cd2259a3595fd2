"""An engine without networks: pictures and codes are functions of seed, sentence and index."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from acdc.engine.constraints import NONE, Constraints, digest
from acdc.engine.loading.fallbacks import FALLBACKS
from acdc.engine.options import StoryOptions
from acdc.engine.outputs import Frame, Phase, Span
from tests.helpers.fake_frame import draw

if TYPE_CHECKING:
    import pytest


class Killed(BaseException):
    """Nothing catches this: the stand-in for a kill."""


@contextmanager
def killed_at(calls: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The run is killed where it would rename a file for the ``calls``-th time."""
    rename, left = os.replace, [calls]

    def kill(*paths: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        rename(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill)
        yield


class FakeEngine:
    """Draws 16 px frames; raises ``stop`` before frame ``stop_at`` (from 0)."""

    name = "fake"
    defaults: Mapping[str, Any] = {**FALLBACKS, "guidance_scale": 3.0, "context": "window"}
    embeds_guidance = False
    device = SimpleNamespace(type="cpu")

    def __init__(self, stop_at: int | None = None, stop: type[BaseException] = Killed) -> None:
        self.stop_at, self.stop = stop_at, stop
        self.drawn: list[int] = []
        self.constraints = NONE

    def settings(self, options: StoryOptions) -> dict[str, Any]:
        return {"bundle": self.name, "threads": 1, **options.resolved(self.defaults).flat(), "sampler": "ddim"}

    def start(self, options: StoryOptions) -> dict[str, float]:
        chosen = options.resolved(self.defaults).correction
        steps = int(chosen.num_inference_steps * chosen.strength)
        return {"timestep": 501, "alpha_bar": 0.25, "steps_run": steps} if chosen.enabled else {}

    def stream(
        self,
        sentences: Sequence[str],
        *,
        seed: int = 0,
        options: StoryOptions | None = None,
        init_image: Any = None,
        done: Sequence[Frame] = (),
        constraints: Constraints = NONE,
        on_phase: Callable[[int, Phase], None] | None = None,
    ) -> Iterator[Frame]:
        options = options or StoryOptions()
        history = [frame.codes for frame in done]
        self.constraints = constraints
        for index in range(len(done), len(sentences)):
            if index == self.stop_at:
                raise self.stop
            spans = []
            for number, phase in enumerate(Phase):
                if on_phase is not None:
                    on_phase(index, phase)
                spans.append(Span(phase, (index - len(done)) * 70.0 + number * 10, 10.0))
            mask = constraints.of(index).mask
            sentence = sentences[index] if mask is None else f"{sentences[index]} within {digest(mask)}"
            frame = draw(sentence, index, seed, history, options.corrects(index), tuple(spans))
            history.append(frame.codes)
            self.drawn.append(index)
            yield frame
