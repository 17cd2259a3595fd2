"""Frames about to be drawn: sessions of held-out stories whose earlier frames are the world's own pictures.

The corrected frame before a draft looks much like a true one, so passes counted here are near those of a story with
ACDC, and no diffusion model has to run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ...engine.engine import Engine
from ...engine.models.causal.session import ArmSession
from ...engine.sampling import SamplingParams
from ...engine.sdedit.pixels import from_array
from ...engine.utils.rng import Purpose, make_keys
from ..parts import arm_of, tokenizer_of
from ..storyworld.draw.scene import render
from ..storyworld.world.grammar import StorySample, sample_story

FIRST_SEED = 100_000
POLICY = SamplingParams()  # temperature 1, as the bundle draws


@dataclass(frozen=True)
class Start:
    """A frame about to be drawn: its session, the noise keys, and the codes of the frames before it [B, n]."""

    session: ArmSession
    keys: Tensor
    before: Sequence[Tensor]

    def draw(self, draft: Tensor | None, windows: Sequence[int]) -> tuple[Tensor, int]:
        """The codes [B, n] and how many passes they took; the session itself stays where it is."""
        return self.draw_in(self.session.fork(), draft, windows)

    def draw_in(self, session: ArmSession, draft: Tensor | None, windows: Sequence[int]) -> tuple[Tensor, int]:
        """The same in a copy that was made before."""
        return session.generate(POLICY, self.keys, draft, windows), session.passes

    @property
    def previous(self) -> Tensor | None:
        """The draft that the engine takes: the frame before, if there is one."""
        return self.before[-1] if self.before else None


@torch.inference_mode()
def starts(engine: Engine, stories: int, frames: int = 6, first: int = FIRST_SEED) -> list[Start]:
    """The frames of ``stories`` stories side by side, as the bundle's context shows them."""
    seeds = range(first, first + stories)
    samples = [sample_story(seed, "heldout", frames) for seed in seeds]
    codes = torch.stack([true_codes(engine, sample) for sample in samples], 1).to(engine.device)  # [frames, B, n]
    arm = arm_of(engine)
    longest = max(len(arm.encode(sentence)) for sample in samples for sentence in sample.sentences)
    session, found = ArmSession(arm, stories, frames, text_tokens=longest), []
    for index in range(frames):
        session.begin([sample.sentences[index] for sample in samples])
        keys = make_keys(seeds, index, Purpose.TOKEN, engine.device)
        found.append(Start(session.fork(), keys, list(codes[:index])))
        session.extend(codes[index])
    return found


@cache
def true_codes(engine: Engine, sample: StorySample) -> Tensor:
    """Codes of the story's true pictures: [frames, n]."""
    tokenizer = tokenizer_of(engine)
    pictures = np.stack([np.asarray(render(scene, tokenizer.config.resolution)) for scene in sample.scenes])
    found: Tensor = tokenizer.encode(from_array(pictures).to(engine.device, tokenizer.codebook.weight.dtype))
    return found
