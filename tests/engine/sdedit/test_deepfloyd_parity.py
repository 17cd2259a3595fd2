"""Our corrections by DeepFloyd IF are diffusers' IFImg2ImgPipeline and IFImg2ImgSuperResolutionPipeline, given the same
noise and text states."""

from copy import deepcopy
from dataclasses import replace

import diffusers
import pytest
import torch
from diffusers.pipelines.deepfloyd_if import pipeline_if_img2img, pipeline_if_img2img_superresolution
from diffusers.schedulers import scheduling_ddpm

from acdc.engine.models.diffusion.deepfloyd.model import FACTOR, from_directories, load_stage, load_text, upscaling_of
from acdc.engine.models.diffusion.schedule import make_schedule
from acdc.engine.models.diffusion.scheduler_config import SchedulerConfig, alphas_cumprod
from acdc.engine.models.diffusion.thresholding import quantile
from acdc.engine.options import make_options
from acdc.engine.sdedit.correct import step_on
from acdc.engine.sdedit.correction import OF_STAGE_ONE, Correction
from acdc.engine.utils.rng import Purpose
from tests.helpers.small_if import MOST, PROMPTS, largest, scheduler, their_unet, write_stage
from tests.helpers.steered import handed_out

BOUND = 5e-5  # of pictures in 0..1
SEEDS, INDEX = [5, 6], 2
RUNS = [(0.5, 10, 7.0, 1), (0.3, 10, 1.0, 0), (1.0, 3, 4.0, 0), (0.7, 7, 10.0, 1)]  # strength, steps, guidance, size
SIZES = {"stage I": [(8, 8), (16, 24)], "stage II": [(32, 32), (16, 40)]}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("if")
    return {"II": write_stage(root / "II", "stage II"), "I": write_stage(root / "I", "stage I", text=False)}


@pytest.fixture(scope="module")
def cascade(folders):
    return from_directories(folders["II"], folders["I"])


def pictures(height, width):
    return torch.rand((2, 3, height, width), generator=torch.Generator().manual_seed(1)) * 2 - 1


def options_of(strength, steps, guidance, **others):
    chosen = {"strength": strength, "num_inference_steps": steps, "guidance_scale": guidance, "negative_prompt": "fog"}
    return make_options(**chosen, **others)


