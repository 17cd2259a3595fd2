"""Options that only the Show-o family of autoregressive models has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ..utils.field_types import check_types

Layout = Literal["independent", "block-causal", "carry-over"]
LAYOUTS: tuple[str, ...] = get_args(Layout)
DEFAULT_LAYOUT: Layout = "independent"  # as the published models were trained
DEFAULT_CARRY_OVER = 0.5
# Flat names of options that a single layout reads.
LAYOUT_OPTIONS: Mapping[str, Layout] = {"carry_over": "carry-over", "context": "block-causal"}


@dataclass(frozen=True)
class ShowOOptions:
    """``steps`` are the MaskGIT steps of a frame, ``layout`` is what a frame sees of the story
    (``models/show_o/session.py``), ``carry_over`` in [0, 1) the fraction of tokens that layout "carry-over" keeps of
    the previous frame. ``None`` takes the bundle's default."""

    steps: int | None = None
    layout: Layout | None = None
    carry_over: float | None = None

    def __post_init__(self) -> None:
        check_types(self)
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"arm_steps {self.steps} is too small; choose 1 or more")
        if self.carry_over is not None and not 0.0 <= self.carry_over < 1.0:
            raise ValueError(f"carry_over {self.carry_over} is out of range; choose 0 <= carry_over < 1")
