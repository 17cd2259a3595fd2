"""MAGVIT-v2 from the published files, small; what is wrong is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from acdc.engine.models.tokenizers.magvit2 import MAGVIT2
from acdc.engine.models.tokenizers.magvit2_config import MAGVIT2Config
from acdc.engine.utils.weights import skeleton
from tests.helpers.small_magvit2 import MODEL, SMALL, pixels, small

Change = Callable[[dict[str, Tensor]], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = {"_class_name": "MAGVITv2", "_diffusers_version": "0.30.1", **SMALL.to_dict()}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(MODEL.state_dict(), tmp_path / "pytorch_model.safetensors")
    return tmp_path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_directory_loads_to_the_exact_tensors(folder: Path, dtype: torch.dtype) -> None:
    """The encoder keeps float32 where the dtype is lower: a code is a sign."""
    model, stored = MAGVIT2.from_directory(folder, dtype=dtype), load_file(folder / "pytorch_model.safetensors")
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    found = model.state_dict()
    assert found.keys() == stored.keys()
    for name, value in stored.items():
        kind = value.dtype if name.startswith("quantize") else dtype if name.startswith("decoder") else wide
        assert found[name].dtype == kind, name
        assert torch.equal(found[name], value.to(kind)), name
    seen = pixels(2, dtype)
    codes = model.encode(seen)
    wanted = small(torch.float64).encode(seen.double())
    assert torch.equal(codes, wanted), "the same signs as in float64, for these pixels"
    assert model.decode(codes).dtype == dtype
    assert model.decode(codes).shape == (2, 3, 16, 16)


def test_the_published_config_says_nothing_of_sizes(tmp_path: Path) -> None:
    published = {"_class_name": "MAGVITv2", "_diffusers_version": "0.30.1"}
    assert MAGVIT2Config.from_dict(published) == MAGVIT2Config()
    assert MAGVIT2Config.from_dict({**published, "resolution": 512}).grid == 32


def test_a_resolution_may_be_given(folder: Path) -> None:
    model = MAGVIT2.from_directory(folder, resolution=32)
    assert model.encode(pixels(1, size=32)).shape == (1, 64)
    with pytest.raises(ValueError, match=r"config.json: resolution 30 is not a multiple of the downsampling 4"):
        MAGVIT2.from_directory(folder, resolution=30)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention": True}, "unknown field 'attention'; the fields are resolution, base_channels"),
        ({"num_groups": 3}, "4 channels are not divisible by num_groups 3"),
        ({"encoder_blocks": [1]}, "channel_multipliers has 3, encoder_blocks has 1, decoder_blocks has 3 levels"),
        ({"encoder_blocks": 2}, "config.json: encoder_blocks is 2, expected a list of integers"),
    ],
)
def test_a_wrong_config_is_refused_by_name(folder: Path, change: dict[str, object], message: str) -> None:
    (folder / "config.json").write_text(json.dumps({**SMALL.to_dict(), **change}))
    with pytest.raises(ValueError, match=message) as caught:
        MAGVIT2.from_directory(folder)
    assert "\n" not in str(caught.value)


def _without(state: dict[str, Tensor]) -> None:
    del state["encoder.quant_conv.bias"]


def _with(state: dict[str, Tensor]) -> None:
    state["loss.weight"] = torch.zeros(1)


def _reshaped(state: dict[str, Tensor]) -> None:
    state["decoder.conv_out.weight"] = torch.zeros(3, 4, 1, 1)


def _another_quantiser(state: dict[str, Tensor]) -> None:
    state["quantize.power_vals"] = state["quantize.power_vals"].flip(0)


def _other_signs(state: dict[str, Tensor]) -> None:
    state["quantize.embedding"] = -state["quantize.embedding"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without, "key 'encoder.quant_conv.bias' is missing"),
        (_with, "key 'loss.weight' is unexpected"),
        (_reshaped, r"key 'decoder.conv_out.weight' has shape \[3, 4, 1, 1\], expected \[3, 4, 3, 3\]"),
        (_another_quantiser, "key 'quantize.power_vals' does not hold the codes' signs: another quantiser"),
        (_other_signs, "key 'quantize.embedding' does not hold"),
    ],
)
def test_wrong_keys_are_named(folder: Path, change: Change, message: str) -> None:
    path = folder / "pytorch_model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)
    with pytest.raises(ValueError, match=message) as caught:
        MAGVIT2.from_directory(folder)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 200, -5])
def test_truncated_weights(folder: Path, size: int) -> None:
    path = folder / "pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        MAGVIT2.from_directory(folder)


def test_a_pickle_is_refused_by_name(folder: Path) -> None:
    path = folder / "pytorch_model.safetensors"
    path.rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model.bin: not read \(a pickle can run code"):
        MAGVIT2.from_directory(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ValueError, match=r"pytorch_model.safetensors: no such file"):
        MAGVIT2.from_directory(folder)


def test_an_empty_model_on_another_device_has_its_signs() -> None:
    """As for random weights at full size: the skeleton is moved, and what follows from the sizes is there."""
    with skeleton():
        model = MAGVIT2(SMALL)
    model.to_empty(device="cpu")
    assert torch.equal(model.quantize.embedding, MODEL.quantize.embedding)
    assert torch.equal(model.quantize.power_vals, MODEL.quantize.power_vals)
