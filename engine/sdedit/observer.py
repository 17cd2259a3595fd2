"""A look at a correction while it runs: estimates of the clean picture, which change nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from torch import Tensor

from ..options.partial_images import PartialImages, estimated_steps

Look = Callable[[Tensor], None]  # takes x0 [B, C, h, w] of a step
NO_LOOKS: Mapping[int, Look] = MappingProxyType({})


@dataclass(frozen=True)
class Observer:
    """``wanted`` says for each row of a batch which partial images it wants; ``take(row, number, step, pixels)`` gets
    pixels [3, H, W] in [-1, 1]: ``number`` counts a row's partial images, of which the draft is number 0."""

    wanted: Sequence[PartialImages]
    take: Callable[[int, int, int, Tensor], None]

    def looks(self, steps_run: int, decode: Callable[[Tensor, list[int]], Tensor]) -> dict[int, Look]:
        """By step, what looks at its x0; ``decode(x0, rows)`` makes pixels [len(rows), 3, H, W] of some rows."""
        found: dict[int, list[tuple[int, int]]] = {}
        for row, wanted in enumerate(self.wanted):
            for number, step in enumerate(estimated_steps(wanted, steps_run), 1):
                found.setdefault(step, []).append((row, number))
        return {step: partial(self._look, step, rows, decode) for step, rows in found.items()}

    def _look(
        self, step: int, rows: list[tuple[int, int]], decode: Callable[[Tensor, list[int]], Tensor], x0: Tensor
    ) -> None:
        pictures = decode(x0, [row for row, _ in rows])
        for (row, number), pixels in zip(rows, pictures.unbind(0), strict=True):
            self.take(row, number, step, pixels)
