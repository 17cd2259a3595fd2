"""Our correction is diffusers' StableDiffusionImg2ImgPipeline, given the same noise (the shipped directory, fp32)."""

from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.autoencoders import vae as diffusers_vae
from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_img2img as diffusers_img2img
from transformers import CLIPTextConfig, CLIPTextModel

from acdc.engine.loading.bundle import find_bundle
from acdc.engine.models.diffusion.schedule import add_noise
from acdc.engine.models.diffusion.stable_diffusion import StableDiffusion
from acdc.engine.options import make_options
from acdc.engine.sdedit.correct import decode_latents, denoise
from acdc.engine.sdedit.correction import Correction
from acdc.engine.utils.rng import Purpose, make_keys, normal
from tests.helpers.published import END, TEXT, UNETS, VAES, load_theirs, randomise, write_tokenizer

PROMPTS = ["Benny the beagle in a vibrant garden. Benny jumped up.", "Luna the fox in a forest. Luna slept."]
SEEDS = [5, 6]


@pytest.fixture(scope="module", params=["tiny", "storyworld", "sd1", "sd2"])
def directory(request, tmp_path_factory) -> Path:
    from tests.helpers.tiny import tiny_bundle

    if request.param.startswith("sd"):
        return stable_diffusion(request.param, tmp_path_factory.mktemp(request.param))
    if request.param == "tiny":
        return tiny_bundle(tmp_path_factory.mktemp("tiny")) / "corrector"
    return find_bundle("storyworld").parts["corrector"].folders["path"]


# What is particular to each family: SD 1.x is CLIP's text encoder and 1x1 convolutions around a transformer, noise
# predicted; SD 2.x OpenCLIP's encoder (GELU, a projection nobody uses) and padding with "!", linear layers, heads by
# level, v predicted. A derivative may name another scheduler.
TEXTS = {
    "sd1": {"hidden_size": 24, "projection_dim": 24},
    "sd2": {"hidden_size": 20, "projection_dim": 16, "hidden_act": "gelu"},
}
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def stable_diffusion(family: str, path: Path) -> Path:
    """A small random model of the family, written by diffusers."""
    tokenizer = path / "made_from"
    tokenizer.mkdir()
    write_tokenizer(tokenizer, pad="!" if family == "sd2" else END)
    schedulers = {
        "sd1": PNDMScheduler(**SCHEDULE, skip_prk_steps=True),
        "sd2": DDIMScheduler(**SCHEDULE, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False),
    }
    StableDiffusionPipeline(
        vae=randomise(AutoencoderKL(**VAES["four levels"])),
        text_encoder=randomise(CLIPTextModel(CLIPTextConfig(**TEXT | TEXTS[family]))),
        tokenizer=load_theirs(tokenizer),
        unet=randomise(UNet2DConditionModel(**UNETS[f"{family}-like"], sample_size=64)),
        scheduler=schedulers[family],
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def pipeline(directory):
    loaded = StableDiffusionImg2ImgPipeline.from_pretrained(
        directory, torch_dtype=torch.float32, safety_checker=None, local_files_only=True
    )
    # A scheduler that knows no clipping does not clip; diffusers' DDIM does by default.
    clips = loaded.scheduler.config.get("clip_sample", False)
    loaded.scheduler = DDIMScheduler.from_pretrained(directory, subfolder="scheduler", clip_sample=clips)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def corrector(directory):
    return StableDiffusion.from_directory(directory)


def draws(*tensors):
    """A stand-in for ``randn_tensor`` that hands out our tensors in the order in which they are asked for."""
    queue = list(tensors)

    def randn_tensor(shape, **_):
        noise = queue.pop(0)
        assert tuple(shape) == tuple(noise.shape)
        return noise

    return randn_tensor


def noise_of(corrector, size, purpose):
    side = size // corrector.vae.downscale
    return normal(make_keys(SEEDS, 0, purpose), (corrector.vae.config.latent_channels, side, side))


def run_pipeline(pipeline, image, options):
    used = options.correction
    return pipeline(
        prompt=PROMPTS, image=image, strength=used.strength, num_inference_steps=used.num_inference_steps,
        guidance_scale=used.guidance_scale, negative_prompt=[used.negative_prompt] * len(PROMPTS), eta=0.0,
        output_type="pt",
    ).images  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(("strength", "steps", "guidance"), [(0.5, 20, 5.0), (0.3, 10, 1.0), (1.0, 4, 7.5)])
def test_same_latents_and_noise_give_the_same_pictures(pipeline, corrector, monkeypatch, strength, steps, guidance):
    options = make_options(strength=strength, num_inference_steps=steps, guidance_scale=guidance, negative_prompt="fog")
    noise = noise_of(corrector, 128, Purpose.NOISE)
    latents = torch.randn(noise.shape, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(diffusers_img2img, "randn_tensor", draws(noise))
    theirs = run_pipeline(pipeline, latents, options)

    correction = Correction(corrector, options)
    with torch.inference_mode():
        conditioning, _ = correction.condition(PROMPTS)
        start = add_noise(latents, noise, correction.schedule.start.alpha)
        ours = decode_latents(corrector.vae, denoise(corrector.unet, start, conditioning, correction.schedule))
    torch.testing.assert_close((ours + 1) / 2, theirs, rtol=0, atol=1e-3)


@pytest.mark.long
def test_posterior_sampling_from_raw_pixels(pipeline, corrector, monkeypatch):
    options = make_options(num_inference_steps=10, strength=0.5, guidance_scale=5.0, sample_posterior=True)
    pixels = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1)) * 2 - 1
    posterior, noise = (noise_of(corrector, 128, purpose) for purpose in (Purpose.POSTERIOR, Purpose.NOISE))
    # The pipeline encodes (and draws the posterior) first, then draws the noise; a batch is encoded at once.
    monkeypatch.setattr(diffusers_vae, "randn_tensor", draws(posterior))
    monkeypatch.setattr(diffusers_img2img, "randn_tensor", draws(noise))
    theirs = run_pipeline(pipeline, (pixels + 1) / 2, options)

    correction = Correction(corrector, options)
    with torch.inference_mode():
        conditioning, _ = correction.condition(PROMPTS)
        ours = correction.run(pixels, conditioning, SEEDS, 0)
    torch.testing.assert_close((ours + 1) / 2, theirs, rtol=0, atol=1e-3)
