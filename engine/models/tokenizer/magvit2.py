"""MAGVIT-v2 as Show-o has it: pictures to codes and back, the code being 13 signs (arXiv 2310.05737).

Names and shapes of the weights are those of ``pytorch_model.safetensors`` in ``showlab/magvitv2``. Its ``config.json``
says nothing of sizes: they are the defaults here. Any resolution that is a multiple of 16 will do, as the model is
convolutional but for one attention; Show-o's are 256 and 512 px.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from ....kernels.lfq import lfq_index, lfq_index_reference, lfq_vectors, lfq_vectors_reference
from ...weights import load_into, read_json, skeleton
from .magvit2_blocks import Decoder, Encoder

WEIGHTS = "pytorch_model.safetensors"
UNUSED = ("_class_name", "_diffusers_version")
LISTS = ("channel_multipliers", "encoder_blocks", "decoder_blocks")


@dataclass(frozen=True)
class MAGVIT2Config:
    """Sizes of a MAGVIT-v2; the defaults are the published ones (16x16 codes of 8,192 at 256 px).

    ``encoder_blocks`` and ``decoder_blocks`` count the residual blocks of each level, level 0 having full resolution.
    """

    resolution: int = 256
    base_channels: int = 128
    channel_multipliers: tuple[int, ...] = (1, 2, 2, 4, 4)
    encoder_blocks: tuple[int, ...] = (4, 3, 4, 3, 4)
    decoder_blocks: tuple[int, ...] = (4, 4, 3, 4, 3)
    z_channels: int = 13
    num_groups: int = 32

    def __post_init__(self) -> None:
        levels = {name: len(getattr(self, name)) for name in LISTS}
        if len(set(levels.values())) != 1 or 0 in levels.values():
            raise ValueError(f"{', '.join(f'{name} has {size}' for name, size in levels.items())} levels; expected one")
        if self.resolution < 1 or self.resolution % self.downsampling:
            raise ValueError(f"resolution {self.resolution} is no multiple of the downsampling {self.downsampling}")
        for channels in self.channels:
            if channels % self.num_groups:
                raise ValueError(f"{channels} channels are not divisible by num_groups {self.num_groups}")

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the levels, from full resolution to the lowest."""
        return tuple(self.base_channels * multiplier for multiplier in self.channel_multipliers)

    @property
    def decoder_channels(self) -> tuple[int, ...]:
        """The same of the decoder, where a level's first block already has the next finer one's: 1, 1, 2, 2, 4."""
        return (self.base_channels, *self.channels[:-1])

    @property
    def downsampling(self) -> int:
        """Pixels per code along one side; 16 as published."""
        return int(2 ** (len(self.channel_multipliers) - 1))

    @property
    def grid(self) -> int:
        """Codes per side."""
        return self.resolution // self.downsampling

    @property
    def codes_per_frame(self) -> int:
        return self.grid**2

    @property
    def codebook_size(self) -> int:
        """2^13: every combination of signs is a code."""
        return int(2**self.z_channels)

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str = "MAGVIT2Config") -> Self:
        """The config in `values`; raises ValueError for a field that does not exist or does not fit."""
        names = [field.name for field in fields(cls)]
        for name in values.keys() - {*names, *UNUSED}:
            raise ValueError(f"{where}: unknown field {name!r}; the fields are {', '.join(names)}")
        given: dict[str, Any] = {name: v for name, v in values.items() if name in names}
        for name in LISTS:
            if name in given and not (isinstance(given[name], list) and all(type(n) is int for n in given[name])):
                raise ValueError(f"{where}: {name} is {given[name]!r}, expected a list of integers")
        given |= {name: tuple(given[name]) for name in LISTS if name in given}
        try:
            return cls(**given)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """The config as JSON-ready values."""
        return {name: list(v) if name in LISTS else v for name, v in asdict(self).items()}


class Signs(nn.Module):
    """The buffers of the published file, which follow from the number of channels: all codes' signs and the bits'
    weights, the first channel's largest. Nothing reads them but the loader; a cast or a move makes them anew."""

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


class MAGVIT2(nn.Module):
    """Show-o's picture tokenizer. Pixels are RGB in [-1, 1]; codes are row-major, h*w per picture.

    A code is the signs of a vector, which low precision flips: the encoder computes in float32 at least, whatever the
    decoder's dtype.
    """

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

    def use_kernels(self) -> None:
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

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] in [-1, 1] to codes int64 [B, h*w]; H and W must be `config.resolution`."""
        size = self.config.resolution
        if pixels.ndim != 4 or tuple(pixels.shape[1:]) != (3, size, size):
            raise ValueError(f"pixels have shape {list(pixels.shape)}, expected [B, 3, {size}, {size}]")
        return self.quantise(self.latents(pixels))

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 [B, h*w] to pixels [B, 3, H, W] in [-1, 1]."""
        count = self.config.codes_per_frame
        if codes.ndim != 2 or codes.shape[1] != count:
            raise ValueError(f"codes have shape {list(codes.shape)}, expected [B, {count}]")
        return self.reconstruct(self.lookup(codes)).clamp(-1.0, 1.0)
