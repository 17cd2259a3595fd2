"""Emu3 as the loops see it: every frame is drawn from its sentence alone, row by row.

Emu3-Gen was trained on one prompt and one picture, which nearly fills its 9,216 positions (8,100 codes and 90 ends of
rows). So frames of a story do not see one another, and a corrected frame is shown but does not enter the next one's
context.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..causal.per_sentence import PerSentenceArm
from ..causal.stream import StreamConfig
from .model import Emu3
from .text import NEGATIVE, Emu3Text

MAX_TEXT_TOKENS = 512


class Emu3Arm(PerSentenceArm):
    """An autoregressive model of the Emu3 family."""

    model: Emu3

    def __init__(self, model: Emu3, text: Emu3Text, side: int) -> None:
        codes = model.config.vision_vocab
        stream = StreamConfig(
            codes_per_frame=side * side,
            codebook_size=codes,
            eof=0,  # a frame is never fed again
            bos=(text.bos,),
            vision=text.opening(side),
            max_text_tokens=MAX_TEXT_TOKENS,
            independent=True,
            row_codes=side,
            eol=codes,
        )
        super().__init__(model, text, stream)
        self.negative = text.plain(NEGATIVE)

    def null_text(self, ids: Sequence[int]) -> list[int]:
        """The same for every sentence."""
        return list(self.negative)
