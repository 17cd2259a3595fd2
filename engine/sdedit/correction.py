"""Inputs of a correction that are known before any pixel: the truncated schedule, the encoded prompts, the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from ...kernels.philox import draw, draw_reference
from ..constraints import Constraints, FrameConstraints
from ..models.diffusion.schedule import Schedule, make_distilled_schedule, make_schedule
from ..models.diffusion.scheduler_config import SchedulerConfig
from ..models.diffusion.stable_diffusion import StableDiffusion
from ..options import CorrectionOptions, StoryOptions
from ..utils.rng import Purpose, make_keys, normal
from .constrain import Constrainer
from .correct import Conditioning, correct, time_table
from .observer import Observer
from .resize import working_size
from .upscaler import Upscaler

STEP_STRIDE = 2**15  # positions from one step's draw to the next one's; a clip has fewer frames
DISTILLED = ("lcm", "tcd")  # samplers of models that know a list of timesteps
OF_STAGE_ONE = {Purpose.NOISE: Purpose.STAGE_ONE, Purpose.STEP: Purpose.STAGE_ONE_STEP}


class Correction:
    """SDEdit with one diffusion model and one set of options, for any number of frames or clips."""

    def __init__(
        self, corrector: StableDiffusion, options: StoryOptions, purposes: Mapping[Purpose, Purpose] | None = None
    ) -> None:
        """``options`` are resolved; raises ``ValueError`` where the model or its scheduler cannot serve them.
        ``purposes`` are draws for other ones, so that two models of a frame share no noise."""
        self.corrector, self.options = corrector, options.correction
        self.purposes = purposes or {}
        check_size(corrector, options.correction.size)
        self.schedule = schedule_of(corrector, self.options)
        self.constrainer = Constrainer(corrector, options, self.schedule)
        self.upscaler = None if corrector.upscaling is None else Upscaler(corrector.upscaling, options.correction.size)
        self.first: Correction | None = None
        if corrector.stage_one is not None:  # at its own size: the small picture's
            self.first = Correction(corrector.stage_one, options.replace(correction_size=None), OF_STAGE_ONE)

    @cached_property
    def table(self) -> Tensor:
        """The schedule's time embeddings, for all frames: [steps, E]."""
        device = self.corrector.text_encoder.final_layer_norm.weight.device
        assert self.options.guidance_scale is not None, "options are resolved before a correction"
        return time_table(self.corrector.unet, self.schedule, device, self.options.guidance_scale)

    @cached_property
    def null_context(self) -> Tensor:
        """The text states of the negative prompt, for all frames: [1, S, D]."""
        return self.corrector.embed([self.options.negative_prompt])[0]

    @cached_property
    def of_masked(self) -> Correction:
        """The correction of frames that have a mask, whose strength may be another."""
        options, strength = self.constrainer.options, self.constrainer.options.constraint.mask_strength
        if strength in (None, self.options.strength):
            return self
        return Correction(self.corrector, options.replace(strength=strength, mask_strength=None))

    def check(self, constraints: Constraints, length: int, resolution: int) -> None:
        """``ValueError`` (one line) where the model cannot meet the constraints of a story of ``length`` frames of
        ``resolution`` pixels."""
        for correction in (self, self.of_masked):  # the second may be the first
            correction.constrainer.check(constraints, length, resolution)

    def kind(self, given: FrameConstraints) -> tuple[bool, bool]:
        """Frames of one kind are corrected side by side: with a mask or without, with a ControlNet or without."""
        return given.mask is not None, self.constrainer.controls(given)

    def condition(
        self, prompts: Sequence[str], given: Sequence[FrameConstraints] = ()
    ) -> tuple[Conditioning, list[str | None]]:
        """Encode the prompts, for frames with these constraints, all of one kind; with the part that was kept of each
        one that was too long."""
        context, kept = self.corrector.embed(list(prompts))
        null_context = self.null_context.expand(len(prompts), -1, -1)
        conditioning = self.conditioning(context, null_context)
        if self.first is not None:
            first = self.first.conditioning(context, null_context)
            conditioning = conditioning._replace(first=first)
        control = self.corrector.controlnet
        if control is not None and given and self.constrainer.controls(given[0]):
            both = conditioning.guided and not self.constrainer.options.constraint.guess_mode
            rows = torch.cat((null_context, context)) if both else context
            conditioning = conditioning._replace(control_kv=control.context_kv(rows))
        return conditioning, kept

    def conditioning(self, context: Tensor, null_context: Tensor) -> Conditioning:
        """From the text encoder's states [B, S, D], the prompts' and the negative prompt's."""
        assert self.options.guidance_scale is not None, "options are resolved before a correction"
        return Conditioning.of(self.corrector.unet, context, null_context, self.options.guidance_scale)

    def run(
        self,
        pixels: Tensor,
        conditioning: Conditioning,
        seeds: Sequence[int],
        index: int | Sequence[int],
        given: Sequence[FrameConstraints] = (),
        observer: Observer | None = None,
    ) -> Tensor:
        """Correct frame ``index`` (one for all, or one a story) of the stories with these seeds: [B, 3, H, W] in
        [-1, 1], same size out; or their clip ``index``: [B, L, 3, H, W], with the conditioning of one prompt a clip.
        ``given`` are constraints of frames, one each and all of one kind; an ``observer`` sees estimates of frames."""
        if self.corrector.inpaints and not given:
            given = [FrameConstraints()] * len(pixels)
        if given and given[0].mask is not None and self.of_masked is not self:
            return self.of_masked.run(pixels, conditioning, seeds, index, given, observer)
        masked = self.noise(pixels, seeds, index, Purpose.MASKED) if given and self.options.sample_posterior else None
        constrained = self.constrainer.constrained(pixels, given, conditioning.control_kv, masked)
        noise = self.noise(pixels, seeds, index)
        if constrained is not None and noise.dtype == torch.int64:  # it is needed again after each step
            noise = normal(noise, self.latent_shape(pixels)).to(pixels.dtype)
        posterior = self.noise(pixels, seeds, index, Purpose.POSTERIOR) if self.options.sample_posterior else None
        vae, unet, size = self.corrector.vae, self.corrector.unet, self.options.size
        table = self.table if self.schedule.steps else None
        steps = self.step_noise(pixels, seeds, index)
        upscaled = self.upscaled(pixels, conditioning, seeds, index, given)
        settings = self.schedule, posterior, table, size, steps, constrained, upscaled, observer
        return correct(vae, unet, pixels, noise, conditioning, *settings)

    def upscaled(
        self,
        pixels: Tensor,
        conditioning: Conditioning,
        seeds: Sequence[int],
        index: int | Sequence[int],
        given: Sequence[FrameConstraints],
    ) -> Tensor | None:
        """The small picture that an upscaling UNet reads besides, corrected by stage one where there is one, enlarged
        and noised once: [B, 3, H', W']; None for another UNet."""
        if self.upscaler is None:
            return None
        small = self.upscaler.shrink(pixels)
        if self.first is not None:
            assert conditioning.first is not None, "condition() encodes the prompts for both"
            small = self.first.run(small, conditioning.first, seeds, index, given)
        return self.upscaler.enlarge(small, pixels, self.noise(pixels, seeds, index, Purpose.UPSCALED))

    def noises(self, pixels: Tensor, seeds: Sequence[int], index: int | Sequence[int]) -> list[Tensor]:
        """The noise of a correction, where the posterior is sampled that of the posterior, and where steps draw some
        theirs: the inputs of a plan of the whole correction."""
        drawn = [Purpose.NOISE, Purpose.POSTERIOR] if self.options.sample_posterior else [Purpose.NOISE]
        steps = self.step_noise(pixels, seeds, index)
        return [self.noise(pixels, seeds, index, purpose) for purpose in drawn] + ([] if steps is None else [steps])

    def noise(
        self, pixels: Tensor, seeds: Sequence[int], index: int | Sequence[int], purpose: Purpose = Purpose.NOISE
    ) -> Tensor:
        """Each story's own draw for frame ``index``: [B, C, h, w] in the dtype of ``pixels``; or the keys [B, 4] of it
        where a kernel draws it as it adds it. For clip ``index``: [B, L, C, h, w], of which frame l is drawn at
        position l, so that a clip of one frame has the noise of a frame."""
        keys = make_keys(seeds, index, self.purposes.get(purpose, purpose), pixels.device)
        if pixels.ndim == 5:
            return self.draw_at(keys, torch.arange(pixels.shape[1], device=pixels.device), pixels)
        if self.corrector.unet.use_triton and purpose == Purpose.NOISE:
            return keys
        return normal(keys, self.latent_shape(pixels)).to(pixels.dtype)

    def step_noise(self, pixels: Tensor, seeds: Sequence[int], index: int | Sequence[int]) -> Tensor | None:
        """Each story's own draws for the steps of frame ``index`` that draw noise: [S, B, C, h, w], or of a clip [S, B,
        L, C, h, w]; None where no step does.

        The draw of step i is at position i * ``STEP_STRIDE``, that of frame l of a clip l positions after it: it
        depends on seed, frame and step, whatever is computed with it."""
        if not self.schedule.drawing_steps:
            return None
        numbers = torch.tensor(self.schedule.drawing_steps, device=pixels.device) * STEP_STRIDE
        frames = torch.arange(pixels.shape[1] if pixels.ndim == 5 else 1, device=pixels.device)
        keys = make_keys(seeds, index, self.purposes.get(Purpose.STEP, Purpose.STEP), pixels.device)
        drawn = self.draw_at(keys, (numbers[:, None] + frames).flatten(), pixels).unflatten(1, (-1, len(frames)))
        return (drawn if pixels.ndim == 5 else drawn.squeeze(2)).transpose(0, 1).contiguous()

    def draw_at(self, keys: Tensor, positions: Tensor, pixels: Tensor) -> Tensor:
        """Normals of each position [B, W, C, h, w], in the dtype of ``pixels``."""
        shape = self.latent_shape(pixels)
        drawn = draw if self.corrector.unet.use_triton else draw_reference
        return drawn(keys, positions, torch.Size(shape).numel(), "normal").unflatten(-1, shape).to(pixels.dtype)

    def latent_shape(self, pixels: Tensor) -> tuple[int, int, int]:
        """[C, h, w] of the latents of ``pixels`` at the size that the model works at."""
        vae, (height, width) = self.corrector.vae, pixels.shape[-2:]
        height, width = working_size(height, width, self.options.size)
        return vae.config.latent_channels, height // vae.downscale, width // vae.downscale


