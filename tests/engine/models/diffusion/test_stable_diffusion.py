"""Whole Stable Diffusion directories: what loads, and how damage is named."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from acdc.engine.models.diffusion import vae
from acdc.engine.models.diffusion.schedule import make_schedule, take_step
from acdc.engine.models.diffusion.scheduler_config import SchedulerConfig
from acdc.engine.models.diffusion.stable_diffusion import StableDiffusion
from tests.helpers.published import TEXT, UNETS, VAES, close, load_theirs, normal, randomise


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> tuple[Path, Any]:
    text = transformers.CLIPTextModel(transformers.CLIPTextConfig(**TEXT))
    theirs = diffusers.StableDiffusionPipeline(
        vae=randomise(diffusers.AutoencoderKL(**VAES["four levels"])),
        text_encoder=randomise(text),
        tokenizer=load_theirs(tokenizer_folder),
        unet=randomise(diffusers.UNet2DConditionModel(**UNETS["sd1-like"])),
        scheduler=diffusers.DDIMScheduler(beta_schedule="scaled_linear", steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    path = tmp_path_factory.mktemp("pipeline")
    theirs.save_pretrained(str(path))
    return path, theirs


@pytest.fixture
def copy(pipeline: tuple[Path, Any], tmp_path: Path) -> Path:
    return Path(shutil.copytree(pipeline[0], tmp_path / "sd"))


@torch.no_grad()
def test_directory_written_by_diffusers_loads(pipeline: tuple[Path, Any]) -> None:
    path, theirs = pipeline
    ours = StableDiffusion.from_directory(path)
    states, kept = ours.embed(["Benny the beagle", "the garden"])
    ids = theirs.tokenizer(["Benny the beagle", "the garden"], padding="max_length", return_tensors="pt")
    close(states, theirs.text_encoder(ids.input_ids).last_hidden_state, torch.float32)
    assert kept == [None, None]
    latents, step = normal(2, 4, 8, 8).float(), torch.tensor([321])
    close(ours.unet(latents, step, states), theirs.unet(latents, step, states).sample, torch.float32)
    close(ours.vae.decode(latents), theirs.vae.decode(latents).sample, torch.float32)
    assert ours.scheduler_config["beta_schedule"] == "scaled_linear"
    assert not any(p.requires_grad for p in ours.unet.parameters())


def resave(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    path = next(folder.glob("*.safetensors"))
    state = change(load_file(path))
    save_file({k: v.contiguous() for k, v in state.items()}, path)


@torch.no_grad()
def test_directory_with_early_names_and_half_precision(pipeline: tuple[Path, Any], copy: Path) -> None:
    old = {new: early for early, new in vae.OLD_ATTENTION.items()}

    def early_vae(state: dict[str, Tensor]) -> dict[str, Tensor]:
        for new, early in old.items():
            state = {k.replace(f"attentions.0.{new}.", f"attentions.0.{early}."): v for k, v in state.items()}
        return state

    def early_text(state: dict[str, Tensor]) -> dict[str, Tensor]:
        state = {"text_model." + k.removeprefix("text_model."): v for k, v in state.items()}
        unused = {"text_projection.weight": torch.zeros(24, 24)}
        return state | unused | {"text_model.embeddings.position_ids": torch.arange(16)[None]}

    resave(copy / "vae", early_vae)
    resave(copy / "text_encoder", early_text)
    unet = copy / "unet" / "diffusion_pytorch_model.safetensors"
    resave(copy / "unet", lambda state: {k: v.half() for k, v in state.items()})
    unet.rename(unet.with_name("diffusion_pytorch_model.fp16.safetensors"))
    a, b = StableDiffusion.from_directory(pipeline[0]), StableDiffusion.from_directory(copy)
    for x, y in ((a.vae, b.vae), (a.text_encoder, b.text_encoder)):
        assert all(torch.equal(v, y.state_dict()[k]) for k, v in x.state_dict().items())
    assert b.unet.conv_in.weight.dtype == torch.float32
    assert torch.equal(b.unet.conv_in.weight, a.unet.conv_in.weight.half().float())


def test_directory_with_shards(pipeline: tuple[Path, Any], copy: Path) -> None:
    path = copy / "unet" / "diffusion_pytorch_model.safetensors"
    state, parts = load_file(path), ("a.safetensors", "b.safetensors")
    names = sorted(state)
    where = {name: parts[i % 2] for i, name in enumerate(names)}
    for part in parts:
        save_file({n: state[n] for n in names if where[n] == part}, path.with_name(part))
    path.unlink()
    path.with_name(path.name + ".index.json").write_text(json.dumps({"weight_map": where}))
    loaded = StableDiffusion.from_directory(copy).unet.state_dict()
    assert all(torch.equal(loaded[n], state[n]) for n in names)
    path.with_name("b.safetensors").unlink()
    with pytest.raises(ValueError, match=r"index\.json: its file b\.safetensors is missing"):
        StableDiffusion.from_directory(copy)


@pytest.mark.long
def test_directory_with_shards_in_half_precision_only(pipeline: tuple[Path, Any], copy: Path) -> None:
    """As diffusers writes a large fp16 variant: its own names for the index and the shards."""
    shutil.rmtree(copy / "unet")
    half = diffusers.UNet2DConditionModel.from_pretrained(pipeline[0], subfolder="unet").half()
    half.save_pretrained(copy / "unet", variant="fp16", max_shard_size="100KB")
    assert len(list((copy / "unet").glob("*.fp16-*.safetensors"))) > 1
    for dtype in (torch.float32, torch.float16):
        loaded = StableDiffusion.from_directory(copy, "cpu", dtype).unet.state_dict()
        assert all(torch.equal(loaded[n], v.to(dtype)) for n, v in half.state_dict().items())


# As derivatives of SD 1.5 and SD 2 name them; DDIM is built from what they say of the noise.
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SCHEDULERS: dict[str, dict[str, Any]] = {
    "DDIMScheduler": {"steps_offset": 1, "set_alpha_to_one": False, "clip_sample": False},
    "DDPMScheduler": {"prediction_type": "v_prediction"},
    "PNDMScheduler": {"steps_offset": 1, "skip_prk_steps": True},
    "EulerDiscreteScheduler": {"steps_offset": 1, "timestep_spacing": "leading"},
    "EulerAncestralDiscreteScheduler": {"timestep_spacing": "trailing"},
    "HeunDiscreteScheduler": {},
    "DPMSolverMultistepScheduler": {"prediction_type": "v_prediction", "solver_order": 3},
    "DPMSolverSinglestepScheduler": {"final_sigmas_type": "sigma_min", "algorithm_type": "dpmsolver"},
    "UniPCMultistepScheduler": {"solver_type": "bh1", "disable_corrector": [0, 1]},
    "DEISMultistepScheduler": {},
}


@pytest.mark.long
@pytest.mark.parametrize("name", SCHEDULERS)
@torch.no_grad()
def test_ddim_is_built_from_any_scheduler(copy: Path, name: str) -> None:
    """As diffusers builds it from the same file; its default clipping is set there by hand (diffusion.py)."""
    shutil.rmtree(copy / "scheduler")
    theirs = getattr(diffusers, name)(**NOISE, **SCHEDULERS[name])
    theirs.save_pretrained(copy / "scheduler")
    clips = theirs.config.get("clip_sample", False)
    to_one = theirs.config.get("set_alpha_to_one", theirs.config.get("final_sigmas_type") != "sigma_min")
    wanted = diffusers.DDIMScheduler.from_pretrained(copy / "scheduler", clip_sample=clips, set_alpha_to_one=to_one)
    wanted.set_timesteps(7)
    config = SchedulerConfig.from_dict(StableDiffusion.from_directory(copy).scheduler_config, "ddim")
    schedule = make_schedule(config, 7)
    assert [step.timestep for step in schedule.steps] == wanted.timesteps.tolist()
    latents, prediction = normal(1, 4, 8, 8, seed=3).float(), normal(1, 4, 8, 8, seed=4).float()
    for step in (schedule.steps[1], schedule.steps[-1]):
        found, _ = take_step(config, latents, prediction, step)
        close(found, wanted.step(prediction, step.timestep, latents).prev_sample, torch.float32)


@pytest.mark.long
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timestep_type", "continuous"),
        ("beta_start", "0.00085"),
        ("beta_end", math.nan),
        ("clip_sample", 1),
        ("num_train_timesteps", 1000.0),
        ("num_train_timesteps", 0),
        ("prediction_type", "flow_prediction"),
        ("made_up", 50),
    ],
)
def test_a_scheduler_that_ddim_cannot_replace_is_named(copy: Path, field: str, value: Any) -> None:
    reads_all = {"_class_name": "EulerDiscreteScheduler"} if field == "timestep_type" else {}
    edit(copy / "scheduler" / "scheduler_config.json", **{field: value}, **reads_all)
    with pytest.raises(ValueError, match=rf"scheduler_config\.json: scheduler field {field}=") as error:
        StableDiffusion.from_directory(copy)
    assert "\n" not in str(error.value)


def test_a_solver_with_its_own_spacing_is_reported_once(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked = {"use_karras_sigmas": True, "sigma_max": 14.6}
    edit(copy / "scheduler" / "scheduler_config.json", _class_name="EulerDiscreteScheduler", **asked)
    StableDiffusion.from_directory(copy)
    (record,) = caplog.records
    assert "use_karras_sigmas=True, sigma_max=14.6 not used" in record.getMessage()
    caplog.clear()
    edit(copy / "scheduler" / "scheduler_config.json", _class_name="PNDMScheduler")
    StableDiffusion.from_directory(copy)
    assert not caplog.records, "PNDM reads neither"


def test_more_steps_than_an_offset_leaves_room_for() -> None:
    config = SchedulerConfig(steps_offset=1)
    assert make_schedule(config, 500).start.timestep == 999
    with pytest.raises(ValueError, match="num_inference_steps 1000 with steps_offset 1 leave the 1000 timesteps"):
        make_schedule(config, 1000)


def test_directory_loads_in_the_dtype_asked_for(pipeline: tuple[Path, Any]) -> None:
    loaded = StableDiffusion.from_directory(str(pipeline[0]), "cpu", torch.float64)
    parts = (loaded.unet, loaded.vae, loaded.text_encoder)
    assert {p.dtype for m in parts for p in m.parameters()} == {torch.float64}


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def drop_bias(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if k != "conv_out.bias"}


WEIGHTS = "diffusion_pytorch_model.safetensors"
DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "index missing": (lambda d: (d / "model_index.json").unlink(), r"model_index\.json: no such file"),
    "index is not JSON": (lambda d: (d / "model_index.json").write_text("{"), r"model_index\.json: not read"),
    "another pipeline": (
        lambda d: edit(d / "model_index.json", _class_name="FluxPipeline"),
        "_class_name='FluxPipeline' is not StableDiffusionPipeline",
    ),
    "component missing": (lambda d: edit(d / "model_index.json", vae=[None, None]), "component 'vae' is miss"),
    "another component": (
        lambda d: edit(d / "model_index.json", unet=["diffusers", "UNet1DModel"]),
        "unet='UNet1DModel' is not UNet2D",
    ),
    "a component too many": (
        lambda d: edit(d / "model_index.json", text_encoder_2=["transformers", "CLIPTextModel"]),
        "component 'text_encoder_2' is not supported",
    ),
    "config missing": (lambda d: (d / "vae" / "config.json").unlink(), r"vae.config\.json: no such file"),
    "config refused": (
        lambda d: edit(d / "unet" / "config.json", class_embed_type="identity"),
        r"unet.config\.json: class_embed_type='identity'",
    ),
    "scheduler missing": (lambda d: shutil.rmtree(d / "scheduler"), r"scheduler_config\.json: no such file"),
    "weights missing": (lambda d: (d / "unet" / WEIGHTS).unlink(), "unet: no weights"),
    "weights truncated": (lambda d: truncate(d / "vae" / WEIGHTS), "safetensors: not a complete"),
    "key missing": (lambda d: resave(d / "unet", drop_bias), "key 'conv_out.bias' is missing"),
    "key unexpected": (
        lambda d: resave(d / "unet", lambda s: s | {"extra.bias": torch.zeros(1)}),
        "key 'extra.bias' is unexpected",
    ),
    "wrong shape": (
        lambda d: resave(d / "unet", lambda s: s | {"conv_out.bias": torch.zeros(9)}),
        r"key 'conv_out.bias' has shape \[9\], expected \[4\]",
    ),
    "parts that do not fit": (
        lambda d: edit(d / "text_encoder" / "config.json", hidden_size=20),
        "cross_attention_dim=24, but the text encoder's hidden_size is 20",
    ),
    "text too long": (
        lambda d: edit(d / "text_encoder" / "config.json", max_position_embeddings=8),
        "max_position_embeddings=8, but the tokenizer writes 16",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("case", DAMAGE)
def test_directory_damage_is_one_line(copy: Path, case: str) -> None:
    damage, words = DAMAGE[case]
    damage(copy)
    with pytest.raises(ValueError, match=words) as error:
        StableDiffusion.from_directory(copy)
    assert "\n" not in str(error.value)
    assert str(copy) in str(error.value)


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such directory"):
        StableDiffusion.from_directory(tmp_path / "nothing")


@pytest.mark.long
def test_runtime_imports_neither_library() -> None:
    code = (
        "import sys, acdc.engine.models.diffusion.stable_diffusion\n"
        "assert not {'diffusers', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
