"""A frame without networks: its pictures and codes are functions of seed, sentence, index and the frames before it."""

import hashlib
from collections.abc import Sequence

import numpy as np

from acdc.engine.outputs import Frame, Span


def draw(
    sentence: str,
    index: int,
    seed: int,
    history: Sequence[tuple[int, ...]] = (),
    corrected: bool = True,
    spans: tuple[Span, ...] = (),
) -> Frame:
    """A frame that depends on everything that came before, as a story's does."""
    digest = hashlib.sha256(repr((sentence, index, seed, list(history))).encode()).digest()
    rng = np.random.default_rng(list(digest))
    draft, image = rng.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    codes = [tuple(rng.integers(0, 32, 16).tolist()) for _ in range(2)]
    shown, entered = (image, codes[1]) if corrected else (draft, codes[0])
    return Frame(index, sentence, f"Prompt: {sentence}", None, corrected, draft, shown, codes[0], entered, spans)