def config_of(corrector: StableDiffusion, options: CorrectionOptions) -> SchedulerConfig:
    """The scheduler's config of the model, with what the options say in its place."""
    changes = {"timestep_spacing": options.timestep_spacing, "gamma": options.gamma}
    return SchedulerConfig.from_dict(corrector.scheduler_config, options.sampler, **changes)


def schedule_of(corrector: StableDiffusion, options: CorrectionOptions) -> Schedule:
    """The steps that a correction runs. A network that was distilled with its guidance (LCM) counts the strength within
    the list of timesteps that it knows, others run the last int(N t') steps. ``ValueError`` where none would run, and
    for a frame rate that the network does not read."""
    config = config_of(corrector, options)
    if options.fps is not None and not corrector.unet.config.embeds_fps:
        raise ValueError(
            f"correction_fps {options.fps} would do nothing: the diffusion model reads no frame rate; leave it out"
        )
    learned, channels = config.ancestral.variance_type == "learned_range", corrector.unet.config.out_channels
    if learned and channels == corrector.vae.config.latent_channels:
        raise ValueError(
            f"scheduler field variance_type='learned_range' needs a variance, but the UNet's out_channels={channels} "
            "hold none; choose another --sampler, such as ddim"
        )
    if config.sampler in DISTILLED and corrector.unet.config.embeds_guidance:
        return make_distilled_schedule(config, *options.steps_and_strength)
    steps, _ = options.steps_and_strength
    return replace(make_schedule(config, steps, options.check_steps_run()), fps=options.fps)


def check_size(corrector: StableDiffusion, size: int | None) -> None:
    """``ValueError`` for a working size that the VAE cannot halve as often as it does; the UNet takes any latents."""
    step = corrector.vae.downscale
    if size is not None and size % step:
        below, above = size // step * step, (size // step + 1) * step
        choices = f"{below} or {above}" if below else str(above)
        raise ValueError(f"correction_size {size} is not a multiple of the corrector's {step} pixels; choose {choices}")
