"""Sizes of MAGVIT-v2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .coder import CoderConfig


@dataclass(frozen=True)
class MAGVIT2Config(CoderConfig):
    """Sizes of a MAGVIT-v2; the defaults are the published ones (16x16 codes of 8,192 at 256 px).

    ``encoder_blocks`` and ``decoder_blocks`` count the residual blocks of each level, level 0 having full resolution.
    """

    LISTS: ClassVar[tuple[str, ...]] = ("channel_multipliers", "encoder_blocks", "decoder_blocks")
    UNUSED: ClassVar[tuple[str, ...]] = ("_class_name", "_diffusers_version")

    channel_multipliers: tuple[int, ...] = (1, 2, 2, 4, 4)
    encoder_blocks: tuple[int, ...] = (4, 3, 4, 3, 4)
    decoder_blocks: tuple[int, ...] = (4, 4, 3, 4, 3)
    z_channels: int = 13
    num_groups: int = 32

    def __post_init__(self) -> None:
        levels = {name: len(getattr(self, name)) for name in self.LISTS}
        if len(set(levels.values())) != 1 or 0 in levels.values():
            raise ValueError(f"{', '.join(f'{name} has {size}' for name, size in levels.items())} levels; expected one")
        self.check(self.num_groups)

    @property
    def decoder_channels(self) -> tuple[int, ...]:
        """The same of the decoder, where a level's first block already has the next finer one's: 1, 1, 2, 2, 4."""
        return (self.base_channels, *self.channels[:-1])

    @property
    def codebook_size(self) -> int:
        """2^13: every combination of signs is a code."""
        return int(2**self.z_channels)
