"""Correction of a frame by SDEdit (ACDC Eq. 2, arXiv 2108.01073): noise to t', denoise with text guidance, decode.

Pixels are [B, 3, H, W] in [-1, 1], of clips [B, L, 3, H, W]. Everything here is a pure function of tensors, so that
one CUDA graph can hold it. The diffusion model may work at another size than the frame's (resize.py): noise is of the
working size, pixels in and out are of the frame's.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ...kernels import noise as noise_kernel
from ...kernels.cfg_ddim import cfg_ddim
from ..models.diffusion.attention import KV
from ..models.diffusion.denoiser import Denoiser
from ..models.diffusion.schedule import Schedule, add_noise, guide, take_step
from ..models.diffusion.scheduler_config import SchedulerConfig
from ..models.diffusion.step import Step
from .constrained import Constrained
from .observer import NO_LOOKS, Look, Observer
from .resize import resize, working_size
from .steering import FREE, Steering

VAE_BATCH = 8  # frames of a clip that an autoencoder takes side by side: memory grows with them, rates hardly


class Autoencoder(Protocol):
    """A latent diffusion model's coder: latents are unscaled here, ``scaling_factor`` brings them to unit variance."""

    @property
    def scaling_factor(self) -> float: ...
    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]: ...
    def decode(self, latents: Tensor) -> Tensor: ...


class Conditioning(NamedTuple):
    """Text that steers the denoiser, as the keys and values of its cross-attention, which no step changes.

    The unconditional half (first in the batch) exists only while guidance is on. A network that has the scale
    ``embedded`` in its time embedding needs no such half. ``control_kv`` is the text for a ControlNet, ``first`` that
    for the first model of a cascade.
    """

    kv: Sequence[KV]
    guidance_scale: float
    embedded: bool = False
    control_kv: Sequence[KV] = ()
    first: "Conditioning | None" = None

    @property
    def guided(self) -> bool:
        """Weights up to 1 mean no guidance, as in diffusers."""
        return self.guidance_scale > 1.0 and not self.embedded

    @classmethod
    def of(cls, unet: Denoiser, context: Tensor, null_context: Tensor, guidance_scale: float) -> "Conditioning":
        """From the text encoder's states ``context`` and ``null_context`` [B, S, D]."""
        embedded = unet.config.embeds_guidance
        guided = cls((), guidance_scale, embedded).guided
        rows = torch.cat((null_context, context)) if guided else context
        return cls(unet.context_kv(rows), guidance_scale, embedded)


def encode_latents(vae: Autoencoder, pixels: Tensor, posterior_noise: Tensor | None = None) -> Tensor:
    """Scaled latents [B, C, h, w]: the posterior's mode, or a sample from it where noise is given."""
    mean, logvar = vae.encode(pixels)
    latents = mean if posterior_noise is None else mean + torch.exp(0.5 * logvar) * posterior_noise
    return latents * vae.scaling_factor


def decode_latents(vae: Autoencoder, latents: Tensor) -> Tensor:
    """Pixels [B, 3, H, W] in [-1, 1] from scaled latents."""
    return vae.decode(latents / vae.scaling_factor).clamp(-1, 1)


def time_table(unet: Denoiser, schedule: Schedule, device: torch.device, guidance_scale: float) -> Tensor:
    """The UNet's embedding of the time at each step of the schedule [N, P], and of the scale and the frame rate where
    it has one for them; it depends on nothing else."""
    times = torch.tensor([step.timestep for step in schedule.steps], device=device)
    return unet.time_shifts(times, guidance_scale, schedule.fps)


