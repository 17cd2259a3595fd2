"""What a correction needs before any pixel arrives: the truncated schedule, the encoded prompts, the noise."""

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from ..diffusion import Schedule, SchedulerConfig, make_schedule
from ..models.corrector.stable_diffusion import StableDiffusion
from ..rng import Purpose, make_keys, normal
from ..story import StoryOptions
from .correct import Conditioning, correct, time_table


class Correction:
    """SDEdit with one diffusion model and one set of options, for any number of frames."""

    def __init__(self, corrector: StableDiffusion, options: StoryOptions) -> None:
        """``options`` are resolved; raises ``ValueError`` where the model's scheduler cannot serve them."""
        self.corrector, self.options = corrector, options
        config = SchedulerConfig.from_dict(corrector.scheduler_config)
        self.schedule: Schedule = make_schedule(config, options.num_inference_steps, options.num_steps_run)

    @cached_property
    def table(self) -> Tensor:
        """The schedule's time embeddings, for all frames: [steps, E]."""
        device = self.corrector.text_encoder.final_layer_norm.weight.device
        return time_table(self.corrector.unet, self.schedule, device)

    def condition(self, prompts: Sequence[str]) -> tuple[Conditioning, list[str | None]]:
        """Encode the prompts and the negative prompt; with the part that was kept of each prompt that was too long."""
        assert self.options.guidance_scale is not None, "options are resolved before a correction"
        contexts, kept = self.corrector.embed([*prompts, self.options.negative_prompt])
        context, null_context = contexts[:-1], contexts[-1:].expand(len(prompts), -1, -1)
        unet, scale = self.corrector.unet, self.options.guidance_scale
        return Conditioning.of(unet, context, null_context, scale), kept[:-1]

    def run(self, pixels: Tensor, conditioning: Conditioning, seeds: Sequence[int], index: int) -> Tensor:
        """Correct frame ``index`` of the stories with these seeds: [B, 3, H, W] in [-1, 1], same size out."""
        noise, *posterior = self.noises(pixels, seeds, index)
        vae, unet = self.corrector.vae, self.corrector.unet
        table = self.table if self.schedule.steps else None
        posterior_noise = posterior[0] if posterior else None
        return correct(vae, unet, pixels, noise, conditioning, self.schedule, posterior_noise, table)

    def noises(self, pixels: Tensor, seeds: Sequence[int], index: int) -> list[Tensor]:
        """The noise of a correction, and where the posterior is sampled that of the posterior."""
        drawn = [Purpose.NOISE, Purpose.POSTERIOR] if self.options.sample_posterior else [Purpose.NOISE]
        return [self.noise(pixels, seeds, index, purpose) for purpose in drawn]

    def noise(self, pixels: Tensor, seeds: Sequence[int], index: int, purpose: Purpose = Purpose.NOISE) -> Tensor:
        """Each story's own draw for frame ``index``: [B, C, h, w] in the dtype of ``pixels``."""
        vae = self.corrector.vae
        height, width = (side // vae.downscale for side in pixels.shape[-2:])
        keys = make_keys(seeds, index, purpose, pixels.device)
        return normal(keys, (vae.config.latent_channels, height, width)).to(pixels.dtype)
