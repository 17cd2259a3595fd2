"""The whole correction as one function of tensors, for backends that gain by seeing all of it.

    whole = WholeCorrection(corrector, tokenizer, schedule, guidance_scale)
    shown, codes = whole(pixels, noise, *keys_and_values)

gives what the stages give one after another, for frames and for clips. The schedule is unrolled, its time embeddings
are a table; whatever comes from the host (prompts, seeds) is a tensor by then.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..models.diffusion.schedule import Schedule
from ..models.diffusion.stable_diffusion import StableDiffusion
from ..models.interfaces import Tokenizer
from .correct import Conditioning, correct, in_portions, portion, time_table


class WholeCorrection(nn.Module):
    """SDEdit of a frame and the tokenizer's encoding of what comes of it."""

    table: Tensor

    def __init__(
        self,
        corrector: StableDiffusion,
        tokenizer: Tokenizer,
        schedule: Schedule,
        guidance_scale: float,
        sample_posterior: bool = False,
        size: int | None = None,
    ) -> None:
        """``size`` is the shorter side that the corrector works at; None: the frame's own."""
        super().__init__()
        self.vae, self.unet, self.tokenizer = corrector.vae, corrector.unet, tokenizer
        self.schedule, self.guidance_scale = schedule, guidance_scale
        self.sample_posterior, self.size = sample_posterior, size
        with torch.no_grad():
            device = corrector.text_encoder.final_layer_norm.weight.device
            table = time_table(corrector.unet, schedule, device, guidance_scale)
        self.register_buffer("table", table, persistent=False)

    def forward(self, pixels: Tensor, noise: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        """``pixels`` [B, 3, H, W] in [-1, 1], ``noise`` [B, C, h, w], its like for the posterior where that is sampled,
        that of the steps [S, B, C, h, w] where some draw noise, then key, value, key, value, ... of the conditioning
        (2 B rows where guided) -> corrected pixels [B, 3, H, W] and their codes int64 [B, N]. For clips: [B, L, 3, H,
        W] and [B, L, C, h, w] -> [B, L, 3, H, W] and [B, L, N]."""
        given = iter(rest)
        posterior_noise = next(given) if self.sample_posterior else None
        step_noise = next(given) if self.schedule.drawing_steps else None
        kv = list(given)
        embedded = self.unet.config.embeds_guidance
        conditioning = Conditioning(list(zip(kv[::2], kv[1::2], strict=True)), self.guidance_scale, embedded)
        settings = self.schedule, posterior_noise, self.table, self.size, step_noise
        shown = correct(self.vae, self.unet, pixels, noise, conditioning, *settings)
        codes = self.tokenizer.quantise(in_portions(self.tokenizer.latents, portion(pixels), shown.flatten(0, -4)))
        return shown, codes.unflatten(0, shown.shape[:-3])
