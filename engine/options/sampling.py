"""Options of the autoregressive model's token draw (Eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..utils.field_types import check_types
from .checks import LOWEST_TEMPERATURE

Context = Literal["window", "full"]
CONTEXTS: tuple[str, ...] = get_args(Context)
Decoding = Literal["auto", "sequential", "parallel"]
DECODINGS: tuple[str, ...] = get_args(Decoding)


@dataclass(frozen=True)
class SamplingOptions:
    """Parameters of the ARM's token draw; ``None`` takes the bundle's default.

    A token is argmax(logits / ``temperature`` + Gumbel noise) after ``top_k`` (0 = all) and ``top_p`` (1 = all);
    temperature 0 is greedy. ``guidance_scale`` s guides the logits: uncond + s (cond - uncond), 1 = no guidance.
    ``context`` is what the ARM sees: "window" (the previous sentence and frame) or "full" (the whole story).
    ``decoding`` draws one token per forward pass or several; up to rounding the tokens are the same, and "auto" takes
    what was measured faster.

    Show-o applies ``temperature`` to the confidences that decide which tokens stay, as published; it draws the tokens
    themselves at temperature 1, so it has no greedy draw. It reads ``context`` in layout "block-causal" only.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    guidance_scale: float | None = None
    context: Context | None = None
    decoding: Decoding = "auto"

    def __post_init__(self) -> None:
        check_types(self)
        warm = self.temperature is None or LOWEST_TEMPERATURE <= self.temperature < float("inf")
        if not warm and self.temperature != 0:
            raise ValueError(
                f"temperature {self.temperature} is out of range; choose 0 (greedy) or {LOWEST_TEMPERATURE} and more"
            )
        if self.top_k is not None and self.top_k < 0:
            raise ValueError(f"top_k {self.top_k} is negative; choose 0 (all tokens) or more")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p {self.top_p} is out of range; choose 0 < top_p <= 1")
        if self.guidance_scale is not None and not 0.0 <= self.guidance_scale < float("inf"):
            value = self.guidance_scale
            raise ValueError(f"arm_guidance_scale {value} is out of range; choose 0 or more (1 = no guidance)")
