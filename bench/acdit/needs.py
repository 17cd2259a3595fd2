"""Operations and bytes of a block's phases, counted on the meta device: no number is computed.

Operations are those of matrix products, convolutions and attention; bytes are the weights that a phase reads, once a
pass, or once a launch where the device's cache holds all of them. Keys, values and activations are left out, so that
the floor is a little below what is possible.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ...engine.models.acdit.config import ACDiTConfig
from ...engine.models.acdit.context import CleanContext
from ...engine.models.acdit.layout import to_latents
from ...engine.models.acdit.network import ACDiT
from ...engine.models.acdit.sampler import BlockSampler
from ...engine.models.diffusion.vae import VAE, VAEConfig
from ...engine.outputs import Phase
from ...engine.utils.weights import skeleton
from ..overhead.floors import Need, Operations, weight_bytes, weights_read

Needs = Mapping[Phase, Need]  # of one block


class Counter:
    """Needs of ``requests`` side by side with ``steps`` a block, in ``dtype``."""

    def __init__(
        self,
        config: ACDiTConfig,
        vae: VAEConfig,
        dtype: torch.dtype,
        steps: int,
        guidance_scale: float,
        requests: int = 1,
        cache_bytes: int = 0,
    ) -> None:
        with skeleton():
            self.vae, model = VAE(vae).to(dtype), ACDiT(config).to("meta", dtype)
        self.sampler = BlockSampler(model, steps, guidance_scale)
        self.config, self.requests, self.cache_bytes = config, requests, cache_bytes

    def blocks(self) -> list[Needs]:
        """Those of every block."""
        return [self.block(index) for index in range(self.config.num_blocks)]

    def block(self, index: int) -> Needs:
        """Those of block ``index``: a picture is decoded with its last one."""
        sampler, model, last = self.sampler, self.sampler.model, index + 1 == self.config.num_blocks
        found: dict[Phase, Need] = {}
        if index:
            context, tokens = self._context(index - 1), self._tokens()[0]
            tables = model.tables([index - 1] * self.requests)
            found[Phase.PREFILL] = self._count(model, lambda: model.clean_keys(tokens, tables, context))
        states = [sampler.new_state(0, 0) for _ in range(self.requests)]
        for state in states:
            state.blocks = [*self._tokens(index).transpose(0, 1)[0]]
        count = len(sampler.schedule.steps)
        conditions = self._count(model, lambda: sampler.modulations([0] * count, states))
        modulations = tuple(part[0] for part in sampler.modulations([0], states))
        latents, context = self._tokens()[0], self._context(index)
        step = self._count(model, lambda: sampler.predict(states, latents, modulations, context))
        once = step.bytes <= self.cache_bytes
        bytes_read = conditions.bytes + step.bytes * (1 if once else count)
        found[Phase.SAMPLE] = Need(conditions.flops + count * step.flops, bytes_read)
        if self.config.is_clip or last:
            blocks = self._tokens(1 if self.config.is_clip else self.config.num_blocks).transpose(0, 1)
            pictures = to_latents(self.config, blocks).flatten(0, 1)
            found[Phase.VQ_DECODE] = self._count(self.vae, lambda: self.vae.decode(pictures))
        return found

    def _tokens(self, blocks: int = 1) -> torch.Tensor:
        shape = (blocks, self.requests, self.config.block_tokens, self.config.token_dim)
        return torch.empty(shape, dtype=self.sampler.model.dtype, device="meta")

    def _context(self, blocks: int) -> CleanContext:
        caches = [self.sampler.new_state(0, 0).cache for _ in range(self.requests)]
        for cache in caches:
            cache.settle([blocks * self.config.block_tokens])
        return CleanContext(caches)

    def _count(self, network: torch.nn.Module, run: Callable[[], Any]) -> Need:
        with torch.no_grad(), weights_read([network]) as calls, Operations() as operations:
            run()
        return Need(operations.flops, sum(weight_bytes(module) for module in calls))
