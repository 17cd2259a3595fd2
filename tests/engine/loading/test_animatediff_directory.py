"""AnimateDiff from its two directories: what loads, and how damage is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from acdc.engine.models.diffusion.animatediff import AnimateDiff
from acdc.engine.models.diffusion.scheduler_config import SchedulerConfig
from acdc.engine.models.diffusion.stable_diffusion import StableDiffusion
from acdc.engine.sdedit.correction import Correction
from tests.helpers.motion import options_of


@pytest.fixture
def copy(adapter: tuple[Path, Any], tmp_path: Path) -> Path:
    return Path(shutil.copytree(adapter[0], tmp_path / "adapter"))


@pytest.mark.long
def test_directories_written_by_diffusers_load(base: Any, adapter: Any, corrector: AnimateDiff) -> None:
    state = corrector.unet.state_dict()
    wanted = base[1].unet.state_dict() | adapter[1].state_dict()
    assert state.keys() == wanted.keys()
    assert all(torch.equal(state[name], value) for name, value in wanted.items())
    assert corrector.unet.adapter_state().keys() == adapter[1].state_dict().keys()
    assert corrector.max_clip_frames == 8
    assert not any(p.requires_grad for p in corrector.unet.parameters())
    assert not corrector.unet.training


def test_adapter_next_to_the_base(base: Any, adapter: Any, corrector: AnimateDiff, tmp_path: Path) -> None:
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


@pytest.mark.long
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
    schedule = Correction(corrector, options_of(num_inference_steps=25, strength=1.0)).schedule
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
        lambda d: diffusers.EDMEulerScheduler().save_pretrained(d / "scheduler"),
        r"scheduler_config\.json: scheduler class 'EDMEulerScheduler' is not served",
    ),
}


@pytest.mark.long
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
