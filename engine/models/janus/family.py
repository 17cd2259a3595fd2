"""Janus-Pro as the loops see it: every frame is drawn from its sentence alone.

The model was trained on one prompt and one picture; a picture that it drew is never in its context (codes are for
drawing, SigLIP's features for reading). So frames of a story do not see one another, and a corrected frame is shown but
does not enter the next one's context.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..causal.per_sentence import PerSentenceArm
from ..causal.stream import StreamConfig
from .model import Janus
from .text import JanusText

MAX_TEXT_TOKENS = 512


class JanusArm(PerSentenceArm):
    """An autoregressive model of the Janus-Pro family."""

    model: Janus

    def __init__(self, model: Janus, text: JanusText, codes_per_frame: int) -> None:
        stream = StreamConfig(
            codes_per_frame=codes_per_frame,
            codebook_size=model.config.vision_vocab,
            eof=0,  # a frame is never fed again
            bos=(text.bos,),
            vision=(text.image,),
            max_text_tokens=MAX_TEXT_TOKENS,
            independent=True,
        )
        super().__init__(model, text, stream)
        self.pad = text.pad

    def null_text(self, ids: Sequence[int]) -> list[int]:
        """As many pads."""
        return [self.pad] * len(ids)
