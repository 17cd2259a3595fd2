"""The pass of exact parallel decoding (``models/decode_pass.py``)."""

from __future__ import annotations

import torch
from torch import Tensor

from ...sampling import SamplingParams
from .. import decode_pass
from ..decode_pass import DecodePass
from ..read_cache import ReadCache
from .decoder import Decoder


class DrawPass(DecodePass):
    """W positions a story: pass, sampling, comparison and the accepted count, as a function of tensors."""

    STATIC_INPUTS = (3, 4)  # keys and values: a captured graph reads them where they lie

    def __init__(self, model: Decoder, params: SamplingParams, window: int, codes_per_frame: int) -> None:
        super().__init__(params, window, codes_per_frame, model.vision_head.weight.device)
        self.model = model

    def forward(
        self,
        codes: Tensor,
        accepted: Tensor,
        lengths: Tensor,
        keys: Tensor,
        values: Tensor,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The ARM draws (ACDC Eq. 1).

        ``codes`` int64 [B, n + W or more], of which story b's first ``accepted[b]`` (1 to n) are final and the
        others guesses; the cache's buffers with ``lengths`` [R], branches before stories, which lack the last accepted
        code; ``noise`` as :func:`pass_noise` gives it -> the codes and counts after the pass, and the new keys and
        values [layers, R, H, W, head_dim], of which those of the newly accepted count belong to the cache."""
        fed = self.fed(codes, accepted, lengths.shape[0])
        cache, is_vision = ReadCache(keys, values, lengths), torch.ones_like(fed, dtype=torch.bool)
        hidden = self.model(fed, is_vision, cache, backend=self.model.read_backend)
        logits = self.model.vision_logits(hidden)
        codes, accepted = self.settle(codes, accepted, logits, noise, self.model.use_triton)
        return codes, accepted, *cache.collected()


def pass_noise(model: Decoder, params: SamplingParams, keys: Tensor, codes_per_frame: int) -> Tensor | None:
    """Source of the noise of a frame's passes (``models/decode_pass.py``), for the vision ids."""
    return decode_pass.pass_noise(params, keys, codes_per_frame, model.config.vision_vocab, model.use_triton)
