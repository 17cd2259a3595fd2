"""Sizes of ACDiT, and how its published weights cut pictures and clips into blocks (arXiv 2412.07720)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

HEAD_DIM = 64
MLP_RATIO = 4
NORM_EPS = 1e-6
PICTURE_SPLIT, CLIP_SPLIT = (1, 1), (2, 3, 3)  # shares of a head's numbers that turn with (row, column), (time, ...)
LAYERS_AND_WIDTH = {"B": (12, 768), "L": (24, 1024), "XL": (28, 1152), "H": (32, 1280)}


@dataclass(frozen=True)
class ACDiTConfig:
    """``num_frames`` latents of ``latent_size`` squared times ``latent_channels`` (1: a picture), in tokens of
    ``patch_size`` squared, in blocks of ``block_tokens``. ``rotary_split`` are shares of the head's numbers, an axis
    each. A picture's block is a square tile, a clip's are whole frames.

    Raises ``ValueError`` (one line) for sizes that do not go together.
    """

    num_layers: int
    hidden_size: int
    num_classes: int
    num_frames: int = 1
    latent_size: int = 32
    latent_channels: int = 4
    patch_size: int = 1
    block_tokens: int = 256
    rotary_split: tuple[int, ...] = PICTURE_SPLIT

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            sizes = value if field.name == "rotary_split" else (value,)
            if not isinstance(sizes, tuple) or not all(type(size) is int and size > 0 for size in sizes):
                raise ValueError(f"{field.name} is {value!r}, expected positive integers")
        tile, side = math.isqrt(self.block_tokens), self.grid[-1]
        whole_tiles = tile**2 == self.block_tokens and side % tile == 0
        whole_frames = self.block_tokens % side**2 == 0 and self.num_tokens % self.block_tokens == 0
        for fits, words in (
            (self.hidden_size % HEAD_DIM == 0, f"hidden_size {self.hidden_size} is not a multiple of {HEAD_DIM}"),
            (self.latent_size % self.patch_size == 0,
             f"patches of {self.patch_size} do not fill latents of {self.latent_size}"),
            (len(self.rotary_split) == len(self.grid),
             f"rotary_split {list(self.rotary_split)} is not for {len(self.grid)} axes"),
            (HEAD_DIM // 2 % sum(self.rotary_split) == 0,
             f"rotary_split {list(self.rotary_split)} does not divide {HEAD_DIM // 2} pairs"),
            (whole_frames if self.is_clip else whole_tiles,
             f"blocks of {self.block_tokens} tokens are not {'whole frames' if self.is_clip else 'square tiles'} of "
             f"{' x '.join(map(str, self.grid))} tokens"),
        ):  # fmt: skip
            if not fits:
                raise ValueError(words)

    @property
    def is_clip(self) -> bool:
        """Several frames; else a picture."""
        return self.num_frames > 1

    @property
    def grid(self) -> tuple[int, ...]:
        """Tokens along each axis: rows and columns, after frames in a clip."""
        side = self.latent_size // self.patch_size
        return (self.num_frames, side, side) if self.is_clip else (side, side)

    @property
    def num_tokens(self) -> int:
        return math.prod(self.grid)

    @property
    def num_blocks(self) -> int:
        return self.num_tokens // self.block_tokens

    @property
    def frames_per_block(self) -> int:
        """Frames of a clip that a block holds."""
        return self.num_frames // self.num_blocks

    @property
    def token_dim(self) -> int:
        """Numbers of a token."""
        return self.patch_size**2 * self.latent_channels

    @property
    def num_heads(self) -> int:
        return self.hidden_size // HEAD_DIM

    @property
    def null_class(self) -> int:
        """The label for no class."""
        return self.num_classes

    def check_class(self, label: int) -> None:
        """``ValueError`` for a class that is not there."""
        if not 0 <= label < self.num_classes:
            raise ValueError(f"class {label} is out of range; choose 0 to {self.num_classes - 1}")

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ACDiTConfig:
        """As ``config.json`` holds it; ``ValueError`` names a field that is unknown, missing or impossible."""
        known = {field.name for field in fields(cls)}
        for name in sorted(raw.keys() - known):
            raise ValueError(f"unknown field {name!r}")
        split = raw.get("rotary_split", PICTURE_SPLIT)
        try:
            return cls(**{**raw, "rotary_split": tuple(split) if isinstance(split, list) else split})
        except TypeError as error:
            raise ValueError(str(error).split("() ")[-1]) from None

    def to_json(self) -> str:
        """The text of ``config.json``."""
        return json.dumps(asdict(self), indent=1)


def _published() -> dict[str, ACDiTConfig]:
    """By the names of the published files; of B and L no weights were published."""
    found = {}
    for size, (layers, width) in LAYERS_AND_WIDTH.items():
        found[f"{size}-img"] = ACDiTConfig(layers, width, num_classes=1000)
        found[f"{size}-vid"] = ACDiTConfig(
            layers, width, num_classes=101, num_frames=16, patch_size=2, block_tokens=1024, rotary_split=CLIP_SPLIT
        )
    return found


PUBLISHED: Mapping[str, ACDiTConfig] = _published()
