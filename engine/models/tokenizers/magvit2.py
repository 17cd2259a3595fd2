"""MAGVIT-v2 as Show-o has it: pictures to codes and back, the code being 13 signs (arXiv 2310.05737).

Names and shapes of the weights are those of ``pytorch_model.safetensors`` in ``showlab/magvitv2``. Its ``config.json``
says nothing of sizes: they are the defaults here. Any resolution that is a multiple of 16 will do, as the model is
convolutional but for one attention; Show-o's are 256 and 512 px.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from ....kernels.lfq import lfq_index, lfq_index_reference, lfq_vectors, lfq_vectors_reference
from ...utils.weights import load_into, read_json, skeleton
from .coder import Coder
from .magvit2_blocks import Decoder, Encoder
from .magvit2_config import MAGVIT2Config

WEIGHTS = "pytorch_model.safetensors"


class Signs(nn.Module):
    """The buffers of the published file, which follow from the number of channels: all codes' signs and the bits'
    weights, the first channel's largest. Nothing reads them but the loader; a cast or a move makes them again."""

    embedding: Tensor
    power_vals: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self._build(torch.get_default_device())

    def _build(self, device: torch.device) -> None:
        signs = lfq_vectors_reference(torch.arange(2**self.channels, device=device), self.channels)
        self.register_buffer("embedding", signs)
        self.register_buffer("power_vals", 1 << torch.arange(self.channels - 1, -1, -1, device=device))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Signs:
        self._build(fn(torch.empty(0, device="cpu")).device)
        return self

    def check(self, path: Path) -> None:
        """``ValueError`` if what was loaded from ``path`` is not what follows."""
        for name, wanted in Signs(self.channels).state_dict().items():
            if not torch.equal(self.state_dict()[name].to(wanted.dtype), wanted):
                raise ValueError(f"{path}: key 'quantize.{name}' does not hold the codes' signs: another quantiser")


class MAGVIT2(Coder):
    """Show-o's picture tokenizer.

    A code is the signs of a vector, which low precision flips: the encoder computes in float32 at least, whatever the
    decoder's dtype.
    """

    config: MAGVIT2Config

    def __init__(self, config: MAGVIT2Config) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quantize = Signs(config.z_channels)
        self.index: Callable[[Tensor], Tensor] = lfq_index_reference
        self.vectors: Callable[[Tensor, int, torch.dtype], Tensor] = lfq_vectors_reference

    @classmethod
    def from_directory(
        cls,
        folder: Path,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        resolution: int | None = None,
    ) -> Self:
        """The MAGVIT-v2 in `folder` (config.json, pytorch_model.safetensors) for pictures of that ``resolution`` (the
        config's, or 256, where None). Raises ValueError naming the file and the key."""
        path = Path(folder) / "config.json"
        values = read_json(path) | ({} if resolution is None else {"resolution": resolution})
        config, weights = MAGVIT2Config.from_dict(values, str(path)), Path(folder) / WEIGHTS
        if not weights.is_file() and weights.with_suffix(".bin").is_file():
            said = "a pickle can run code when it is read"
            raise ValueError(f"{weights.with_suffix('.bin')}: not read ({said}); give {WEIGHTS} in its place")
        with skeleton():
            model = cls(config)
        load_into(model, weights, torch.promote_types(dtype, torch.float32))
        model.quantize.check(weights)
        model.decoder.to(dtype)
        return model.to(device).eval().requires_grad_(False)

    def latents(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] to vectors [B, z_channels, h, w] in the encoder's dtype."""
        found: Tensor = self.encoder(pixels.to(next(self.encoder.parameters()).dtype))
        return found

    def quantise(self, latents: Tensor) -> Tensor:
        """The signs of each vector: latents [B, z_channels, h, w] to codes int64 [B, h*w]."""
        rows = latents.flatten(2).transpose(1, 2)  # [B, h*w, z]
        return self.index(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])

    def enable_triton(self) -> None:
        """Signs to codes and back by our kernels."""
        self.index, self.vectors = lfq_index, lfq_vectors

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes [B, h*w] to vectors of +1 and -1 [B, z_channels, h, w] in the decoder's dtype."""
        side, dtype = self.config.grid, next(self.decoder.parameters()).dtype
        vectors = self.vectors(codes.flatten(), self.config.z_channels, dtype).unflatten(0, codes.shape)
        return vectors.transpose(1, 2).unflatten(2, (side, side))

    def reconstruct(self, vectors: Tensor) -> Tensor:
        """Code vectors [B, z_channels, h, w] to pixels [B, 3, H, W], not clipped."""
        pixels: Tensor = self.decoder(vectors)
        return pixels