def step_on(
    config: SchedulerConfig,
    latents: Tensor,
    prediction: Tensor,
    scale: float,
    step: Step,
    fresh: Tensor | None = None,
    before: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Guidance by ``scale`` (1 = none) of the ``prediction`` [2 B or B, C, h, w], both branches, then a step, as
    :func:`take_step`. A learned variance follows the C channels of the latents; it is not guided."""
    channels, variance = latents.shape[-3], None
    conditional = prediction.chunk(2)[-1] if scale != 1.0 else prediction
    if prediction.shape[-3] > channels:
        prediction, variance = prediction[..., :channels, :, :], conditional[..., channels:, :, :]
    if scale != 1.0:
        unconditional, conditional = prediction.chunk(2)
        prediction = guide(conditional, unconditional, scale)
    return take_step(config, latents, prediction, step, fresh, before, variance)


def step_on_by_kernel(config: SchedulerConfig, latents: Tensor, prediction: Tensor, scale: float, step: Step) -> Tensor:
    """Guidance and a step of DDIM in one launch."""
    assert step.update is None, "the kernel knows DDIM's step alone"
    unconditional, conditional = prediction.chunk(2) if scale != 1.0 else (None, prediction)
    clip = config.clip_sample_range if config.clip_sample else None
    levels = (step.alpha, step.alpha_next)
    return cfg_ddim(latents, conditional, unconditional, levels, scale, config.prediction_type, clip)


def denoise(
    unet: Denoiser,
    latents: Tensor,
    conditioning: Conditioning,
    schedule: Schedule,
    table: Tensor | None = None,
    step_noise: Tensor | None = None,
    steering: Steering = FREE,
    looks: Mapping[int, Look] = NO_LOOKS,
) -> Tensor:
    """The steps of the truncated schedule, from its start to data; no step returns the latents unchanged.

    ``table`` is the schedule's :func:`time_table` where it was made before, ``step_noise`` [S, B, C, h, w] the noise of
    its ``drawing_steps``, in their order; ``steering`` holds the user's constraints; ``looks`` take the x0 of steps.
    """
    config: SchedulerConfig = schedule.config
    if not schedule.steps:
        return latents
    if table is None:
        table = time_table(unet, schedule, latents.device, conditioning.guidance_scale)
    by_kernel = unet.use_triton and not config.thresholding and all(step.update is None for step in schedule.steps)
    scale = conditioning.guidance_scale if conditioning.guided else 1.0
    draws = {} if step_noise is None else dict(zip(schedule.drawing_steps, step_noise.unbind(0), strict=True))
    before: Tensor | None = None
    for number, (step, shifts) in enumerate(zip(schedule.steps, table.split(1), strict=True)):
        # Both branches share one batched pass.
        inputs = latents if step.input_scale == 1 else latents * step.input_scale
        prediction = steering.predict(unet, inputs, shifts, conditioning.kv, number)
        if by_kernel:
            if number in looks:  # the kernel keeps its x0 to itself
                looks[number](step_on(config, latents, prediction, scale, step)[1])
            latents = step_on_by_kernel(config, latents, prediction, scale, step)
        else:
            latents, before = step_on(config, latents, prediction, scale, step, draws.get(number), before)
            if number in looks:
                looks[number](before)
        latents = steering.settle(latents, schedule, number)
    return latents


def correct(
    vae: Autoencoder,
    unet: Denoiser,
    pixels: Tensor,
    noise: Tensor,
    conditioning: Conditioning,
    schedule: Schedule,
    posterior_noise: Tensor | None = None,
    table: Tensor | None = None,
    size: int | None = None,
    step_noise: Tensor | None = None,
    constrained: Constrained | None = None,
    upscaled: Tensor | None = None,
    observer: Observer | None = None,
) -> Tensor:
    """SDEdit (ACDC Eq. 2).

    Pixels [B, 3, H, W] -> pixels of the same size; ``noise`` [B, C, h, w], or without constraints keys int64 [B, 4] of
    which a kernel draws it; ``table`` and ``step_noise`` as in `denoise`; ``size`` is the shorter side that the
    model works at (None: H, W); ``constrained`` are constraints of pictures, ``upscaled`` the picture [B, 3, H', W']
    that an upscaler reads at every step. An ``observer`` of pictures sees estimates of the result; it changes nothing.

    For clips (ACDC Eq. 5) the L frames of pixels [B, L, 3, H, W] are noised to one t' and denoised together under one
    prompt, ``conditioning`` having a row a clip; ``noise`` and ``posterior_noise`` are [B, L, C, h, w]. With an empty
    schedule nothing is noised and the result is the autoencoder's round trip.
    """
    lead, (height, width) = pixels.shape[:-3], pixels.shape[-2:]
    frames = resize(pixels.flatten(0, -4), working_size(height, width, size))
    posterior = () if posterior_noise is None else (posterior_noise.flatten(0, -4),)
    at_once = portion(pixels)
    encode = partial(encode_latents, vae)
    latents = in_portions(encode, at_once, frames, *posterior).unflatten(0, lead)
    steering = FREE if constrained is None else constrained.steering(encode, frames, latents, noise)
    if upscaled is not None:
        steering = steering._replace(channels=upscaled)
    if schedule.steps and constrained is not None and constrained.from_noise:
        latents = noise
    elif schedule.steps:
        add = noise_kernel.add_noise if noise.dtype == torch.int64 else add_noise
        latents = add(latents, noise, schedule.start.alpha)
    looks = NO_LOOKS
    if observer is not None:
        decode = partial(decode_estimates, vae, pixels, constrained)
        looks = observer.looks(len(schedule.steps), decode)
    latents = denoise(unet, latents, conditioning, schedule, table, step_noise, steering, looks)
    decoded = in_portions(lambda z: vae.decode(z / vae.scaling_factor), at_once, latents.flatten(0, -4))
    shown = resize(decoded.clamp(-1, 1), (height, width)).unflatten(0, lead)
    shown = mark_overflow(shown, latents, decoded.unflatten(0, lead))
    return shown if constrained is None else constrained.paste(pixels, shown)


def decode_estimates(
    vae: Autoencoder, pixels: Tensor, constrained: Constrained | None, x0: Tensor, rows: list[int]
) -> Tensor:
    """Estimates x0 [B, C, h, w] of some ``rows`` of a batch of ``pixels`` [B, 3, H, W], as the result would be shown:
    [len(rows), 3, H, W]."""
    size = (pixels.shape[-2], pixels.shape[-1])
    if constrained is None:
        return resize(decode_latents(vae, x0[rows]), size)
    return constrained.paste(pixels, resize(decode_latents(vae, x0), size))[rows]


def mark_overflow(shown: Tensor, latents: Tensor, decoded: Tensor) -> Tensor:
    """``shown`` with NaN in every picture for which the sum of squares of latents and decoded pixels is not finite;
    [..., C, H, W] each.

    Norms square their inputs: what a decoder makes of latents beyond that depends on its backend, and may be finite.
    Clamping makes an infinity a colour, and some backends' clamps make NaN one. A sum of squares and a comparison
    are the same on all of them and need no look from the host: the conversion to a picture checks it (pixels.py).
    """
    wide = torch.promote_types(shown.dtype, torch.float32)
    total = latents.flatten(-3).to(wide).square().sum(-1) + decoded.flatten(-3).to(wide).square().sum(-1)
    finite = total <= torch.finfo(wide).max  # false for NaN as well
    return shown.masked_fill(~finite[..., None, None, None], float("nan"))


def portion(pixels: Tensor) -> int:
    """Number of pictures of ``pixels`` that an autoencoder takes at a time: a batch of pictures whole, of clips
    ``VAE_BATCH`` frames, since a clip's frames at full size together need gigabytes and each is coded alone."""
    return VAE_BATCH if pixels.ndim == 5 else len(pixels)


def in_portions(run: Callable[..., Tensor], at_once: int, *inputs: Tensor) -> Tensor:
    """``run(*inputs)`` on this number of rows at a time, one portion after another, and joined. The loop is fixed by
    the shapes, so a graph can hold it."""
    portions = zip(*(value.split(at_once) for value in inputs), strict=True)
    found = [run(*some) for some in portions]
    return found[0] if len(found) == 1 else torch.cat(found)


def text_to_image(
    vae: Autoencoder,
    unet: Denoiser,
    noise: Tensor,
    conditioning: Conditioning,
    schedule: Schedule,
    step_noise: Tensor | None = None,
) -> Tensor:
    """The diffusion model alone, from pure noise [B, C, h, w] down a full schedule: the paper's "SD" baseline;
    ``step_noise`` as in `denoise`."""
    return decode_latents(vae, denoise(unet, noise, conditioning, schedule, step_noise=step_noise))
