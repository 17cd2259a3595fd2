"""Corrections in few steps are diffusers' pipelines, given the same noise: LCM (both rules), Turbo, Lightning, TCD, and
DPM-Solver++ for ordinary models. Latents have an odd size."""

from dataclasses import replace
from types import SimpleNamespace

import diffusers
import pytest
import torch
from diffusers.pipelines.latent_consistency_models import pipeline_latent_consistency_img2img
from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_img2img
from diffusers.schedulers import scheduling_euler_ancestral_discrete, scheduling_lcm, scheduling_tcd
from transformers import CLIPTextConfig, CLIPTextModel

from acdc.engine.models.diffusion.schedule import add_noise
from acdc.engine.models.diffusion.scheduler_classes import CLASS_OF
from acdc.engine.models.diffusion.stable_diffusion import StableDiffusion
from acdc.engine.options import make_options
from acdc.engine.sdedit.correct import decode_latents, denoise
from acdc.engine.sdedit.correction import Correction
from tests.helpers.published import END, TEXT, VAES, load_theirs, randomise, write_tokenizer

PROMPTS, SEEDS = ["Benny the beagle in a vibrant garden.", "the garden"], [5, 6]
UNET = {
    "block_out_channels": [16, 32],
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 24,
    "attention_head_dim": 2,
}
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
PIXELS = torch.empty(2, 3, 72, 104)  # latents of 9 x 13
TOLERANCE = 5e-5  # of pictures in 0..1


def pair(path, pipeline, unet):
    """diffusers' pipeline of a small random model, and the directory that it writes as ours."""
    tokenizer = path / "made_from"
    tokenizer.mkdir()
    write_tokenizer(tokenizer, pad=END)
    theirs = pipeline(
        vae=randomise(diffusers.AutoencoderKL(**VAES["four levels"])),
        text_encoder=randomise(CLIPTextModel(CLIPTextConfig(**TEXT))),
        tokenizer=load_theirs(tokenizer),
        unet=randomise(diffusers.UNet2DConditionModel(**UNET | unet, sample_size=16)),
        scheduler=diffusers.LCMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    theirs.set_progress_bar_config(disable=True)
    theirs.save_pretrained(path / "written")
    return theirs, StableDiffusion.from_directory(path / "written")


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory):
    return pair(tmp_path_factory.mktemp("ordinary"), diffusers.StableDiffusionImg2ImgPipeline, {})


@pytest.fixture(scope="module")
def distilled(tmp_path_factory):
    """As ``SimianLuo/LCM_Dreamshaper_v7`` is published: its UNet embeds the scale of guidance."""
    kind = diffusers.LatentConsistencyModelImg2ImgPipeline
    return pair(tmp_path_factory.mktemp("distilled"), kind, {"time_cond_proj_dim": 32})


def check(models, monkeypatch, scheduler, options, **how):
    """Pictures of the pipeline and ours, from the same latents with the same noise."""
    pipeline, corrector = models
    pipeline.scheduler = scheduler
    config = {**scheduler.config, "_class_name": type(scheduler).__name__}
    correction = Correction(replace(corrector, scheduler_config=config), options)
    noise, fresh = correction.noise(PIXELS, SEEDS, 0), correction.step_noise(PIXELS, SEEDS, 0)
    latents = torch.randn(noise.shape, generator=torch.Generator().manual_seed(0))
    start = iter([noise])
    steps = iter([] if fresh is None else [*fresh, torch.zeros_like(noise)])  # ancestral asks for noise of variance 0
    for module in (pipeline_stable_diffusion_img2img, pipeline_latent_consistency_img2img):
        monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: next(start))
    for module in (scheduling_lcm, scheduling_tcd, scheduling_euler_ancestral_discrete):
        monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: next(steps))
    used = options.correction
    theirs = pipeline(
        prompt=PROMPTS, image=latents, strength=used.strength, num_inference_steps=used.num_inference_steps,
        guidance_scale=used.guidance_scale, output_type="pt", **how,
    ).images  # fmt: skip
    with torch.inference_mode():
        conditioning, _ = correction.condition(PROMPTS)
        started = add_noise(latents, noise, correction.schedule.start.alpha)
        table = correction.table
        shown = denoise(corrector.unet, started, conditioning, correction.schedule, table, fresh)
        ours = decode_latents(corrector.vae, shown)
    assert theirs.std() > 0.1, "not all of one colour"
    torch.testing.assert_close((ours + 1) / 2, theirs, rtol=0, atol=TOLERANCE)
    return SimpleNamespace(conditioning=conditioning, schedule=correction.schedule)


@pytest.mark.long
@pytest.mark.parametrize("strength", [0.4, 0.5, 0.6, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_a_distilled_lcm(distilled, monkeypatch, strength, steps):
    options = make_options(strength=strength, num_inference_steps=steps, guidance_scale=8.5)
    ran = check(distilled, monkeypatch, diffusers.LCMScheduler(), options)
    assert len(ran.schedule.steps) == steps
    assert not ran.conditioning.guided, "one pass"
    assert len(ran.conditioning.kv[0][0]) == len(PROMPTS)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_a_distilled_lcm_hears_its_guidance(distilled, monkeypatch, guidance):
    options = make_options(num_inference_steps=2, strength=0.5, guidance_scale=guidance)
    check(distilled, monkeypatch, diffusers.LCMScheduler(), options)


CASES = {
    "LCM-LoRA, 4 steps": ("lcm", {}, 0.5, 4, 1.0, {}),
    "LCM-LoRA, guided": ("lcm", {}, 0.6, 8, 2.0, {}),
    "SD-Turbo, its example": ("euler", {"timestep_spacing": "trailing", "steps_offset": 1}, 0.5, 2, 0.0, {}),
    "SD-Turbo, 4 steps": ("euler", {"timestep_spacing": "trailing"}, 0.5, 4, 1.0, {}),
    "Lightning, 8 steps": ("euler", {"timestep_spacing": "trailing"}, 0.4, 8, 1.0, {}),
    "Lightning, 1 step": ("euler", {"timestep_spacing": "trailing", "prediction_type": "sample"}, 1.0, 1, 1.0, {}),
    "Euler, leading": ("euler", {"timestep_spacing": "leading", "steps_offset": 1}, 0.6, 7, 5.0, {}),
    "Euler, fractions": ("euler", {"timestep_spacing": "linspace"}, 0.5, 6, 5.0, {}),
    "Euler ancestral": ("euler-ancestral", {"timestep_spacing": "trailing"}, 0.75, 4, 1.0, {}),
    "Hyper-SD, DDIM": ("ddim", {"timestep_spacing": "trailing", "clip_sample": False}, 0.5, 8, 1.0, {}),
    "TCD": ("tcd", {}, 0.5, 4, 1.0, {"eta": 0.3}),
    "TCD, all noise": ("tcd", {}, 1.0, 4, 1.0, {"eta": 1.0}),
    "DPM-Solver++": ("dpm-solver++", {}, 0.5, 20, 7.5, {}),
    "DPM-Solver++, 8 steps, v": (
        "dpm-solver++",
        {"prediction_type": "v_prediction", "timestep_spacing": "trailing"},
        0.6,
        8,
        7.5,
        {},
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_an_ordinary_network(ordinary, monkeypatch, case):
    name, fields, strength, steps, guidance, how = CASES[case]
    options = make_options(strength=strength, num_inference_steps=steps, guidance_scale=guidance, gamma=how.get("eta"))
    ran = check(ordinary, monkeypatch, getattr(diffusers, CLASS_OF[name])(**NOISE | fields), options, **how)
    assert len(ran.schedule.steps) == int(steps * strength)
