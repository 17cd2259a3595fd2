"""SDXL's directory and SDXL-Lightning's files: the exact tensors, LoRAs, and one line for what is wrong."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from acdc.engine.cli.main import main
from acdc.engine.models.diffusion.sdxl.lightning import choose_steps, predicts_x0
from acdc.engine.text_to_image import TextToImage
from tests.helpers.lora import factors, merged, write
from tests.helpers.small_sdxl import write_sdxl

WEIGHTS = "diffusion_pytorch_model.safetensors"
LIGHTNING = "sdxl_lightning_4step_unet.safetensors"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write_sdxl(folder)
    return folder / "sdxl"


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    """The directory, and a file of SDXL-Lightning's name next to it."""
    shutil.copy(written / "unet" / WEIGHTS, tmp_path / LIGHTNING)
    return Path(shutil.copytree(written, tmp_path / "sdxl"))


def test_every_tensor_is_the_files_own(written: Path) -> None:
    model = TextToImage.from_pretrained(written, steps=4).model
    for name, network, file in (
        ("unet", model.unet, WEIGHTS),
        ("vae", model.vae, WEIGHTS),
        ("text_encoder", model.text_encoder, "model.safetensors"),
        ("text_encoder_2", model.text_encoder_2, "model.safetensors"),
    ):
        stored = {key.removeprefix("text_model."): value for key, value in load_file(written / name / file).items()}
        loaded = network.state_dict()
        assert loaded.keys() == stored.keys() - {"embeddings.position_ids"}, name
        assert all(torch.equal(value, stored[key]) for key, value in loaded.items()), name
        assert not any(p.requires_grad for p in network.parameters())


def test_the_unets_own_weights_need_not_be_there(copy: Path) -> None:
    (copy / "unet" / WEIGHTS).unlink()
    painter = TextToImage.from_pretrained(copy, unet=copy.parent / LIGHTNING)
    assert painter.settings()["steps"] == 4


def test_an_ordinary_sdxl_is_refused_without_a_few_step_network(copy: Path) -> None:
    edit(copy / "scheduler" / "scheduler_config.json", timestep_spacing="leading")
    with pytest.raises(ValueError, match=r"'leading', not 'trailing'.*SDXL-Lightning's file") as error:
        TextToImage.from_pretrained(copy, steps=30)
    assert "\n" not in str(error.value)
    assert TextToImage.from_pretrained(copy, unet=copy.parent / LIGHTNING).settings()["steps"] == 4


@pytest.mark.parametrize("style", ["kohya", "peft"])
def test_a_lora_is_merged(copy: Path, style: str) -> None:
    names = ("mid_block.attentions.0.transformer_blocks.2.attn2.to_k", "conv_in", "add_embedding.linear_1")
    plain = TextToImage.from_pretrained(copy, steps=2)
    layers = dict(plain.model.unet.named_modules())
    pairs = {("unet", name): factors(layers[name], 2, 1.0, seed) for seed, name in enumerate(names)}
    file = copy.parent / "sdxl_lightning_2step_lora.safetensors"
    write(file, pairs, style)
    painter = TextToImage.from_pretrained(copy, loras=[f"{file}=0.7"])
    changed = dict(painter.model.unet.named_modules())
    for name in names:
        wanted = merged(layers[name].weight, pairs["unet", name], 0.7).float()
        torch.testing.assert_close(changed[name].weight, wanted, rtol=0, atol=1e-6)
    assert torch.equal(changed["conv_out"].weight, layers["conv_out"].weight)
    settings = painter.settings()
    assert (settings["steps"], settings["loras"][0]["weight"]) == (2, 0.7)


