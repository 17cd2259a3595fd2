"""Our ControlNet, and a UNet that reads its residuals, against diffusers'; its published layout on disk."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from acdc.engine.models.diffusion.controlnet import ControlNet, ControlNetConfig, guess_scales
from acdc.engine.models.diffusion.unet import UNet, UNetConfig
from tests.helpers.published import UNETS, close, normal, parameters, randomise, unet_pair

NAMES = ["sd1-like", "sd2-like", "bundle-like"]
WIDTHS = [4, 8, 12, 16]


def published(name: str) -> nn.Module:
    """diffusers' ControlNet for one of the small UNets; its last layers are not the zeros of a fresh one."""
    config = {key: value for key, value in UNETS[name].items() if key != "up_block_types"}
    return randomise(diffusers.ControlNetModel(**config, conditioning_embedding_out_channels=WIDTHS))


def pair(name: str) -> tuple[ControlNet, Any]:
    theirs = published(name).to(torch.float64)
    ours = ControlNet(ControlNetConfig.from_dict(theirs.config)).to(torch.float64).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def called(theirs: Any, latents: Tensor, step: Tensor, context: Tensor, picture: Tensor) -> list[Tensor]:
    down, middle = theirs(
        latents, step, encoder_hidden_states=context, controlnet_cond=picture, conditioning_scale=1.0, return_dict=False
    )
    return [*down, middle]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_residuals_and_what_the_unet_makes_of_them_are_the_published_ones(name: str) -> None:
    """Sizes that do not halve; two branches share what comes before their prompts."""
    control, their_control = pair(name)
    unet, their_unet = unet_pair(name, torch.float64)
    latents, step = normal(2, 4, 11, 14), torch.tensor([401])
    context, picture = normal(4, 5, unet.config.cross_attention_dim, seed=2), normal(2, 3, 88, 112, seed=3).sigmoid()
    twice, pictures = latents.repeat(2, 1, 1, 1), picture.repeat(2, 1, 1, 1)
    wanted = called(their_control, twice, step, context, pictures)
    found = control(latents, control.time_shifts(step), control.hint(picture), control.context_kv(context))
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        close(one.repeat(len(other) // len(one), 1, 1, 1), other, torch.float64)
    *down, middle = wanted
    residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
    theirs = their_unet(twice, step, context, **residuals).sample
    close(unet(latents, step, context, found), theirs, torch.float64)
    assert not torch.allclose(unet(latents, step, context), theirs)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@torch.no_grad()
def test_a_coloured_picture_is_read_in_the_order_of_the_channels_that_the_config_names(order: str) -> None:
    theirs = published("bundle-like").to(torch.float64)
    theirs.register_to_config(controlnet_conditioning_channel_order=order)
    ours = ControlNet(ControlNetConfig.from_dict(theirs.config)).to(torch.float64).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    latents, step, context = normal(1, 4, 8, 8), torch.tensor([401]), normal(1, 5, 12, seed=2)
    picture = normal(1, 3, 64, 64, seed=3).sigmoid()
    wanted = called(theirs, latents, step, context, picture)
    found = ours(latents, ours.time_shifts(step), ours.hint(picture), ours.context_kv(context))
    for one, other in zip(found, wanted, strict=True):
        close(one, other, torch.float64)


def test_scales_of_guess_mode() -> None:
    wanted = torch.logspace(-1, 0, 13, dtype=torch.float64)
    torch.testing.assert_close(torch.tensor(guess_scales(13), dtype=torch.float64), wanted)


def test_full_size_parameter_counts() -> None:
    version_2 = {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True}
    with torch.device("meta"):
        first = ControlNet(ControlNetConfig(cross_attention_dim=768))
        second = ControlNet(ControlNetConfig(**version_2))
        inpainting = UNet(UNetConfig(in_channels=9, cross_attention_dim=768))
        inpainting_2 = UNet(UNetConfig(in_channels=9, **version_2))
    assert parameters(first) == 361_279_120
    assert len(first.state_dict()) == 340
    assert parameters(second) == 364_228_240
    assert parameters(inpainting) == 859_535_364
    assert parameters(inpainting_2) == 865_925_124


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("controlnet")
    published("sd1-like").save_pretrained(path)
    return path


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    for file in written.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


WEIGHTS = "diffusion_pytorch_model.safetensors"


def test_a_published_directory_loads_to_the_exact_tensors(written: Path) -> None:
    found, wanted = ControlNet.from_directory(written).state_dict(), load_file(written / WEIGHTS)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def without_a_key(folder: Path) -> None:
    state = load_file(folder / WEIGHTS)
    del state["controlnet_mid_block.bias"]
    save_file(state, folder / WEIGHTS)


def with_a_wrong_shape(folder: Path) -> None:
    state = load_file(folder / WEIGHTS)
    state["controlnet_down_blocks.3.weight"] = torch.zeros(2, 2, 1, 1)
    save_file(state, folder / WEIGHTS)


def with_a_pickle_alone(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(print))


def with_a_pickle_in_disguise(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(pickle.dumps(print))


def with_another_network(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"global_pool_conditions": True}), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without_a_key, [WEIGHTS, "'controlnet_mid_block.bias' is missing"]),
        (with_a_wrong_shape, [WEIGHTS, "'controlnet_down_blocks.3.weight' has shape [2, 2, 1, 1]"]),
        (with_a_pickle_alone, ["diffusion_pytorch_model.bin cannot be read"]),
        (with_a_pickle_in_disguise, [WEIGHTS, "a pickle, which can run any program"]),
        (with_another_network, ["config.json", "global_pool_conditions=True"]),
    ],
)
def test_damage_is_one_line_with_file_and_key(folder: Path, damage: Any, words: list[str]) -> None:
    damage(folder)
    with pytest.raises(ValueError, match=str(folder)) as caught:
        ControlNet.from_directory(folder)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="nowhere: no such directory"):
        ControlNet.from_directory("nowhere")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"block_out_channels": (320, 640)}, "does not fit the UNet"),
        ({"cross_attention_dim": 1024}, "does not fit the UNet, which has 768"),
        ({"in_channels": 9}, "in_channels=9, but latents have 4"),
        ({"conditioning_embedding_out_channels": (16, 32)}, "1 latent of 2 pixels, the VAE of 8"),
    ],
)
def test_a_controlnet_of_another_unet_is_refused(change: dict[str, Any], words: str) -> None:
    config = ControlNetConfig(**{"cross_attention_dim": 768} | change)
    with pytest.raises(ValueError, match=words):
        config.check_fit(UNetConfig(cross_attention_dim=768), 8, "config.json")
    ControlNetConfig(cross_attention_dim=768).check_fit(UNetConfig(in_channels=9, cross_attention_dim=768), 8, "")
