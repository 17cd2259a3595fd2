"""Janus-Pro as the loops see it: every frame is drawn from its sentence alone.

The model was trained on one prompt and one picture; a picture that it drew is never in its context (codes are for
drawing, SigLIP's features for reading). So frames of a story do not see one another, and a corrected frame is shown but
does not enter the next one's context.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...options import StoryOptions
from ..causal.family import CausalArm
from ..causal.stream import StreamConfig
from .model import Janus
from .text import JanusText

MAX_TEXT_TOKENS = 512
LAYOUT = "independent"


class JanusArm(CausalArm):
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

    def check(self, options: StoryOptions) -> None:
        """``ValueError`` for an option that this family does not have."""
        flat = options.flat()
        if (layout := flat["layout"]) not in (None, LAYOUT):
            raise ValueError(f"layout {layout!r} is for Show-o; this ARM draws frames from their sentences: {LAYOUT}")
        if (context := flat["context"]) is not None:
            raise ValueError(f"context {context!r} would do nothing: this ARM draws frames from their sentences alone")
        for name in ("arm_steps", "carry_over"):
            if (value := flat[name]) is not None:
                raise ValueError(f"{name} {value!r} is for Show-o; this ARM draws code after code: leave it out")

    def null_text(self, ids: Sequence[int]) -> list[int]:
        """As many pads."""
        return [self.pad] * len(ids)
