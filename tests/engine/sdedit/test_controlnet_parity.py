"""A correction with a ControlNet is diffusers' StableDiffusionControlNetImg2ImgPipeline, given the same noise."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionControlNetImg2ImgPipeline
from diffusers.models.autoencoders import vae as diffusers_vae
from diffusers.pipelines.controlnet import pipeline_controlnet_img2img as diffusers_control
from PIL import Image

from acdc.engine.constraints import Constraints, FrameConstraints
from acdc.engine.models.diffusion.stable_diffusion import StableDiffusion
from acdc.engine.sdedit.constrain import Constrainer
from acdc.engine.sdedit.correction import Correction
from acdc.engine.sdedit.steering import scales_of_steps
from acdc.engine.utils.rng import Purpose
from tests.helpers.steered import (
    HEIGHT,
    PROMPTS,
    SEEDS,
    WIDTH,
    blot,
    handed_out,
    networks,
    noises,
    options_of,
    pixels,
    small_controlnet,
)  # fmt: skip

DEPTHS = [np.stack([blot(HEIGHT, WIDTH)] * 3, -1), np.stack([blot(HEIGHT, WIDTH)[::-1]] * 3, -1)]
GIVEN = [FrameConstraints(depth=depth) for depth in DEPTHS]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The corrector with a ControlNet of a folder of its own, and diffusers' pipeline."""
    path, control, words = (tmp_path_factory.mktemp(name) for name in ("sd", "control", "words"))
    parts, network = networks(words), small_controlnet()
    theirs = StableDiffusionControlNetImg2ImgPipeline(**parts, controlnet=network)
    plain = {name: part for name, part in parts.items() if name != "requires_safety_checker"}
    from diffusers import StableDiffusionPipeline

    StableDiffusionPipeline(**plain, requires_safety_checker=False).save_pretrained(path)
    network.save_pretrained(control)
    theirs.set_progress_bar_config(disable=True)
    return StableDiffusion.from_directory(path).steered(control), theirs


def ours_of(corrector, options, given=GIVEN):
    correction = Correction(corrector, options)
    conditioning, _ = correction.condition(PROMPTS, given)
    return correction.run(pixels(), conditioning, SEEDS, 0, given)


@pytest.mark.long
@pytest.mark.parametrize(
    "chosen",
    [
        {"controlnet_scale": 0.8},
        {"controlnet_scale": 1.7, "guidance_scale": 1.0},
        {"controlnet_start": 0.2, "controlnet_end": 0.7},
        {"guess_mode": True},
        {"guess_mode": True, "guidance_scale": 1.0, "controlnet_end": 0.5},
    ],
)
@torch.inference_mode()
def test_it_is_the_published_pipeline(both, monkeypatch, chosen):
    corrector, pipeline = both
    options = options_of(strength=0.6, num_inference_steps=10, **chosen)
    noise, posterior = noises(corrector, options, Purpose.NOISE, Purpose.POSTERIOR)
    monkeypatch.setattr(diffusers_vae, "randn_tensor", handed_out(posterior))
    monkeypatch.setattr(diffusers_control, "randn_tensor", handed_out(noise))
    used, steering = options.correction, options.constraint
    theirs = pipeline(
        prompt=PROMPTS, image=(pixels() + 1) / 2, control_image=[Image.fromarray(depth) for depth in DEPTHS],
        height=HEIGHT, width=WIDTH, strength=used.strength, num_inference_steps=used.num_inference_steps,
        guidance_scale=used.guidance_scale, guess_mode=steering.guess_mode, eta=0.0, output_type="pt",
        controlnet_conditioning_scale=steering.controlnet_scale,
        control_guidance_start=steering.controlnet_start, control_guidance_end=steering.controlnet_end,
    ).images  # fmt: skip
    torch.testing.assert_close((ours_of(corrector, options) + 1) / 2, theirs, rtol=0, atol=5e-5)


@pytest.mark.long
@torch.inference_mode()
def test_depth_changes_the_picture_and_scale_0_does_not(both):
    corrector, _ = both
    plain = ours_of(corrector, options_of(num_inference_steps=4), [FrameConstraints()] * 2)
    off = ours_of(corrector, options_of(num_inference_steps=4, controlnet_scale=0.0))
    steered = ours_of(corrector, options_of(num_inference_steps=4))
    assert torch.equal(plain, off)
    assert (plain - steered).abs().mean() > 0.01


@torch.inference_mode()
def test_a_mask_and_a_depth_map_hold_together(both):
    corrector, _ = both
    given = [FrameConstraints(mask=blot(HEIGHT, WIDTH), depth=depth) for depth in DEPTHS]
    found = ours_of(corrector, options_of(num_inference_steps=4), given)
    alone = ours_of(corrector, options_of(num_inference_steps=4), [FrameConstraints(mask=blot(HEIGHT, WIDTH))] * 2)
    changed = (found != pixels()).any(1)
    assert not changed[:, :4, :4].any()
    assert changed[:, HEIGHT // 2, WIDTH // 2].all()
    assert not torch.allclose(found, alone)


def test_steps_that_count():
    assert scales_of_steps(6, 1.5, 0.2, 0.7) == (0, 0, 1.5, 1.5, 0, 0)
    assert scales_of_steps(3, 1.0, 0.0, 1.0) == (1, 1, 1)


def test_depth_without_a_controlnet_is_refused(both):
    from dataclasses import replace

    corrector = replace(both[0], controlnet=None)
    options = options_of()
    constrainer = Constrainer(corrector, options, Correction(corrector, options).schedule)
    with pytest.raises(ValueError, match="there is no ControlNet; give --controlnet DIR"):
        constrainer.check(Constraints(depth=DEPTHS[0]), 2, 16)
