"""LlamaGen's VQ tokenizer (arXiv 2406.06525), as Janus-Pro has it: a VQGAN with attention and short code vectors.

Code vectors and latents are compared and decoded at length one, as in training (``l2_norm`` of LlamaGen's quantizer).
transformers' ``JanusVQVAE`` decodes so too; its encoder compares at any length, which is the same for a codebook of
unit vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from .vqgan import VQGAN, VQGANConfig


@dataclass(frozen=True)
class LlamaGenConfig(VQGANConfig):
    """Sizes; the defaults are Janus-Pro's (384 px, 24x24 codes of 16,384, 8 numbers each)."""

    resolution: int = 384
    channel_multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    z_channels: int = 256
    codebook_size: int = 16384
    attention: bool = True
    embed_dim: int = 8

    @property
    def code_channels(self) -> int:
        """Numbers of a code's vector."""
        return self.embed_dim

    @classmethod
    def published(cls, values: Mapping[str, Any], where: str) -> LlamaGenConfig:
        """From a published ``config.json`` of Janus; ``ValueError`` begins with ``where``."""
        vq, vision = values.get("vq_config", {}), values.get("vision_config", {})
        if vq.get("double_latent") or vq.get("out_channels", 3) != 3 or vq.get("in_channels", 3) != 3:
            raise ValueError(f"{where}: vq_config is not of LlamaGen's kind: pictures of 3 channels, no double_latent")
        multipliers = tuple(vq.get("channel_multiplier", cls.channel_multipliers))
        patches = vision.get("image_size", 384) // vision.get("patch_size", 16)
        names = {"base_channels": "base_channels", "num_res_blocks": "num_res_blocks", "z_channels": "latent_channels"}
        names |= {"codebook_size": "num_embeddings", "embed_dim": "embed_dim"}
        own = {name: vq[key] for name, key in names.items() if key in vq}
        sizes = {"channel_multipliers": multipliers, "resolution": patches * 2 ** (len(multipliers) - 1)}
        return cls.from_dict({**own, **sizes}, where)


class LlamaGen(VQGAN):
    """The tokenizer."""

    config: LlamaGenConfig

    def compared(self, vectors: Tensor) -> Tensor:
        """By their direction alone."""
        return F.normalize(vectors, dim=-1)
