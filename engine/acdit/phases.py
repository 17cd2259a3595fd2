"""The phases of a block: what both the serial and the concurrent loop call, with requests that are computed together.

prefill     keys and values of the block before it
sample      the block is denoised
vq_decode   a clip's block becomes its frames, a whole picture's latents the picture
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.acdit.config import ACDiTConfig
from ..models.acdit.layout import to_latents
from ..models.acdit.sampler import BlockSampler, BlockState
from ..models.diffusion.vae import VAE
from ..outputs import Phase
from ..scheduler.scheduler import ScheduledStory
from ..scheduler.stream_safety import record_stream_uses
from ..sdedit.correct import VAE_BATCH, decode_latents
from ..sdedit.pixels import to_uint8
from .request import BlockDone, ClassRequest


@dataclass(eq=False, kw_only=True)
class DrawnRequest(ScheduledStory):
    """A request in flight: for the scheduler a story, of which each block is a frame."""

    request: ClassRequest
    blocks: BlockState
    frames_made: Sequence[NDArray[np.uint8]] = ()
    seconds: dict[Phase, float] = field(default_factory=dict)

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that it holds."""
        return self.blocks.tensors()

    def begin_again(self) -> None:
        """A launch failed: back to the last finished block."""
        del self.blocks.blocks[self.index :]
        self.frames_made = ()
        self.seconds.clear()

    def shown(self) -> BlockDone:
        """The block that was finished; the next one begins."""
        latents, last = self.blocks.blocks[self.index].cpu(), self.index + 1 == self.frames
        event = BlockDone(self.request, self.index, last, latents, self.frames_made, dict(self.seconds))
        self.frames_made = ()
        self.seconds.clear()
        return event


class BlockPhases:
    """The phases by one network and its autoencoder."""

    def __init__(self, sampler: BlockSampler, vae: VAE) -> None:
        self.sampler, self.vae = sampler, vae
        self.run_phase = {Phase.PREFILL: self.prefill, Phase.SAMPLE: self.sample, Phase.VQ_DECODE: self.vq_decode}

    @property
    def config(self) -> ACDiTConfig:
        return self.sampler.model.config

    def phases_of(self, index: int) -> tuple[Phase, ...]:
        """Those of block ``index``."""
        shows = self.config.is_clip or index + 1 == self.config.num_blocks
        first, last = (Phase.PREFILL,) if index else (), (Phase.VQ_DECODE,) if shows else ()
        return (*first, Phase.SAMPLE, *last)

    def begin(self, request: ClassRequest) -> DrawnRequest:
        """A request at its first unfinished block. ``ValueError`` for one that cannot be drawn."""
        blocks = self.sampler.new_state(request.label, request.seed, request.done)
        count, done = self.config.num_blocks, len(request.done)
        named = (request.name, count, self.phases_of, done)
        return DrawnRequest(*named, prompts_ready=count, request=request, blocks=blocks)

    @torch.inference_mode()
    def run(self, phase: Phase, requests: Sequence[DrawnRequest]) -> None:
        """A launch."""
        record_stream_uses(requests)
        self.run_phase[phase](requests)

    def prefill(self, requests: Sequence[DrawnRequest]) -> None:
        self.sampler.prefill([request.blocks for request in requests])

    def sample(self, requests: Sequence[DrawnRequest]) -> None:
        self.sampler.sample([request.blocks for request in requests])

    def vq_decode(self, requests: Sequence[DrawnRequest]) -> None:
        shown = [
            torch.stack(request.blocks.blocks[request.index if self.config.is_clip else 0 : request.index + 1])
            for request in requests
        ]
        latents = to_latents(self.config, torch.stack(shown))
        dtype = self.vae.decoder.conv_in.weight.dtype
        pixels = [decode_latents(self.vae, some.to(dtype)) for some in latents.flatten(0, 1).split(VAE_BATCH)]
        if not all(bool(torch.isfinite(some).all()) for some in pixels):
            kind = str(dtype).removeprefix("torch.")
            raise ValueError(f"the autoencoder made numbers that are not finite in {kind}; choose --dtype float32")
        pictures = torch.cat(pixels).unflatten(0, (len(requests), -1))
        for request, made in zip(requests, to_uint8(pictures), strict=True):
            request.frames_made = list(made)