@pytest.mark.long
def test_the_command_draws_with_a_file_of_lightning(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Steps that the file was not distilled for, as the paper's 6, are named and run."""
    file, out = copy.parent / LIGHTNING, copy.parent / "out"
    own = ["reference", "A cat.", "--model", str(copy), "--unet", str(file), "--out", str(out)]
    assert main([*own, "--steps", "6"]) == 0
    said = "each picture takes 6 steps of euler, from timestep 999; the file was distilled for 4"
    assert said in capsys.readouterr().err
    wanted = TextToImage.from_pretrained(copy, unet=file, steps=6)("A cat.")
    assert np.array_equal(np.asarray(Image.open(out / "picture_00001.png")), np.asarray(wanted))
    resave(file, lambda state: state | {"conv_in.bias": torch.ones(16)})
    assert main([*own, "--steps", "6", "--resume"]) == 2
    assert "cannot resume: weights was" in capsys.readouterr().err


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def resave(path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    save_file({k: v.contiguous() for k, v in change(load_file(path)).items()}, path)


def drop(key: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda state: {k: v for k, v in state.items() if k != key}


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no directory": (lambda d: shutil.rmtree(d), "sdxl: no such directory"),
    "another pipeline": (
        lambda d: edit(d / "model_index.json", _class_name="StableDiffusionPipeline"),
        "_class_name='StableDiffusionPipeline' is not StableDiffusionXLPipeline",
    ),
    "no second encoder": (
        lambda d: edit(d / "model_index.json", text_encoder_2=[None, None]),
        "component 'text_encoder_2' is missing",
    ),
    "Lightning's key missing": (
        lambda d: resave(d.parent / LIGHTNING, drop("add_embedding.linear_1.bias")),
        f"{LIGHTNING}: key 'add_embedding.linear_1.bias' is missing",
    ),
    "Lightning's shape": (
        lambda d: resave(d.parent / LIGHTNING, lambda s: s | {"conv_in.bias": torch.zeros(3)}),
        rf"{LIGHTNING}: key 'conv_in.bias' has shape \[3\], expected \[16\]",
    ),
    "Lightning's numbers": (
        lambda d: resave(d.parent / LIGHTNING, lambda s: s | {"conv_in.bias": torch.full((16,), torch.nan)}),
        f"{LIGHTNING}: key 'conv_in.bias' is damaged",
    ),
    "a whole checkpoint": (
        lambda d: resave(d.parent / LIGHTNING, lambda s: {f"model.diffusion_model.{k}": v for k, v in s.items()}),
        f"{LIGHTNING}: key 'model.diffusion_model.* is unexpected",
    ),
    "a pickle": (
        lambda d: (d.parent / LIGHTNING).write_bytes(pickle.dumps({"conv_in.bias": 1})),
        f"{LIGHTNING}: a pickle, which can run any program",
    ),
    "truncated": (
        lambda d: (d.parent / LIGHTNING).write_bytes((d.parent / LIGHTNING).read_bytes()[:1000]),
        f"{LIGHTNING}: not a complete safetensors file",
    ),
    "no file": (lambda d: (d.parent / LIGHTNING).unlink(), f"{LIGHTNING}: no such file"),
    "no projection": (
        lambda d: resave(d / "text_encoder_2" / "model.safetensors", drop("text_projection.weight")),
        "text_encoder_2.model.safetensors: key 'text_projection.weight' is missing",
    ),
    "VAE as a pickle": (
        lambda d: (d / "vae" / WEIGHTS).write_bytes(b"PK\x03\x04"),
        "vae.diffusion_pytorch_model.safetensors: a pickle",
    ),
    "parts that do not fit": (
        lambda d: edit(d / "text_encoder_2" / "config.json", projection_dim=24),
        "projection_class_embeddings_input_dim=68, but the second text encoder's projection and the sizes have 72",
    ),
    "other text encoders": (
        lambda d: edit(d / "text_encoder" / "config.json", hidden_size=20),
        "cross_attention_dim=64, but the text encoders' hidden sizes are together 60",
    ),
    "text too long": (
        lambda d: edit(d / "text_encoder_2" / "config.json", max_position_embeddings=8),
        "text_encoder_2.config.json: max_position_embeddings=8, but the tokenizer has 16",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line(copy: Path, case: str) -> None:
    damage, words = DAMAGE[case]
    damage(copy)
    with pytest.raises(ValueError, match=words) as error:
        TextToImage.from_pretrained(copy, unet=copy.parent / LIGHTNING)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "steps", "found"),
    [
        (["sdxl_lightning_1step_unet_x0.safetensors"], None, 1),
        (["sdxl_lightning_8step_lora.safetensors"], None, 8),
        (["sdxl_lightning_4step_unet.safetensors"], 6, 6),
        (["mine.safetensors"], 3, 3),
        (["mine.safetensors"], None, "give --steps"),
        (["mine.safetensors"], 0, "steps 0 is out of range"),
        (
            ["sdxl_lightning_4step_unet.safetensors", "sdxl_lightning_8step_lora.safetensors"],
            None,
            "do not go together",
        ),
    ],
)
def test_steps_are_in_the_name_of_the_file(names: list[str], steps: int | None, found: int | str) -> None:
    if isinstance(found, int):
        assert choose_steps(names, steps) == found
        return
    with pytest.raises(ValueError, match=found):
        choose_steps(names, steps)


def test_the_prediction_is_in_the_name_of_the_file() -> None:
    assert predicts_x0("sdxl_lightning_1step_unet_x0.safetensors")
    assert not predicts_x0("sdxl_lightning_4step_unet.safetensors")
    assert not predicts_x0("my_x0.safetensors")
