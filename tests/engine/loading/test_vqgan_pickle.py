"""LWM's published ``vqgan`` becomes our tensors: exactly, once; another tree is refused."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acdc.engine.loading.families import ComponentSpec
from acdc.engine.loading.vqgan_pickle import converted_vqgan, load_published, published_key
from acdc.engine.models.tokenizers.vqgan import VQGAN, VQGANConfig
from acdc.engine.utils.weights import skeleton
from tests.helpers.lwm_files import random_arrays, vqgan_shapes, write_vqgan
from tests.helpers.lwm_restated import Codec

SMALL = VQGANConfig(
    resolution=32, base_channels=4, channel_multipliers=(1, 2, 2, 3), num_res_blocks=2, z_channels=6, codebook_size=40,
    num_groups=2,
)  # fmt: skip
ARRAYS = random_arrays(vqgan_shapes(4, (1, 2, 2, 3), 2, 6, 40))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_vqgan(tmp_path / "vqgan", ARRAYS)
    return tmp_path


def load(folder: Path, dtype: torch.dtype = torch.float32) -> VQGAN:
    return load_published(VQGAN, folder, dtype=dtype, config=SMALL)


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match="vqgan") as caught:
        converted_vqgan(path, SMALL)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_full_size_has_the_published_keys_and_parameter_count() -> None:
    shapes = vqgan_shapes(128, (1, 2, 2, 4, 6), 2, 64, 8192)
    assert sum(map(math.prod, shapes.values())) == 146_244_675
    with skeleton():
        ours = VQGAN(VQGANConfig()).state_dict()
    found = {published_key(name): tuple(value.shape) for name, value in ours.items()}
    assert found.keys() == shapes.keys()
    for key, (*size, inputs, outputs) in ((key, shape) for key, shape in shapes.items() if len(shape) == 4):
        assert found[key] == (outputs, inputs, *size)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_value_is_the_written_one(tmp_path: Path, protocol: int) -> None:
    write_vqgan(tmp_path / "vqgan", ARRAYS, protocol)
    state = load(tmp_path).state_dict()
    for name, value in state.items():
        wanted = ARRAYS[published_key(name)]
        assert np.array_equal(value.numpy(), wanted.transpose(3, 2, 0, 1) if wanted.ndim == 4 else wanted)
    assert len(state) == len(ARRAYS)


def test_the_model_computes_what_the_published_tree_means(folder: Path) -> None:
    """Against a restatement that shares nothing with the engine; also which norm and which block is which."""
    model, codec = load(folder), Codec(ARRAYS, groups=2, levels=4, blocks=2)
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = codec.latents(pixels)
    torch.testing.assert_close(model.latents(pixels), latents, rtol=0, atol=1e-5 * float(latents.abs().max()))
    vectors, book = latents[0].flatten(1).T, torch.from_numpy(ARRAYS["quantize/embeddings"])
    codes = (vectors[:, None] - book).square().sum(-1).argmin(-1)
    assert torch.equal(model.encode(pixels)[0], codes)
    torch.testing.assert_close(model.decode(codes[None]), codec.pixels(codes, 4), rtol=0, atol=1e-5)


def test_it_is_converted_once_and_the_source_may_go(folder: Path) -> None:
    made = converted_vqgan(folder / "vqgan", SMALL)
    (folder / "vqgan").unlink()
    assert converted_vqgan(folder / "vqgan", SMALL) == made
    assert torch.equal(VQGAN.from_directory(made).codebook.weight, torch.from_numpy(ARRAYS["quantize/embeddings"]))


def test_a_bundle_takes_the_published_file(folder: Path) -> None:
    """At the published sizes, which these are not."""
    with pytest.raises(ValueError, match=r"vqgan: key 'decoder/UpsamplingBlock_.*' is missing"):
        ComponentSpec("vqgan", {"path": folder}).load(torch.device("cpu"), torch.float32)


@pytest.mark.long
def test_codes_do_not_depend_on_the_dtype_of_the_decoder(folder: Path) -> None:
    exact, lower = load(folder), load(folder, torch.bfloat16)
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    codes = exact.encode(pixels)
    assert torch.equal(lower.encode(pixels.bfloat16().float()), exact.encode(pixels.bfloat16().float()))
    decoded = lower.decode(codes)
    assert decoded.dtype == torch.bfloat16
    torch.testing.assert_close(decoded.float(), exact.decode(codes), rtol=0, atol=0.2)
    assert torch.equal(lower.encode(decoded), exact.encode(decoded.float()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("quant_conv/bias"), "key 'quant_conv/bias' is missing"),
        (lambda a: a.update({"loss/scale": np.ones(1, "f4")}), "key 'loss/scale' is unexpected"),
        (
            lambda a: a.update({"encoder/Conv_0/kernel": np.ones((4, 3, 3, 3), "f4")}),
            "key 'encoder/Conv_0/kernel' has shape [4, 3, 3, 3], expected [3, 3, 3, 4]",
        ),
    ],
)
def test_another_vqgan_is_refused_by_key(folder: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    arrays = dict(ARRAYS)
    change(arrays)
    write_vqgan(folder / "vqgan", arrays)
    assert refusal(folder / "vqgan") == f"{folder / 'vqgan'}: {message}"


def test_a_missing_file(tmp_path: Path) -> None:
    assert "no such file, and no conversion of it" in refusal(tmp_path / "vqgan")
