"""AnimateDiff from its two directories: what loads, how damage is named, and clips corrected as diffusers does it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers
from diffusers.models.autoencoders import vae as diffusers_vae
from diffusers.pipelines.animatediff import pipeline_animatediff_video2video as video2video
from safetensors.torch import load_file, save_file
from torch import Tensor

from acdc.compile.backends import compile_stage
from acdc.compile.cache import PlanCache
from acdc.compile.capture import capture_hazards
from acdc.compile.spec import StageSpec
from acdc.engine.diffusion import SchedulerConfig
from acdc.engine.models.corrector.animatediff import AnimateDiff
from acdc.engine.models.corrector.stable_diffusion import StableDiffusion
from acdc.engine.models.tokenizer.vqgan import VQGAN
from acdc.engine.planned import PlannedUNet
from acdc.engine.rng import Purpose
from acdc.engine.stages.condition import Correction
from acdc.engine.stages.correct import correct_clip
from acdc.engine.stages.whole import WholeCorrection
from acdc.engine.story import StoryOptions
from tests.motion import adapter_of
from tests.published import TEXT, UNETS, VAES, close, load_theirs, randomise

PROMPTS, SEEDS = ["a beagle in a garden", "the fox sat"], [5, 6]
SIDE, FRAMES = 32, 4
STABLE_DIFFUSION = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> tuple[Path, Any]:
    theirs = diffusers.StableDiffusionPipeline(
        vae=randomise(diffusers.AutoencoderKL(**VAES["four levels"])),
        text_encoder=randomise(transformers.CLIPTextModel(transformers.CLIPTextConfig(**TEXT))),
        tokenizer=load_theirs(tokenizer_folder),
        unet=randomise(diffusers.UNet2DConditionModel(**UNETS["sd1-like"])),
        scheduler=diffusers.PNDMScheduler(**STABLE_DIFFUSION),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    path = tmp_path_factory.mktemp("base")
    theirs.save_pretrained(str(path))
    return path, theirs


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    theirs = adapter_of("v1-5-2-like")
    path = tmp_path_factory.mktemp("adapter")
    theirs.save_pretrained(str(path))
    return path, theirs


@pytest.fixture(scope="module")
def corrector(base: tuple[Path, Any], adapter: tuple[Path, Any]) -> AnimateDiff:
    return AnimateDiff.from_directory(base[0], adapter=adapter[0])


@pytest.fixture
def copy(adapter: tuple[Path, Any], tmp_path: Path) -> Path:
    return Path(shutil.copytree(adapter[0], tmp_path / "adapter"))


# --- loading ---


def test_directories_written_by_diffusers_load(base: Any, adapter: Any, corrector: AnimateDiff) -> None:
    state = corrector.unet.state_dict()
    wanted = base[1].unet.state_dict() | adapter[1].state_dict()
    assert state.keys() == wanted.keys()
    assert all(torch.equal(state[name], value) for name, value in wanted.items())
    assert corrector.unet.adapter_state().keys() == adapter[1].state_dict().keys()
    assert corrector.max_frames == 8
    assert not any(p.requires_grad for p in corrector.unet.parameters())
    assert not corrector.unet.training


def test_adapter_beside_the_base(base: Any, adapter: Any, corrector: AnimateDiff, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(base[0], tmp_path / "whole"))
    shutil.copytree(adapter[0], whole / "motion_adapter")
    loaded = AnimateDiff.from_directory(whole, "cpu", torch.float64)
    found = loaded.unet.state_dict()
    assert all(torch.equal(found[name], value.double()) for name, value in corrector.unet.state_dict().items())
    assert {p.dtype for m in (loaded.unet, loaded.vae, loaded.text_encoder) for p in m.parameters()} == {torch.float64}


WEIGHTS = "diffusion_pytorch_model.safetensors"


def resave(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], name: str = WEIGHTS) -> None:
    state = change(load_file(folder / WEIGHTS))
    (folder / WEIGHTS).unlink()
    save_file({k: v.contiguous() for k, v in state.items()}, folder / name)


def test_adapter_in_half_precision_and_without_tables(base: Any, copy: Path, corrector: AnimateDiff) -> None:
    """Only the fp16 variant is there, and it lacks the tables of positions, which follow from the config."""

    def early(state: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.half() for name, value in state.items() if not name.endswith("pos_embed.pe")}

    resave(copy, early, "diffusion_pytorch_model.fp16.safetensors")
    loaded, wanted = AnimateDiff.from_directory(base[0], adapter=copy).unet.state_dict(), corrector.unet.state_dict()
    for name, value in corrector.unet.adapter_state().items():
        rounded = value if name.endswith("pos_embed.pe") else value.half().float()
        assert torch.equal(loaded[name], rounded), name
    assert torch.equal(loaded["conv_in.weight"], wanted["conv_in.weight"])


def test_schedule_is_the_published_one_unless_the_adapter_brings_its_own(
    base: Any, copy: Path, corrector: AnimateDiff
) -> None:
    wanted = diffusers.DDIMScheduler.from_pretrained(
        base[0], subfolder="scheduler", beta_schedule="linear", timestep_spacing="linspace", steps_offset=1,
        clip_sample=False,
    )  # fmt: skip
    wanted.set_timesteps(25)
    schedule = Correction(corrector, options(num_inference_steps=25, strength=1.0)).schedule
    assert [step.timestep for step in schedule.steps] == wanted.timesteps.tolist()
    found, theirs = [step.alpha for step in schedule.steps], wanted.alphas_cumprod[wanted.timesteps].tolist()
    assert found == pytest.approx(theirs, rel=1e-4)
    diffusers.DDIMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=False).save_pretrained(copy / "scheduler")
    own = AnimateDiff.from_directory(base[0], adapter=copy).scheduler_config
    assert SchedulerConfig.from_dict(own) == SchedulerConfig(beta_schedule="squaredcos_cap_v2", clip_sample=False)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


NORM = "mid_block.motion_modules.0.norm.weight"
DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (lambda d: shutil.rmtree(d), "no such directory"),
    "config missing": (lambda d: (d / "config.json").unlink(), r"config\.json: no such file"),
    "another model": (lambda d: edit(d / "config.json", _class_name="UNetMotionModel"), "_class_name='UNetMotion"),
    "config refused": (lambda d: edit(d / "config.json", conv_in_channels=9), "conv_in_channels=9 is not supported"),
    "another UNet": (
        lambda d: edit(d / "config.json", block_out_channels=[16, 32, 48, 64]),
        r"config\.json: block_out_channels=\(16, 32, 48, 64\) does not fit the UNet, which has \(16, 32, 48, 48\)",
    ),
    "weights missing": (lambda d: (d / WEIGHTS).unlink(), "no weights"),
    "a pickle only": (lambda d: (d / WEIGHTS).rename(d / "diffusion_pytorch_model.bin"), "no weights"),
    "weights truncated": (lambda d: truncate(d / WEIGHTS), "safetensors: not a complete"),
    "key missing": (
        lambda d: resave(d, lambda s: {k: v for k, v in s.items() if k != NORM}),
        f"key {NORM!r} is missing",
    ),
    "key unexpected": (
        lambda d: resave(d, lambda s: s | {"conv_in.weight": torch.zeros(1)}),
        "key 'conv_in.weight' is unexpected",
    ),
    "middle unexpected": (
        lambda d: edit(d / "config.json", use_motion_mid_block=False),
        r"key 'mid_block\.motion_modules\..*' is unexpected",
    ),
    "wrong shape": (
        lambda d: resave(d, lambda s: s | {NORM: torch.zeros(9)}),
        rf"key {NORM!r} has shape \[9\], expected \[48\]",
    ),
    "shorter tables": (
        lambda d: edit(d / "config.json", motion_max_seq_length=7),
        r"pos_embed\.pe' has shape \[1, 8, 16\], expected \[1, 7, 16\]",
    ),
    "its scheduler": (
        lambda d: diffusers.LCMScheduler().save_pretrained(d / "scheduler"),
        r"scheduler_config\.json: scheduler field original_inference_steps=50 is not supported",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_adapter_damage_is_one_line(base: Any, copy: Path, case: str) -> None:
    damage, words = DAMAGE[case]
    damage(copy)
    with pytest.raises(ValueError, match=words) as error:
        AnimateDiff.from_directory(base[0], adapter=copy)
    assert "\n" not in str(error.value)
    assert str(copy) in str(error.value)


def test_a_base_that_is_damaged_is_named_as_ever(base: Any, adapter: Any, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(base[0], tmp_path / "broken"))
    edit(broken / "scheduler" / "scheduler_config.json", trained_betas=[0.1])
    for load in (StableDiffusion.from_directory, lambda path: AnimateDiff.from_directory(path, adapter=adapter[0])):
        with pytest.raises(ValueError, match=r"broken.*scheduler_config\.json: scheduler field trained_betas"):
            load(broken)


# --- correcting ---


def options(**chosen: Any) -> StoryOptions:
    return StoryOptions(
        **{"num_inference_steps": 8, "guidance_scale": 5.0, "negative_prompt": "a vibrant garden"} | chosen
    )


def clips(count: int, frames: int = FRAMES, side: int = SIDE) -> Tensor:
    return torch.rand(count, frames, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.inference_mode()
def corrected(corrector: AnimateDiff, pixels: Tensor, prompts: list[str], seeds: list[int], **chosen: Any) -> Tensor:
    correction = Correction(corrector, options(**chosen))
    conditioning, _ = correction.condition(prompts)
    return correction.run(pixels, conditioning, seeds, 0)


@pytest.mark.parametrize(("strength", "guidance"), [(0.6, 5.0), (0.4, 1.0), (1.0, 7.5)])
def test_it_is_diffusers_video_to_video(
    base: Any, adapter: Any, corrector: AnimateDiff, monkeypatch: pytest.MonkeyPatch, strength: float, guidance: float
) -> None:
    """The whole pipeline with the posterior's and the schedule's noise injected: pixels within 1e-3."""
    chosen = {"strength": strength, "guidance_scale": guidance, "sample_posterior": True}
    parts = base[1].components
    pipeline = diffusers.AnimateDiffVideoToVideoPipeline(
        **{name: parts[name] for name in ("vae", "text_encoder", "tokenizer", "unet")},
        motion_adapter=adapter[1],
        scheduler=diffusers.DDIMScheduler.from_pretrained(
            base[0],
            subfolder="scheduler",
            beta_schedule="linear",
            timestep_spacing="linspace",
            steps_offset=1,
            clip_sample=False,
        ),
    )
    pipeline.set_progress_bar_config(disable=True)
    pixels = clips(2)
    noise, posterior = Correction(corrector, options(**chosen)).noises(pixels, SEEDS, 0)
    waiting = list(posterior)  # the pipeline encodes one clip after another

    def of_posterior(shape: Any, **_: Any) -> Tensor:
        drawn = waiting.pop(0)
        assert tuple(shape) == tuple(drawn.shape)
        return drawn

    def of_schedule(shape: Any, **_: Any) -> Tensor:
        assert tuple(shape) == tuple(noise.shape)
        return noise

    monkeypatch.setattr(diffusers_vae, "randn_tensor", of_posterior)
    monkeypatch.setattr(video2video, "randn_tensor", of_schedule)
    theirs = pipeline(
        video=(pixels + 1) / 2, prompt=PROMPTS, height=SIDE, width=SIDE, num_inference_steps=8, strength=strength,
        guidance_scale=guidance, negative_prompt=[options().negative_prompt] * 2, output_type="pt",
    ).frames  # fmt: skip
    ours = corrected(corrector, pixels, PROMPTS, SEEDS, **chosen)
    assert not waiting
    assert (ours - pixels).abs().mean() > 0.05, "something happened"
    torch.testing.assert_close((ours + 1) / 2, theirs, rtol=0, atol=1e-3)


def test_clips_side_by_side_are_the_clips_alone(base: Any, adapter: Any) -> None:
    exact = AnimateDiff.from_directory(base[0], "cpu", torch.float64, adapter[0])
    pixels = clips(2).double()
    together = corrected(exact, pixels, PROMPTS, SEEDS)
    for row in range(2):
        alone = corrected(exact, pixels[row : row + 1], PROMPTS[row : row + 1], SEEDS[row : row + 1])
        close(alone, together[row : row + 1], torch.float64)


def test_each_frame_has_noise_of_its_own(corrector: AnimateDiff) -> None:
    """Drawn by seed, clip and position alone: neither length nor neighbours change it; a clip of one is a frame."""
    correction, pixels = Correction(corrector, options()), clips(2, frames=5)
    noise = correction.noise(pixels, SEEDS, 3)
    assert noise.shape == (2, 5, 4, SIDE // 8, SIDE // 8)
    assert torch.equal(correction.noise(pixels[1:, :2], SEEDS[1:], 3), noise[1:, :2])
    assert torch.equal(correction.noise(pixels[:, 0], SEEDS, 3), noise[:, 0])
    others = [correction.noise(pixels, SEEDS, 4), correction.noise(pixels, SEEDS, 3, Purpose.POSTERIOR)]
    frames = torch.cat([noise, *others]).flatten(0, 1).flatten(1)
    assert len(frames.unique(dim=0)) == len(frames)


def test_frames_are_corrected_together(corrector: AnimateDiff) -> None:
    """The last frame sees the first: what is corrected alone is not what is corrected in a clip."""
    pixels = clips(1)
    changed = pixels.clone()
    changed[:, -1] = -1
    one, other = (corrected(corrector, given, PROMPTS[:1], SEEDS[:1]) for given in (pixels, changed))
    assert (one[:, 0] - other[:, 0]).abs().max() > 1e-3


def test_a_clip_beyond_the_positions_is_one_line(corrector: AnimateDiff) -> None:
    with pytest.raises(ValueError, match=r"^a clip of 9 frames is too long for this motion adapter; choose at most 8$"):
        corrected(corrector, clips(1, frames=9), PROMPTS[:1], SEEDS[:1])


# --- stages and plans: the tiny bundle with a tiny adapter ---


@pytest.fixture(scope="module")
def tiny(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[AnimateDiff, VQGAN]:
    folder = tmp_path_factory.mktemp("tiny_adapter")
    config = {"motion_layers_per_block": 1, "motion_num_attention_heads": 2, "motion_norm_num_groups": 4}
    randomise(diffusers.MotionAdapter(block_out_channels=[8, 16], **config)).save_pretrained(folder)
    corrector = AnimateDiff.from_directory(tiny_path / "corrector", adapter=folder)
    return corrector, VQGAN.from_directory(tiny_path / "tokenizer", "cpu", torch.float32)


Whole = tuple[WholeCorrection, list[Tensor], Tensor]


def whole_of(corrector: AnimateDiff, tokenizer: VQGAN, guidance: float, steps: int) -> Whole:
    """(module, its inputs, what the stages show): 16 px clips worked on at 24 px."""
    chosen = options(guidance_scale=guidance, num_inference_steps=2 * steps, correction_size=24)
    correction, pixels = Correction(corrector, chosen), clips(2, frames=3, side=16)
    conditioning, _ = correction.condition(PROMPTS)
    shown = correction.run(pixels, conditioning, SEEDS, 1)
    whole = WholeCorrection(corrector, tokenizer, correction.schedule, guidance, size=24)
    kv = [value.contiguous() for pair in conditioning.kv for value in pair]
    return whole, [pixels, *correction.noises(pixels, SEEDS, 1), *kv], shown


@pytest.mark.parametrize("guidance", [1.0, 5.0])
@torch.no_grad()
def test_the_whole_is_the_stages_one_after_another(tiny: tuple[AnimateDiff, VQGAN], guidance: float) -> None:
    corrector, tokenizer = tiny
    whole, inputs, shown = whole_of(corrector, tokenizer, guidance, steps=3)
    found, codes = whole(*inputs)
    assert torch.equal(found, shown)
    assert codes.shape == (2, 3, 16)
    assert torch.equal(codes.flatten(0, 1), tokenizer.encode(shown.flatten(0, 1)))


@pytest.mark.slow
@torch.no_grad()
def test_one_cuda_graph_could_hold_it(tiny: tuple[AnimateDiff, VQGAN]) -> None:
    whole, inputs, _ = whole_of(*tiny, 5.0, steps=1)
    assert capture_hazards(whole, StageSpec.of("correction", inputs)) == []


@pytest.mark.slow
@torch.no_grad()
def test_planned_passes_are_the_eager_ones(tiny: tuple[AnimateDiff, VQGAN], tmp_path: Path) -> None:
    """The wrapper of plans takes this UNet as it takes that of pictures."""
    corrector, _ = tiny
    pixels, correction = clips(1, frames=3, side=16), Correction(corrector, options())
    conditioning, _ = correction.condition(PROMPTS[:1])
    given = (pixels, correction.noise(pixels, SEEDS[:1], 0), conditioning, correction.schedule)
    unet = PlannedUNet(corrector.unet, "openvino", PlanCache(tmp_path))
    assert replace(corrector, unet=unet).max_frames == corrector.max_frames
    planned = correct_clip(corrector.vae, unet, *given)
    torch.testing.assert_close(planned, correct_clip(corrector.vae, corrector.unet, *given), rtol=0, atol=1e-3)


@pytest.mark.slow
@torch.no_grad()
def test_as_one_plan_it_equals_eager(tiny: tuple[AnimateDiff, VQGAN], tmp_path: Path) -> None:
    whole, inputs, shown = whole_of(*tiny, 5.0, steps=1)
    found, _ = compile_stage(whole, StageSpec.of("correction", inputs), "openvino", PlanCache(tmp_path))(*inputs)
    torch.testing.assert_close(found, shown, rtol=0, atol=1e-3)
