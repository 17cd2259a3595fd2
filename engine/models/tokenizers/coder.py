"""Parts that convolutional visual tokenizers share: sizes by level, and pictures to codes and back with checked
shapes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ..fields import check_fields


@dataclass(frozen=True)
class CoderConfig:
    """Levels of a coder, each of half the resolution of the one before it.

    ``LISTS`` names the fields that are tuples here and lists in JSON, ``UNUSED`` what a published file says besides.
    """

    LISTS: ClassVar[tuple[str, ...]] = ("channel_multipliers",)
    UNUSED: ClassVar[tuple[str, ...]] = ()

    resolution: int = 256
    base_channels: int = 128
    channel_multipliers: tuple[int, ...] = (1,)

    def check(self, num_groups: int) -> None:
        """``ValueError`` for a value of another kind, a resolution that cannot be halved that often, or channels that
        the norms cannot group."""
        check_fields(self)
        if self.resolution % self.downsampling:
            raise ValueError(f"resolution {self.resolution} is not a multiple of the downsampling {self.downsampling}")
        for channels in self.channels:
            if channels % num_groups:
                raise ValueError(f"{channels} channels are not divisible by num_groups {num_groups}")

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the levels, from full resolution to the lowest."""
        return tuple(self.base_channels * multiplier for multiplier in self.channel_multipliers)

    @property
    def downsampling(self) -> int:
        """Pixels per code along one side; 16 of LWM and Show-o."""
        return int(2 ** (len(self.channel_multipliers) - 1))

    @property
    def grid(self) -> int:
        """Codes per side; 16 of both at 256 px."""
        return self.resolution // self.downsampling

    @property
    def codes_per_frame(self) -> int:
        return self.grid**2

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str | None = None) -> Self:
        """The config in `values`; raises ValueError, which begins with ``where`` the config is (None: the class), for
        a field that does not exist or does not fit."""
        where, names = where or cls.__name__, [field.name for field in fields(cls)]
        for name in values.keys() - {*names, *cls.UNUSED}:
            raise ValueError(f"{where}: unknown field {name!r}; the fields are {', '.join(names)}")
        given: dict[str, Any] = {name: value for name, value in values.items() if name in names}
        for name in cls.LISTS:
            value = given.get(name, [])
            if not (isinstance(value, list | tuple) and all(type(n) is int for n in value)):
                raise ValueError(f"{where}: {name} is {value!r}, expected a list of integers")
        given |= {name: tuple(given[name]) for name in cls.LISTS if name in given}
        try:
            return cls(**given)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """The config as JSON-ready values."""
        return {name: list(value) if name in self.LISTS else value for name, value in asdict(self).items()}


class Coder(nn.Module, ABC):
    """Pixels are RGB in [-1, 1]; codes are row-major, h*w per picture."""

    config: CoderConfig

    @abstractmethod
    def latents(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] to vectors [B, z_channels, h, w] before quantisation."""

    @abstractmethod
    def quantise(self, latents: Tensor) -> Tensor:
        """Vectors [B, z_channels, h, w] to codes int64 [B, h*w]."""

    @abstractmethod
    def lookup(self, codes: Tensor) -> Tensor:
        """Codes [B, h*w] to code vectors [B, z_channels, h, w]."""

    @abstractmethod
    def reconstruct(self, vectors: Tensor) -> Tensor:
        """Code vectors [B, z_channels, h, w] to pixels [B, 3, H, W], not clipped."""

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
        pixels = self.reconstruct(self.lookup(codes))
        # Infinity stays visible as NaN: clamped it would be a colour.
        return pixels.masked_fill(pixels.isinf(), float("nan")).clamp(-1.0, 1.0)
