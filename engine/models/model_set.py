"""The three networks of a bundle: what the loops run."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from .diffusion.stable_diffusion import StableDiffusion
from .interfaces import AutoregressiveModel, Tokenizer


class Models(NamedTuple):
    """The three networks of a bundle, on one device; ``correction`` runs the whole of one where a backend does."""

    arm: AutoregressiveModel
    tokenizer: Tokenizer
    corrector: StableDiffusion
    correction: Callable[..., tuple[Tensor, Tensor]] | None = None

    @property
    def networks(self) -> list[nn.Module]:
        """Those that run once a frame or more often."""
        found = (self.arm.model, self.tokenizer, self.corrector.vae, *self.corrector.denoisers)
        return [network for network in found if isinstance(network, nn.Module)]
