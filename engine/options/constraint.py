"""Options of user constraints: masks, and a ControlNet's share in the correction (paper, Figs. 5 and 9)."""

from __future__ import annotations

from dataclasses import dataclass

from ..utils.field_types import check_types


@dataclass(frozen=True)
class ConstraintOptions:
    """Settings of the correction of frames with a mask or a control picture.

    ``mask_strength`` is the strength t' of frames that have a mask (None: that of all frames); ``paste_back`` shows the
    draft's own pixels outside of the mask, which otherwise come back through the VAE. ``controlnet_scale`` multiplies
    the ControlNet's residuals, which count from the fraction ``controlnet_start`` of the steps that run to the fraction
    ``controlnet_end``; ``guess_mode`` weakens the early ones and leaves the unconditional branch of guidance alone.
    """

    mask_strength: float | None = None
    paste_back: bool = True
    controlnet_scale: float = 0.8
    controlnet_start: float = 0.0
    controlnet_end: float = 1.0
    guess_mode: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        if self.mask_strength is not None and not 0.0 < self.mask_strength <= 1.0:
            raise ValueError(f"mask_strength {self.mask_strength} is out of range; choose 0 < mask_strength <= 1")
        if not 0.0 <= self.controlnet_scale < float("inf"):
            raise ValueError(f"controlnet_scale {self.controlnet_scale} is out of range; choose 0 or more")
        start, end = self.controlnet_start, self.controlnet_end
        if not 0.0 <= start < end <= 1.0:
            raise ValueError(
                f"controlnet_start {start} and controlnet_end {end} are out of order; choose 0 <= start < end <= 1"
            )
