"""An ARM that draws code after code, each frame from its sentence alone, since it was trained so."""

from __future__ import annotations

from ...options import StoryOptions
from .family import CausalArm

LAYOUT = "independent"


class PerSentenceArm(CausalArm):
    """The common part of families whose frames do not see one another (``StreamConfig.independent``)."""

    def check(self, options: StoryOptions) -> None:
        """``ValueError`` for an option that this kind of drawing does not have."""
        flat = options.flat()
        if (layout := flat["layout"]) not in (None, LAYOUT):
            raise ValueError(f"layout {layout!r} is for Show-o; this ARM draws frames from their sentences: {LAYOUT}")
        if (context := flat["context"]) is not None:
            raise ValueError(f"context {context!r} would do nothing: this ARM draws frames from their sentences alone")
        for name in ("arm_steps", "carry_over"):
            if (value := flat[name]) is not None:
                raise ValueError(f"{name} {value!r} is for Show-o; this ARM draws code after code: leave it out")
