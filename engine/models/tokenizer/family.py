"""What the loop of ``engine/pipeline.py`` asks of a visual tokenizer, whatever its codes are."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor


class Size(Protocol):
    """Of the pictures."""

    @property
    def resolution(self) -> int:
        """Pixels a side."""
        ...


class Tokenizer(Protocol):
    """Pictures to codes and back; the coder's two halves may be replaced by a backend's plans."""

    encoder: Any
    decoder: Any

    @property
    def config(self) -> Size: ...

    def latents(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> vectors before quantisation."""
        ...

    def quantise(self, latents: Tensor) -> Tensor:
        """Vectors -> codes int64 [B, n]."""
        ...

    def encode(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> codes int64 [B, n]."""
        ...

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 [B, n] -> [B, 3, H, W] in [-1, 1]."""
        ...

    def parameters(self) -> Any: ...
