"""The block loop: each block is denoised after those before it, which its tokens see through their keys and values.

    prefill   the last finished block, as it is, writes its keys and values            once a block, without a class
    sample    noise of the block, then DPM-Solver++ 2M from its beginning              one pass a step, both branches

Requests side by side may be at different blocks. A block's noise depends on the request's seed and the block's number
alone. The solver's history begins with each block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ...utils.rng import Purpose, make_keys, normal
from ..diffusion.schedule import Schedule, guide, make_schedule, take_step
from ..diffusion.scheduler_config import SchedulerConfig
from ..kv_buffers import Buffers
from ..kv_cache import KVCache
from .config import HEAD_DIM
from .context import CleanContext
from .network import ACDiT, Modulations

# The authors convert DDIM's default config, of which diffusers keeps no value: these are the solver's own defaults.
SOLVER = {"_class_name": "DPMSolverMultistepScheduler"}


class BlockState:
    """A request between two launches: ``blocks`` [block_tokens, token_dim] are its finished ones."""

    def __init__(self, label: int, seed: int, cache: KVCache, blocks: Sequence[Tensor] = ()) -> None:
        self.label, self.seed, self.cache, self.blocks = label, seed, cache, list(blocks)

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        yield from (*self.cache.tensors(), *self.blocks)


class BlockSampler:
    """Blocks of any requests with one network, one schedule and one guidance scale (up to 1: no guidance)."""

    def __init__(self, model: ACDiT, num_inference_steps: int, guidance_scale: float) -> None:
        """``ValueError`` for an impossible number of steps."""
        self.model, self.guidance_scale = model, guidance_scale
        self.schedule: Schedule = make_schedule(SchedulerConfig.from_dict(SOLVER), num_inference_steps)
        self.buffers = Buffers()

    @property
    def branches(self) -> int:
        """Rows a request in a pass over noisy tokens."""
        return 2 if self.guidance_scale > 1 else 1

    def new_state(self, label: int, seed: int, blocks: Sequence[Tensor] = ()) -> BlockState:
        """A request for class ``label``, of which ``blocks`` are finished. ``ValueError`` for a class that is not
        there, or blocks that do not fit."""
        config, dtype = self.model.config, self.latent_dtype
        config.check_class(label)
        shape = (config.block_tokens, config.token_dim)
        if len(blocks) > config.num_blocks or any(block.shape != shape for block in blocks):
            found = [list(block.shape) for block in blocks]
            raise ValueError(f"finished blocks are {found}, expected up to {config.num_blocks} of {list(shape)}")
        capacity = (config.num_blocks - 1) * config.block_tokens
        sizes = (config.num_layers, 1, config.num_heads, capacity, HEAD_DIM)
        cache = KVCache(*sizes, dtype=self.model.dtype, device=self.model.device, buffers=self.buffers)
        return BlockState(label, seed, cache, [block.to(self.model.device, dtype) for block in blocks])

    @property
    def latent_dtype(self) -> torch.dtype:
        """Latents stay in float32 at least between two passes."""
        return torch.promote_types(self.model.dtype, torch.float32)

    def prefill(self, states: Sequence[BlockState]) -> None:
        """Keys and values of the finished blocks that lack them; nobody reads those of the last block."""
        model, size = self.model, self.model.config.block_tokens
        capacity = (model.config.num_blocks - 1) * size
        while lacking := [s for s in states if s.cache.owned[0] < min(len(s.blocks) * size, capacity)]:
            indexes = [state.cache.owned[0] // size for state in lacking]
            tokens = torch.stack([state.blocks[i] for state, i in zip(lacking, indexes, strict=True)])
            context = CleanContext([state.cache for state in lacking])
            keys, values = model.clean_keys(tokens.to(model.dtype), model.tables(indexes), context)
            for row, state in enumerate(lacking):
                state.cache.put(keys[:, row : row + 1], values[:, row : row + 1])
                state.cache.advance([size])

    def sample(self, states: Sequence[BlockState]) -> None:
        """The next block of each. ``ValueError`` where the network's numbers are not finite."""
        schedule, latents, before = self.schedule, self.noise(states), None
        modulations = self.modulations([step.timestep for step in schedule.steps], states)
        context = CleanContext([state.cache for state in states])
        for number, step in enumerate(schedule.steps):
            noise = self.predict(states, latents, tuple(part[number] for part in modulations), context)
            latents, before = take_step(schedule.config, latents, noise, step, before=before)
        if not bool(torch.isfinite(latents).all()):
            kind = str(self.model.dtype).removeprefix("torch.")
            raise ValueError(f"ACDiT made numbers that are not finite in {kind}; choose --dtype float32")
        for state, block in zip(states, latents, strict=True):
            state.blocks.append(block.clone())

    def noise(self, states: Sequence[BlockState]) -> Tensor:
        """The initial noise of the next block of each: [R, block_tokens, token_dim]."""
        config, numbers = self.model.config, [len(state.blocks) for state in states]
        keys = make_keys([state.seed for state in states], numbers, Purpose.BLOCK, self.model.device)
        return normal(keys, (config.block_tokens, config.token_dim)).to(self.latent_dtype)

    def modulations(self, timesteps: Sequence[float], states: Sequence[BlockState]) -> Modulations:
        """As the network's, for the rows of a pass: without a class first where guidance is on."""
        labels = [state.label for state in states]
        if self.branches == 2:
            labels = [self.model.config.null_class] * len(states) + labels
        device = self.model.device
        return self.model.modulations(torch.tensor(timesteps, device=device), torch.tensor(labels, device=device))

    def predict(
        self, states: Sequence[BlockState], latents: Tensor, modulations: Modulations, context: CleanContext
    ) -> Tensor:
        """The noise in ``latents`` [R, block_tokens, token_dim] of the next block of each, guided; ``modulations`` of
        one step, ``context`` of the finished blocks."""
        tables = self.model.tables([len(state.blocks) for state in states] * self.branches)
        rows = latents.to(self.model.dtype).repeat(self.branches, 1, 1)
        noise = self.model(rows, modulations, tables, context).to(latents.dtype)
        if self.branches == 1:
            return noise
        unconditional, conditional = noise.chunk(2)
        return guide(conditional, unconditional, self.guidance_scale)
