"""The margin rule: in float32 two ways of computing may choose different codes only where it was a near tie."""

from __future__ import annotations

import torch
from torch import Tensor

from ...engine.engine import Engine
from ...engine.models.causal.session import ArmSession
from ...engine.outputs import Frame, StoryResult
from ...engine.utils.rng import Purpose, gumbel, make_keys
from ..parts import arm_of, tokenizer_of

# Float32 logits of the bundles' ARMs (magnitude about 10) move by less than this with threads and batch sizes.
BOUND = 1e-3


def top_two_gap(engine: Engine, story: StoryResult, index: int, slot: int) -> float:
    """The distance between the best two of logits / T + G at a slot, given the story up to there."""
    arm, context = arm_of(engine), story.settings["context"]
    session = ArmSession(arm, 1, len(story.frames), context)
    for frame in story.frames[:index]:
        session.begin([frame.sentence])
        session.extend(torch.tensor([frame.codes]))
    session.begin([story.frames[index].sentence])
    for code in story.frames[index].draft_codes[:slot]:
        session.last_logits = step(session, torch.tensor([code]))
    assert session.last_logits is not None
    size = arm.stream.codebook_size
    noise = gumbel(make_keys([story.seed], index, Purpose.TOKEN), torch.tensor([slot]), arm.model.config.vision_vocab)
    scores = session.last_logits[0, :size] / story.settings["temperature"] + noise[0, 0, :size]
    best = scores.topk(2).values
    return float(best[0] - best[1])


def step(session: ArmSession, codes: Tensor) -> Tensor:
    """One code a story in a pass of its own, through the cache -> logits [rows, V] of the next slot."""
    ids = codes.repeat(session.branches)[:, None]
    hidden = session.arm.model(ids, torch.ones_like(ids, dtype=torch.bool), session.cache)
    return session.arm.model.vision_logits(hidden[:, -1])


def distance_gap(engine: Engine, mine: Frame, theirs: Frame) -> float:
    """The largest difference between the distances of the two codes chosen for one cell, where they differ."""
    tokenizer = tokenizer_of(engine)
    # The shown image is a rounded copy of the pixels that were encoded: half a level is within the bound's reach.
    pixels = torch.from_numpy(mine.image.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    vectors = tokenizer.latents(pixels.to(tokenizer.codebook.weight.dtype)).flatten(2)[0].T
    book, gaps = tokenizer.codebook.weight, []
    for cell, (a, b) in enumerate(zip(mine.codes, theirs.codes, strict=True)):
        if a != b:
            gaps.append(abs(float((vectors[cell] - book[a]).square().sum() - (vectors[cell] - book[b]).square().sum())))
    return max(gaps)
