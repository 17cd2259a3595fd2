"""The margin rule: in float32 two ways of computing may choose different tokens only where it was a near tie."""

import torch

from acdc.engine.models.causal.session import ArmSession
from acdc.engine.outputs import StoryResult
from acdc.engine.utils.rng import Purpose, gumbel, make_keys

# Float32 logits of the bundles' ARMs (magnitude about 10) move by less than this with threads and batch sizes.
BOUND = 1e-3


def check_same_story(engine, one: StoryResult, other: StoryResult, bound: float = BOUND) -> int:
    """Assert that two results agree by the margin rule; returns the number of flips (0 or 1: what follows a flip
    is another story). Shown pixels may differ by one of 255 levels as long as no token has flipped."""
    for mine, theirs in zip(one.frames, other.frames, strict=True):
        if mine.draft_codes != theirs.draft_codes:
            slot = next(i for i, (a, b) in enumerate(zip(mine.draft_codes, theirs.draft_codes, strict=True)) if a != b)
            gap = top_two_gap(engine, one, mine.index, slot)
            assert gap < bound, f"frame {mine.index} slot {slot} flipped at a gap of {gap}"
            return 1
        assert abs(mine.image.astype(int) - theirs.image.astype(int)).max() <= 1
        if mine.codes != theirs.codes:
            gap = distance_gap(engine, mine, theirs)
            assert gap < bound, f"frame {mine.index} was encoded differently at a gap of {gap}"
            return 1
    return 0


def top_two_gap(engine, story: StoryResult, index: int, slot: int) -> float:
    """The distance between the best two of logits / T + G at a slot, given the story up to there."""
    arm, context = engine.models.arm, story.settings["context"]
    session = ArmSession(arm, 1, len(story.frames), context)
    for frame in story.frames[:index]:
        session.begin([frame.sentence])
        session.extend(torch.tensor([frame.codes]))
    session.begin([story.frames[index].sentence])
    for code in story.frames[index].draft_codes[:slot]:
        session.last_logits = step(session, torch.tensor([code]))
    size = arm.stream.codebook_size
    noise = gumbel(make_keys([story.seed], index, Purpose.TOKEN), torch.tensor([slot]), arm.model.config.vision_vocab)
    scores = session.last_logits[0, :size] / story.settings["temperature"] + noise[0, 0, :size]
    best = scores.topk(2).values
    return float(best[0] - best[1])


def step(session: ArmSession, codes: torch.Tensor) -> torch.Tensor:
    """One code a story in a pass of its own, through the cache -> logits [rows, V] of the next slot."""
    ids = codes.repeat(session.branches)[:, None]
    hidden = session.arm.model(ids, torch.ones_like(ids, dtype=torch.bool), session.cache)
    return session.arm.model.vision_logits(hidden[:, -1])


def distance_gap(engine, mine, theirs) -> float:
    """The largest difference between the distances of the two codes chosen for one cell, where they differ."""
    tokenizer = engine.models.tokenizer
    # The shown image is a rounded copy of the pixels that were encoded: half a level is within the bound's reach.
    pixels = torch.from_numpy(mine.image.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    vectors = tokenizer.latents(pixels.to(tokenizer.codebook.weight.dtype)).flatten(2)[0].T
    book, gaps = tokenizer.codebook.weight, []
    for cell, (a, b) in enumerate(zip(mine.codes, theirs.codes, strict=True)):
        if a != b:
            gaps.append(abs(float((vectors[cell] - book[a]).square().sum() - (vectors[cell] - book[b]).square().sum())))
    return max(gaps)
