"""Sizes of Unified-IO 2, the published three among them, and the layout of its frames and inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ..fields import check_fields, read_fields

SPECIAL_CODES = 2  # image ids 0 and 1 are the beginning and the mask; code c is id c + 2
TEXT_IDS = 33225  # LLaMA's 32,000 pieces, 1,200 locations, and names of inputs and tasks


@dataclass(frozen=True)
class ViTConfig:
    """Sizes of the image transformer, of which the published models keep the first 11 layers of CLIP's B/16."""

    width: int = 768
    heads: int = 12
    layers: int = 11
    mlp: int = 3072
    patch: int = 16
    positions: int = 14  # patches a side that it was trained at

    def __post_init__(self) -> None:
        check_fields(self)
        if self.layers < 2:
            raise ValueError(f"layers {self.layers} of the image transformer; the second one's output is read")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")


@dataclass(frozen=True)
class ResamplerConfig:
    """Sizes of what makes a few vectors of an earlier frame. ``scaled_cosine`` attention has a learned scale a head in
    the place of norms of queries and keys."""

    width: int = 768
    heads: int = 12
    head_dim: int = 64
    mlp: int = 2048
    layers: int = 2
    latents: int = 32
    scaled_cosine: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class UnifiedIO2Config:
    """Sizes of the transformer and of its inputs; a frame is ``grid`` x ``grid`` codes, ``image_patches`` and
    ``history_patches`` a side are read of the last frame and of earlier ones, of which the model knows
    ``history_frames`` and sees the last ``shown_frames``."""

    width: int
    heads: int
    head_dim: int
    mlp: int
    encoder_layers: int = 24
    decoder_layers: int = 24
    text_vocab: int = 33280
    image_vocab: int = 16512
    codebook_size: int = 16384
    grid: int = 32
    max_text: int = 512
    image_patches: int = 24
    history_patches: int = 16
    history_frames: int = 8
    shown_frames: int = 4
    norm_eps: float = 1e-6
    rope_theta: float = 1e4
    vit: ViTConfig = field(default_factory=ViTConfig)
    resampler: ResamplerConfig = field(default_factory=ResamplerConfig)

    def __post_init__(self) -> None:
        check_fields(self, but=("vit", "resampler"))
        if self.head_dim % 4:
            raise ValueError(f"head_dim {self.head_dim} is not a multiple of 4: rows and columns rotate halves of it")
        if self.text_vocab < TEXT_IDS:
            raise ValueError(f"text_vocab {self.text_vocab} has no room for the {TEXT_IDS} text ids")
        if self.image_vocab < self.codebook_size + SPECIAL_CODES:
            raise ValueError(f"image_vocab {self.image_vocab} has no room for {self.codebook_size} codes")
        if self.shown_frames > self.history_frames:
            raise ValueError(f"shown_frames {self.shown_frames} is more than history_frames {self.history_frames}")

    @property
    def codes_per_frame(self) -> int:
        return self.grid**2

    @property
    def image_tokens(self) -> int:
        """Vectors of the last frame."""
        return self.image_patches**2

    @property
    def most_read(self) -> int:
        """The most tokens that the encoder reads for a frame."""
        return self.max_text + self.image_tokens + self.shown_frames * self.resampler.latents

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads the fields by name, "vit" and "resampler" as objects. ``ValueError`` for a missing or unknown one."""
        parts = {"vit": ViTConfig, "resampler": ResamplerConfig}
        read = {
            name: read_fields(parts[name], value, name) if name in parts and isinstance(value, Mapping) else value
            for name, value in values.items()
        }
        return read_fields(cls, read, "transformer")


SIZES: Mapping[str, UnifiedIO2Config] = {
    "large": UnifiedIO2Config(1024, 16, 64, 2816),
    "xl": UnifiedIO2Config(2048, 16, 128, 5120, resampler=ResamplerConfig(1024, 16, 64, 4096)),
    "xxl": UnifiedIO2Config(3072, 24, 128, 8192, resampler=ResamplerConfig(1024, 16, 64, 4096, scaled_cosine=True)),
}
