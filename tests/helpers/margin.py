"""The margin rule: in float32 two ways of computing may choose different tokens only where it was a near tie."""

from acdc.bench.invariance.margin import BOUND, distance_gap, step, top_two_gap
from acdc.engine.outputs import StoryResult

__all__ = ["BOUND", "check_same_story", "distance_gap", "step", "top_two_gap"]


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
