"""Inputs of a correction that are known before any pixel: the truncated schedule, the encoded prompts, the noise."""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from ...kernels.philox import draw, draw_reference
from ..models.diffusion.schedule import Schedule, SchedulerConfig, make_schedule
from ..models.diffusion.stable_diffusion import StableDiffusion
from ..options import StoryOptions
from ..utils.rng import Purpose, make_keys, normal
from .correct import Conditioning, correct, time_table
from .resize import working_size


class Correction:
    """SDEdit with one diffusion model and one set of options, for any number of frames or clips."""

    def __init__(self, corrector: StableDiffusion, options: StoryOptions) -> None:
        """``options`` are resolved; raises ``ValueError`` where the model or its scheduler cannot serve them."""
        self.corrector, self.options = corrector, options.correction
        check_size(corrector, options.correction.size)
        config = SchedulerConfig.from_dict(corrector.scheduler_config)
        self.schedule: Schedule = make_schedule(config, self.options.num_inference_steps, self.options.num_steps_run)

    @cached_property
    def table(self) -> Tensor:
        """The schedule's time embeddings, for all frames: [steps, E]."""
        device = self.corrector.text_encoder.final_layer_norm.weight.device
        return time_table(self.corrector.unet, self.schedule, device)

    @cached_property
    def null_context(self) -> Tensor:
        """The text states of the negative prompt, for all frames: [1, S, D]."""
        return self.corrector.embed([self.options.negative_prompt])[0]

    def condition(self, prompts: Sequence[str]) -> tuple[Conditioning, list[str | None]]:
        """Encode the prompts; with the part that was kept of each one that was too long."""
        assert self.options.guidance_scale is not None, "options are resolved before a correction"
        context, kept = self.corrector.embed(list(prompts))
        null_context = self.null_context.expand(len(prompts), -1, -1)
        return Conditioning.of(self.corrector.unet, context, null_context, self.options.guidance_scale), kept

    def run(
        self, pixels: Tensor, conditioning: Conditioning, seeds: Sequence[int], index: int | Sequence[int]
    ) -> Tensor:
        """Correct frame ``index`` (one for all, or one a story) of the stories with these seeds: [B, 3, H, W] in
        [-1, 1], same size out; or their clip ``index``: [B, L, 3, H, W], with the conditioning of one prompt a clip."""
        noise, *posterior = self.noises(pixels, seeds, index)
        vae, unet = self.corrector.vae, self.corrector.unet
        table = self.table if self.schedule.steps else None
        posterior_noise = posterior[0] if posterior else None
        size = self.options.size
        return correct(vae, unet, pixels, noise, conditioning, self.schedule, posterior_noise, table, size)

    def noises(self, pixels: Tensor, seeds: Sequence[int], index: int | Sequence[int]) -> list[Tensor]:
        """The noise of a correction, and where the posterior is sampled that of the posterior."""
        drawn = [Purpose.NOISE, Purpose.POSTERIOR] if self.options.sample_posterior else [Purpose.NOISE]
        return [self.noise(pixels, seeds, index, purpose) for purpose in drawn]

    def noise(
        self, pixels: Tensor, seeds: Sequence[int], index: int | Sequence[int], purpose: Purpose = Purpose.NOISE
    ) -> Tensor:
        """Each story's own draw for frame ``index``: [B, C, h, w] in the dtype of ``pixels``; or the keys [B, 4] of it
        where a kernel draws it as it adds it. For clip ``index``: [B, L, C, h, w], of which frame l is drawn at
        position l, so that a clip of one frame has the noise of a frame."""
        vae, (height, width) = self.corrector.vae, pixels.shape[-2:]
        height, width = working_size(height, width, self.options.size)
        shape = (vae.config.latent_channels, height // vae.downscale, width // vae.downscale)
        keys = make_keys(seeds, index, purpose, pixels.device)
        if pixels.ndim == 5:
            positions = torch.arange(pixels.shape[1], device=pixels.device)
            drawn = draw if self.corrector.unet.use_triton else draw_reference
            count = shape[0] * shape[1] * shape[2]
            return drawn(keys, positions, count, "normal").unflatten(-1, shape).to(pixels.dtype)
        if self.corrector.unet.use_triton and purpose == Purpose.NOISE:
            return keys
        return normal(keys, shape).to(pixels.dtype)


def check_size(corrector: StableDiffusion, size: int | None) -> None:
    """``ValueError`` for a working size that the VAE cannot halve as often as it does; the UNet takes any latents."""
    step = corrector.vae.downscale
    if size is not None and size % step:
        below, above = size // step * step, (size // step + 1) * step
        choices = f"{below} or {above}" if below else str(above)
        raise ValueError(f"correction_size {size} is not a multiple of the corrector's {step} pixels; choose {choices}")