def run_theirs(pipeline_class, stage, monkeypatch, correction, draws, **inputs):
    """A pipeline of diffusers on our text states, with our ``draws`` and the steps' noise."""
    parts = {"tokenizer": None, "text_encoder": None, "safety_checker": None, "feature_extractor": None}
    parts |= {"watermarker": None, "unet": their_unet(stage), "scheduler": scheduler(stage)}
    if stage == "stage II":
        parts["image_noising_scheduler"] = scheduler(stage)
    pipeline = pipeline_class(**parts, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    like = inputs.get("original_image", inputs["image"])
    steps = correction.step_noise(like, SEEDS, INDEX)
    source = handed_out(*draws, *([] if steps is None else steps.unbind(0)))
    for module in (pipeline_if_img2img, pipeline_if_img2img_superresolution, scheduling_ddpm):
        monkeypatch.setattr(module, "randn_tensor", source)
    context, _ = correction.corrector.embed(PROMPTS)
    used = correction.options
    return pipeline(
        prompt_embeds=context, negative_prompt_embeds=correction.null_context.expand(2, -1, -1), output_type="pt",
        strength=used.strength, num_inference_steps=used.num_inference_steps, guidance_scale=used.guidance_scale,
        **inputs,
    ).images.clamp(-1, 1)  # fmt: skip


@pytest.mark.parametrize(("strength", "steps", "guidance", "size"), RUNS)
def test_stage_one_is_img2img(cascade, monkeypatch, strength, steps, guidance, size):
    options, pixels = options_of(strength, steps, guidance), pictures(*SIZES["stage I"][size])
    correction = Correction(cascade.stage_one, options)
    wanted = run_theirs(
        diffusers.IFImg2ImgPipeline, "stage I", monkeypatch, correction,
        [correction.noise(pixels, SEEDS, INDEX)], image=pixels,
    )  # fmt: skip
    with torch.no_grad():
        found = correction.run(pixels, correction.condition(PROMPTS)[0], SEEDS, INDEX)
    assert largest(found, wanted) / 2 <= BOUND
    assert largest(found, pixels) > 0.01


@pytest.mark.parametrize(("strength", "steps", "guidance", "size"), RUNS)
def test_stage_two_is_super_resolution(cascade, monkeypatch, strength, steps, guidance, size):
    options, pixels = options_of(strength, steps, guidance), pictures(*SIZES["stage II"][size])
    correction = Correction(replace(cascade, stage_one=None), options)
    noises = [correction.noise(pixels, SEEDS, INDEX, purpose) for purpose in (Purpose.NOISE, Purpose.UPSCALED)]
    wanted = run_theirs(
        diffusers.IFImg2ImgSuperResolutionPipeline, "stage II", monkeypatch, correction, noises,
        original_image=pixels, image=correction.upscaler.shrink(pixels), noise_level=250,
    )  # fmt: skip
    with torch.no_grad():
        found = correction.run(pixels, correction.condition(PROMPTS)[0], SEEDS, INDEX)
    assert largest(found, wanted) / 2 <= BOUND
    assert largest(found, pixels) > 0.01


def test_the_cascade_is_one_pipeline_after_the_other(cascade, monkeypatch):
    """Stage I corrects a quarter of the size, with noise of its own; stage II reads what comes of it."""
    options, pixels = options_of(0.5, 6, 7.0), pictures(32, 32)
    correction = Correction(cascade, options)
    first, small = correction.first, correction.upscaler.shrink(pixels)
    drawn = [first.noise(small, SEEDS, INDEX)]
    corrected = run_theirs(diffusers.IFImg2ImgPipeline, "stage I", monkeypatch, first, drawn, image=small)
    noises = [correction.noise(pixels, SEEDS, INDEX, purpose) for purpose in (Purpose.NOISE, Purpose.UPSCALED)]
    wanted = run_theirs(
        diffusers.IFImg2ImgSuperResolutionPipeline, "stage II", monkeypatch, correction, noises,
        original_image=pixels, image=corrected, noise_level=250,
    )  # fmt: skip
    conditioning, _ = correction.condition(PROMPTS)
    with torch.no_grad():
        found = correction.run(pixels, conditioning, SEEDS, INDEX)
        alone = Correction(replace(cascade, stage_one=None), options)
        without = alone.run(pixels, conditioning, SEEDS, INDEX)
    assert largest(found, wanted) / 2 <= BOUND
    assert largest(found, without) > 1e-3


def test_no_two_draws_of_a_frame_share_noise(cascade):
    correction, pixels = Correction(cascade, options_of(0.5, 4, 1.0)), pictures(32, 32)
    first = correction.first
    drawn = [correction.noise(pixels, SEEDS, INDEX, purpose) for purpose in (Purpose.NOISE, Purpose.UPSCALED)]
    drawn += [first.noise(pixels, SEEDS, INDEX), *correction.step_noise(pixels, SEEDS, INDEX)]
    drawn += [*first.step_noise(pixels, SEEDS, INDEX)]
    values = torch.stack(drawn).flatten(1)
    correlation = torch.corrcoef(values) - torch.eye(len(values))
    assert correlation.abs().max() < 0.1
    assert set(OF_STAGE_ONE.values()).isdisjoint(OF_STAGE_ONE)


@torch.no_grad()
def test_frames_do_not_depend_on_their_neighbours(cascade):
    options, pixels = options_of(0.5, 4, 3.0), pictures(32, 32).double()
    double = Correction(in_float64(cascade), options)
    both = double.run(pixels, double.condition(PROMPTS)[0], SEEDS, [0, 3])
    for row, number in enumerate([0, 3]):
        own = slice(row, row + 1)
        alone = double.run(pixels[own], double.condition(PROMPTS[own])[0], SEEDS[own], number)
        assert largest(alone, both[own]) <= 1e-10


def in_float64(model):
    unet, text = (network.double() for network in deepcopy((model.unet, model.text_encoder)))
    first = None if model.stage_one is None else in_float64(model.stage_one)
    return replace(model, unet=unet, text_encoder=text, stage_one=first)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("stage", MOST)
@pytest.mark.parametrize("variance", ["learned_range", "fixed_small", "fixed_small_log", "fixed_large"])
def test_a_ddpm_step_is_theirs(monkeypatch, stage, variance, spacing):
    theirs = scheduler(stage, variance_type=variance, timestep_spacing=spacing)
    config = SchedulerConfig.from_dict(dict(theirs.config) | {"_class_name": "DDPMScheduler"})
    generator = torch.Generator().manual_seed(0)
    channels = 6 if variance == "learned_range" else 3
    for steps in (3, 7, 50):
        theirs.set_timesteps(steps)
        schedule = make_schedule(config, steps)
        assert [int(step.timestep) for step in schedule.steps] == theirs.timesteps.tolist()
        for number in {0, 1, steps // 2, steps - 1}:
            step = schedule.steps[number]
            x, fresh, *rest = torch.randn((4, 2, 3, 8, 8), generator=generator, dtype=torch.float64)
            prediction = torch.cat(rest, dim=1)[:, :channels]
            monkeypatch.setattr(scheduling_ddpm, "randn_tensor", handed_out(fresh))
            wanted = theirs.step(prediction, int(step.timestep), x).prev_sample
            found, _ = step_on(config, x, prediction, 1.0, step, fresh)
            assert largest(found, wanted) <= 1e-9 * max(1, wanted.abs().max())
            assert bool(step.update.fresh) == (step.timestep > 0)


@pytest.mark.parametrize("stage", MOST)
def test_a_ddim_step_is_theirs(stage):
    """With the noise as predicted, not as what is left of it after thresholding; the variance is dropped."""
    raw = {name: value for name, value in scheduler(stage).config.items() if not name.startswith("_")}
    raw = {name: value for name, value in raw.items() if name not in ("variance_type", "rescale_betas_zero_snr")}
    theirs = diffusers.DDIMScheduler(**raw, set_alpha_to_one=True)
    config = SchedulerConfig.from_dict(dict(scheduler(stage).config) | {"_class_name": "DDPMScheduler"}, "ddim")
    theirs.alphas_cumprod, theirs.final_alpha_cumprod = alphas_cumprod(config), torch.tensor(1.0, dtype=torch.float64)
    theirs.set_timesteps(20)
    generator = torch.Generator().manual_seed(0)
    for step in make_schedule(config, 20).steps:
        x, *rest = torch.randn((3, 2, 3, 8, 8), generator=generator, dtype=torch.float64)
        prediction = torch.cat(rest, dim=1)
        wanted = theirs.step(prediction[:, :3], int(step.timestep), x).prev_sample
        assert largest(step_on(config, x, prediction, 1.0, step)[0], wanted) <= 1e-9 * max(1, wanted.abs().max())


@pytest.mark.parametrize(("size", "ratio"), [(1, 0.5), (2, 0.95), (192, 0.95), (193, 0.995), (12288, 0.95), (50, 1.0)])
def test_the_quantile_is_torchs(size, ratio):
    values = torch.randn((3, size), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert largest(quantile(values, ratio), values.quantile(ratio, dim=-1)) <= 1e-12


def test_noise_levels_are_the_published_ones():
    for level, alpha in ((0, 0.999959), (250, 0.845888), (999, 2.4e-9)):
        found = upscaling_of({**scheduler("stage II").config, "_class_name": "DDPMScheduler"}, level)
        assert found.factor == FACTOR
        assert found.alpha == pytest.approx(alpha, rel=0.02 if level == 999 else 1e-5)


@torch.no_grad()
def test_a_stronger_noise_level_leaves_less_of_the_small_picture(folders):
    """At the last level it is all but noise: the frame's small picture decides nothing any more."""
    options, pixels = options_of(0.5, 2, 1.0), pictures(32, 32)
    other = pixels.flip(-1)
    changes = []
    for level in (0, 250, 999):
        correction = Correction(from_directories(folders["II"], noise_level=level), options)
        one, two = (correction.upscaled(given, None, SEEDS, INDEX, ()) for given in (pixels, other))
        changes.append(largest(one, two))
    assert changes[0] > changes[1] > 0.3
    assert changes[2] < 1e-3


def test_a_stage_is_refused_in_the_others_place(folders):
    text = load_text([folders["II"]], "cpu", torch.float32)
    with pytest.raises(ValueError, match=r"I/unet/config.json: in_channels=3, expected 6, stage II; stage I goes"):
        load_stage(folders["I"], text, True)
    with pytest.raises(ValueError, match=r"II/unet/config.json: in_channels=6, expected 3, stage I$"):
        from_directories(folders["II"], folders["II"])
