"""A masked correction is diffusers' StableDiffusionInpaintPipeline, of 4 and of 9 channels, given the same noise."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from diffusers.models.autoencoders import vae as diffusers_vae
from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_inpaint as diffusers_inpaint
from PIL import Image

from acdc.engine.constraints import FrameConstraints
from acdc.engine.models.diffusion.stable_diffusion import StableDiffusion
from acdc.engine.sdedit.correction import Correction
from acdc.engine.sdedit.pixels import to_uint8
from acdc.engine.sdedit.region import cut
from acdc.engine.utils.rng import Purpose
from tests.helpers.steered import HEIGHT, PROMPTS, SEEDS, WIDTH, blot, handed_out, networks, noises, options_of, pixels

MASKS = [blot(HEIGHT, WIDTH), blot(50, 61)[:, ::-1]]  # the second is resized


@pytest.fixture(scope="module", params=[4, 9])
def both(request, tmp_path_factory):
    """The corrector and diffusers' pipeline; the directory is the published layout."""
    path = tmp_path_factory.mktemp("sd")
    theirs = StableDiffusionInpaintPipeline(**networks(tmp_path_factory.mktemp("words"), in_channels=request.param))
    theirs.save_pretrained(path)
    theirs.set_progress_bar_config(disable=True)
    return StableDiffusion.from_directory(path), theirs


def theirs_of(pipeline, options, monkeypatch, noise, posterior, masked):
    used, from_noise = options.correction, options.correction.strength == 1.0
    encodes = pipeline.unet.config.in_channels == 4 or not from_noise
    monkeypatch.setattr(diffusers_vae, "randn_tensor", handed_out(*([posterior] if encodes else []), masked))
    monkeypatch.setattr(diffusers_inpaint, "randn_tensor", handed_out(noise))
    return pipeline(
        prompt=PROMPTS, image=(pixels() + 1) / 2, mask_image=[Image.fromarray(cut_to(mask)) for mask in MASKS],
        height=HEIGHT, width=WIDTH, strength=used.strength, num_inference_steps=used.num_inference_steps,
        guidance_scale=used.guidance_scale, eta=0.0, output_type="pt",
    ).images  # fmt: skip


def cut_to(mask):
    """Their processor takes masks of one size: of another one, what ours makes of it."""
    return mask if mask.shape == (HEIGHT, WIDTH) else cut(mask, (HEIGHT, WIDTH)).astype(np.uint8) * 255


@pytest.mark.long
@pytest.mark.parametrize(("strength", "steps", "guidance"), [(0.6, 5, 5.0), (0.6, 3, 1.0), (1.0, 4, 7.5)])
def test_it_is_the_published_pipeline(both, monkeypatch, strength, steps, guidance):
    corrector, pipeline = both
    options = options_of(strength=strength, num_inference_steps=steps, guidance_scale=guidance, paste_back=False)
    given = [FrameConstraints(mask=mask) for mask in MASKS]
    drawn = noises(corrector, options, Purpose.NOISE, Purpose.POSTERIOR, Purpose.MASKED)
    with torch.inference_mode():
        theirs = theirs_of(pipeline, options, monkeypatch, *drawn)
        correction = Correction(corrector, options)
        conditioning, _ = correction.condition(PROMPTS, given)
        ours = correction.run(pixels(), conditioning, SEEDS, 0, given)
    torch.testing.assert_close((ours + 1) / 2, theirs, rtol=0, atol=5e-5)


def test_a_mask_of_another_size_is_resized_as_theirs(both):
    """By LANCZOS, then cut at half."""
    mask = blot(50, 61)
    theirs = both[1].mask_processor.preprocess(Image.fromarray(mask), height=HEIGHT, width=WIDTH)
    assert np.array_equal(cut(mask, (HEIGHT, WIDTH)), theirs[0, 0].numpy() == 1)


def test_pixels_outside_of_the_mask_are_the_given_ones(both):
    corrector, _ = both
    options = options_of(strength=0.5, num_inference_steps=2)
    given = [FrameConstraints(mask=mask) for mask in MASKS]
    with torch.inference_mode():
        correction = Correction(corrector, options)
        conditioning, _ = correction.condition(PROMPTS, given)
        found = correction.run(pixels(), conditioning, SEEDS, 0, given)
    changed = to_uint8(found).astype(int) - to_uint8(pixels())
    for one, mask in zip(changed, MASKS, strict=True):
        inside = cut(mask, (HEIGHT, WIDTH))
        assert np.abs(one[~inside]).max() == 0
        assert np.abs(one[inside]).mean() > 5


def test_a_frame_without_a_mask_may_change_everywhere(both):
    """A UNet of 9 channels is then given a mask of ones; an ordinary one corrects as ever."""
    corrector, _ = both
    options, white = options_of(num_inference_steps=4), np.full((8, 8), 255, np.uint8)
    with torch.inference_mode():
        correction = Correction(corrector, options)
        found = []
        for given in ([FrameConstraints()] * 2, [FrameConstraints(mask=white)] * 2, []):
            conditioning, _ = correction.condition(PROMPTS, given)
            found.append(correction.run(pixels(), conditioning, SEEDS, 0, given))
    for one in found[1:]:
        torch.testing.assert_close(found[0], one, rtol=0, atol=1e-6)
