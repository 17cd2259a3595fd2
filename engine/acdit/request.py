"""Requests for pictures or clips of a class, and what is heard of them. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..outputs import Phase

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 25  # of the paper's figures, a block


@dataclass(frozen=True)
class ClassRequest:
    """One picture or clip of class ``label``; ``done`` are the latents of its finished blocks, as :class:`BlockDone`
    has them. ``id`` is its name among many."""

    label: int
    seed: int = 0
    id: str = ""
    done: Sequence[Tensor] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """``id``, or what the draw depends on."""
        return self.id or f"class {self.label}, seed {self.seed}"


@dataclass(frozen=True)
class BlockDone:
    """A block is finished. ``latents`` [block_tokens, token_dim] are on the CPU, float32 (of a float64 model, float64);
    ``frames`` are finished pictures,
    uint8 [H, W, 3]: a clip's block has its own, a picture's last block has the picture. ``seconds`` of each phase are
    those of its launch, in which other requests may have taken part."""

    request: ClassRequest
    index: int
    last: bool
    latents: Tensor
    frames: Sequence[NDArray[np.uint8]]
    seconds: Mapping[Phase, float]


@dataclass(frozen=True)
class RequestFailed:
    """A request ends here; its blocks so far were given out, and the others go on."""

    request: ClassRequest
    error: Exception


Event = BlockDone | RequestFailed
