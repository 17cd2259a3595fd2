"""Inputs of the UNet in corrections of stories that the models draw: what a lossy number format is fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from ...compile.openvino_int8 import Calibration
from ...compile.spec import StageSpec
from ..examples import EXAMPLES
from ..memory import memory_maker
from ..models.diffusion.attention import KV
from ..models.diffusion.denoiser import Denoiser
from ..models.model_set import Models
from ..options import make_options
from ..request import StoryRequest
from .clock import Clock
from .serial import SerialPipeline

STORIES = ("max", "thumper", "benny", "oliver")
SENTENCES, STEPS = 2, 3  # of each story; of each correction
RECIPE = f"{STORIES} {SENTENCES} {STEPS}"


class Recorder:
    """A UNet that keeps the inputs of its passes."""

    def __init__(self, unet: Denoiser) -> None:
        self.unet, self.config, self.use_triton = unet, unet.config, unet.use_triton
        self.time_shifts, self.context_kv = unet.time_shifts, unet.context_kv
        self.passes: list[tuple[Tensor, ...]] = []

    def __call__(self, latents: Tensor, shifts: Tensor, kv: Sequence[KV], residuals: Sequence[Tensor] = ()) -> Tensor:
        assert not residuals, "calibration corrects without a ControlNet"
        self.passes.append((latents, shifts, *(value for pair in kv for value in pair)))
        return self.unet(latents, shifts, kv)


def unet_calibration(fingerprint: str, models: Models, defaults: Mapping[str, Any]) -> Calibration:
    """Source of the samples for the UNet of a bundle with this ``fingerprint``."""
    return Calibration(f"{fingerprint} {RECIPE}", partial(unet_samples, models, defaults))


def unet_samples(models: Models, defaults: Mapping[str, Any], spec: StageSpec) -> list[tuple[Tensor, ...]]:
    """Inputs of the shapes of ``spec``: latents, shifts, then keys and values, in corrections of the first sentences of
    the package's examples, by ``models`` with the bundle's ``defaults``, the diffusion model working at that size.

    ``ValueError`` where these stories' pictures do not have that shape.
    """
    recorder = Recorder(models.corrector.unet)
    rows, guided = spec.inputs[0].shape[0], spec.inputs[2].shape[0] > spec.inputs[0].shape[0]
    options = make_options(
        strength=0.5,
        num_inference_steps=2 * STEPS,
        guidance_scale=None if guided or recorder.config.embeds_guidance else 1.0,
        correction_size=min(spec.inputs[0].shape[-2:]) * models.corrector.vae.downscale,
    ).resolved(defaults)
    stories = [StoryRequest(name, tuple(EXAMPLES[name][:SENTENCES]), seed) for seed, name in enumerate(STORIES)]
    recorded = Models(models.arm, models.tokenizer, replace(models.corrector, unet=recorder))
    for _ in SerialPipeline(recorded, stories, options, memory_maker(options.memory)()).frames(Clock()):
        pass
    found = [
        tuple(rows_of(value, range(story, story + rows), len(stories)) for value in inputs)
        for inputs in recorder.passes
        for story in range(0, len(stories), rows)
    ]
    drawn = StageSpec.of(spec.name, found[0])
    if drawn != spec:
        raise ValueError(f"{spec} cannot be calibrated: corrections of this bundle have other shapes, {drawn}")
    return found


def rows_of(value: Tensor, stories: Sequence[int], count: int) -> Tensor:
    """The part of ``stories`` (beyond ``count`` they begin again) in a tensor with a row for each of ``count``
    stories, or two (unconditional ones first), or one for all."""
    if len(value) == 1:
        return value
    return value.unflatten(0, (-1, count))[:, [story % count for story in stories]].flatten(0, 1)
