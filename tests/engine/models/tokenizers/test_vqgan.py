"""The VQGAN: size, shapes, ties of the nearest code, and what the loader says about broken files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from acdc.engine.models.tokenizers.vqgan import VQGAN, VQGANConfig
from acdc.engine.utils.weights import read_json

SMALL = VQGANConfig(
    resolution=16, base_channels=4, channel_multipliers=(1, 2, 3), num_res_blocks=1, z_channels=4,
    codebook_size=10, num_groups=2,
)  # fmt: skip


@pytest.fixture
def model() -> VQGAN:
    torch.manual_seed(0)
    return VQGAN(SMALL).eval()


@pytest.fixture
def folder(model: VQGAN, tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(SMALL.to_dict()))
    save_file(model.state_dict(), str(tmp_path / "model.safetensors"))
    return tmp_path


def test_full_size_has_lwms_parameter_count() -> None:
    with torch.device("meta"):
        model = VQGAN(VQGANConfig())
    assert sum(p.numel() for p in model.parameters()) == 146_244_675
    assert VQGANConfig().grid == 16
    assert VQGANConfig().downsampling == 16


@pytest.mark.parametrize("batch", [1, 3])
def test_encode_and_decode_shapes(model: VQGAN, batch: int) -> None:
    codes = model.encode(torch.rand(batch, 3, 16, 16) * 2 - 1)
    assert codes.shape == (batch, 16)
    assert codes.dtype == torch.int64
    assert 0 <= int(codes.min()) <= int(codes.max()) < SMALL.codebook_size
    pixels = model.decode(codes)
    assert pixels.shape == (batch, 3, 16, 16)
    assert float(pixels.abs().max()) <= 1.0


def test_batch_rows_do_not_mix(model: VQGAN) -> None:
    pixels = torch.rand(3, 3, 16, 16) * 2 - 1
    assert torch.equal(model.encode(pixels)[1], model.encode(pixels[1:2])[0])


def test_codes_are_row_major_and_nearest(model: VQGAN) -> None:
    codes = torch.randint(0, SMALL.codebook_size, (2, 16))
    vectors = model.lookup(codes)
    assert torch.equal(vectors[1, :, 2, 3], model.codebook.weight[codes[1, 2 * 4 + 3]])
    assert torch.equal(model.quantise(vectors), codes)


def test_equal_distances_give_the_first_code(model: VQGAN) -> None:
    with torch.no_grad():
        model.codebook.weight.fill_(9.0)
        model.codebook.weight[4:7] = 0.5
    assert torch.equal(model.quantise(torch.zeros(1, 4, 4, 4)), torch.full((1, 16), 4))


def test_downsampling_pads_right_and_bottom(model: VQGAN) -> None:
    down = model.encoder.levels[0].resample
    assert down is not None
    with torch.no_grad():
        down.conv.weight.zero_()
        down.conv.bias.zero_()
        down.conv.weight[:, :, 0, 0] = 1.0  # reads the top left pixel of each window
    x = torch.zeros(1, 4, 4, 4)
    x[0, 0, 2, 2] = 1.0
    assert down(x)[0, 0, 1, 1].item() == 1.0


def test_wrong_shapes_are_named(model: VQGAN) -> None:
    with pytest.raises(ValueError, match=r"pixels have shape \[1, 3, 8, 16\]"):
        model.encode(torch.zeros(1, 3, 8, 16))
    with pytest.raises(ValueError, match=r"codes have shape \[1, 15\]"):
        model.decode(torch.zeros(1, 15, dtype=torch.int64))


def test_directory_round_trip(model: VQGAN, folder: Path) -> None:
    loaded = VQGAN.from_directory(folder)
    pixels = torch.rand(1, 3, 16, 16) * 2 - 1
    assert torch.equal(loaded.encode(pixels), model.encode(pixels))
    assert VQGAN.from_directory(folder, dtype=torch.bfloat16).codebook.weight.dtype == torch.bfloat16


def test_unknown_config_field(folder: Path) -> None:
    config = SMALL.to_dict() | {"dropout": 0.1}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config.json: unknown field 'dropout'; the fields are resolution"):
        VQGAN.from_directory(folder)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"channel_multipliers": 2}, "channel_multipliers is 2, expected a list of integers"),
        ({"channel_multipliers": [1, "2"]}, "expected a list of integers"),
        ({"resolution": 0}, "resolution is 0, expected a positive integer"),
        ({"num_groups": 0}, "num_groups is 0, expected a positive integer"),
        ({"base_channels": -16}, "base_channels is -16, expected a positive integer"),
        ({"resolution": 30}, "resolution 30 is not a multiple of the downsampling 4"),
        ({"resolution": "16"}, "."),
    ],
)
def test_a_config_that_does_not_fit_names_its_file(folder: Path, value: dict[str, object], message: str) -> None:
    (folder / "config.json").write_text(json.dumps(SMALL.to_dict() | value))
    with pytest.raises(ValueError, match=f"config.json: .*{message}") as caught:
        VQGAN.from_directory(folder)
    assert "\n" not in str(caught.value)


def test_impossible_config() -> None:
    with pytest.raises(ValueError, match="resolution 100"):
        VQGANConfig(resolution=100)
    with pytest.raises(ValueError, match="not divisible by num_groups 32"):
        VQGANConfig(base_channels=8)


State = dict[str, torch.Tensor]


def _without(state: State) -> None:
    del state["quant_conv.bias"]


def _with(state: State) -> None:
    state["loss.weight"] = torch.zeros(1)


def _reshaped(state: State) -> None:
    state["codebook.weight"] = torch.zeros(9, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without, "key 'quant_conv.bias' is missing"),
        (_with, "key 'loss.weight' is unexpected"),
        (_reshaped, r"key 'codebook.weight' has shape \[9, 4\], expected \[10, 4\]"),
    ],
)
def test_wrong_keys_are_named(folder: Path, change: Callable[[State], None], message: str) -> None:
    path = folder / "model.safetensors"
    state = load_file(str(path))
    change(state)
    save_file(state, str(path))
    with pytest.raises(ValueError, match=rf"model.safetensors: {message}") as caught:
        VQGAN.from_directory(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 4, 200, -5])
def test_truncated_weights(folder: Path, size: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"model.safetensors: not a complete safetensors file") as caught:
        VQGAN.from_directory(folder)
    assert "\n" not in str(caught.value)


def test_missing_files(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model.safetensors: no such file"):
        VQGAN.from_directory(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"config.json: no such file"):
        VQGAN.from_directory(folder)


@pytest.mark.parametrize(("text", "message"), [("{", "not readable as JSON"), ("[1]", "expected a JSON object")])
def test_broken_json(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_json(tmp_path / "c.json")
    assert "\n" not in str(caught.value)
