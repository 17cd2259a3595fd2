"""The whole correction as one function of tensors, for backends that gain by seeing all of it.

    shown, codes = WholeCorrection(corrector, tokenizer, schedule, guidance_scale)(pixels, noise, *keys_and_values)

gives what the stages give one after another. The schedule is unrolled, its time embeddings are a table; whatever
comes from the host (prompts, seeds) is a tensor by then.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..diffusion import Schedule
from ..models.corrector.stable_diffusion import StableDiffusion
from ..models.tokenizer.vqgan import VQGAN
from .correct import Conditioning, correct, time_table


class WholeCorrection(nn.Module):
    """SDEdit of a frame and the tokenizer's encoding of what comes of it."""

    table: Tensor

    def __init__(self, corrector: StableDiffusion, tokenizer: VQGAN, schedule: Schedule, guidance_scale: float) -> None:
        super().__init__()
        self.vae, self.unet, self.tokenizer = corrector.vae, corrector.unet, tokenizer
        self.schedule, self.guidance_scale = schedule, guidance_scale
        with torch.no_grad():
            table = time_table(corrector.unet, schedule, tokenizer.codebook.weight.device)
        self.register_buffer("table", table, persistent=False)

    def forward(self, pixels: Tensor, noise: Tensor, *kv: Tensor) -> tuple[Tensor, Tensor]:
        """``pixels`` [B, 3, H, W] in [-1, 1], ``noise`` [B, C, h, w], then key, value, key, value, ... of the
        conditioning (2 B rows where guided) -> corrected pixels [B, 3, H, W] and their codes int64 [B, N]."""
        conditioning = Conditioning(list(zip(kv[::2], kv[1::2], strict=True)), self.guidance_scale)
        shown = correct(self.vae, self.unet, pixels, noise, conditioning, self.schedule, table=self.table)
        return shown, self.tokenizer.quantise(self.tokenizer.latents(shown))
