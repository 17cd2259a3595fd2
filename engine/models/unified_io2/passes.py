"""The passes of Unified-IO 2 as functions of tensors: one that reads, one that draws."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...sampling import SamplingParams
from ..decode_pass import DecodePass
from ..read_cache import EmptyCache, ReadCache
from .model import BEGIN, UnifiedIO2


class Prefill(nn.Module):
    """The encoder's pass, the keys and values that all passes of a frame attend to, and the first code's logits."""

    def __init__(self, model: UnifiedIO2) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, places: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Vectors [R, T, D] at ``places`` int64 [R, T], of which row r's first ``counts[r]`` are real -> logits [R, V]
        of the first code; keys and values of the decoder's beginning [layers, R, H, 1, head_dim] and of the encoder's
        states [layers, R, H, T, head_dim]."""
        model = self.model
        cross = model.cross_keys_values(model.encode(x, places, counts), places)
        cache = EmptyCache(x.device)
        begin = torch.full((len(x), 1), BEGIN, dtype=torch.int64, device=x.device)
        logits = model.code_logits(model.decode(begin, cache, (*cross, counts))[:, 0])
        return logits, *cache.collected(), *cross


class DrawPass(DecodePass):
    """W positions a story: pass, sampling, comparison and the accepted count (``models/decode_pass.py``)."""

    STATIC_INPUTS = (3, 4, 6, 7)  # keys and values: a captured graph reads them where they lie

    def __init__(self, model: UnifiedIO2, params: SamplingParams, window: int) -> None:
        super().__init__(params, window, model.config.codes_per_frame, model.device)
        self.model = model

    def forward(
        self,
        codes: Tensor,
        accepted: Tensor,
        lengths: Tensor,
        keys: Tensor,
        values: Tensor,
        read: Tensor,
        read_keys: Tensor,
        read_values: Tensor,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The ARM draws (ACDC Eq. 1).

        ``codes`` int64 [B, n + W or more], of which story b's first ``accepted[b]`` (1 to n) are final and the others
        guesses; the decoder's cache with ``lengths`` [R], branches before stories, which lacks the last accepted code;
        the encoder's keys and values, of which row r's first ``read[r]`` are real; ``noise`` as :func:`pass_noise`
        gives it -> the codes and counts after the pass, and the new keys and values [layers, R, H, W, head_dim], of
        which those of the newly accepted count belong to the cache."""
        fed = self.fed(codes, accepted, lengths.shape[0])
        cache, model = ReadCache(keys, values, lengths), self.model
        hidden = model.decode(fed, cache, (read_keys, read_values, read), model.read_backend)
        codes, accepted = self.settle(codes, accepted, model.code_logits(hidden), noise, model.use_triton)
        return codes, accepted, *cache.collected()
