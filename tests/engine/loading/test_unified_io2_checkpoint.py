"""Unified-IO 2's published files: every tensor under its name, converted once, and one line for what does not fit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from acdc.engine.loading.families import ComponentSpec
from acdc.engine.loading.fingerprint import fingerprint
from acdc.engine.loading.unified_io2 import Published, load_arm, load_vqgan, read_config
from acdc.engine.models.unified_io2.config import SIZES
from tests.helpers.unified_io2 import COSINE, SMALL, published_config, published_shapes, write_model
from tests.helpers.unified_io2_restated import vqgan_codes, vqgan_pixels

CPU = torch.device("cpu")
PRESETS: dict[str, dict[str, Any]] = {
    "large": {"t5_config": {"emb_dim": 1024, "num_heads": 16, "head_dim": 64, "mlp_dim": 2816}},
    "xl": {"t5_config": {"emb_dim": 2048, "num_heads": 16, "head_dim": 128, "mlp_dim": 5120}},
    "xxl": {"t5_config": {"emb_dim": 3072, "num_heads": 24, "head_dim": 128, "mlp_dim": 8192}},
}
WIDER = {"emb_dim": 1024, "num_heads": 16, "head_dim": 64, "mlp_dim": 4096}
for name, more in (("xl", WIDER), ("xxl", {**WIDER, **COSINE})):
    PRESETS[name] |= {"image_history_cfg": more, "audio_history_cfg": more}
PUBLISHED = {"large": (1_080_595_919, 1625), "xl": (3_175_415_247, 1625), "xxl": (6_864_176_143, 1621)}


def named(published: Published) -> dict[str, tuple[int, ...]]:
    """Published name -> shape of everything that is read."""
    return {
        name_of(name): tuple(value.shape)
        for network, name_of in published.networks().values()
        for name, value in network.state_dict().items()
    }


@pytest.mark.parametrize("size", PUBLISHED)
def test_the_published_sizes_have_the_published_tensors(tmp_path: Path, size: str) -> None:
    """Counts are those of the files on the hub; names and shapes those of the published code, audio's among them."""
    config = published_config(**PRESETS[size])
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = read_config(tmp_path / "config.json")
    assert found.arm == SIZES[size]
    shapes = named(found) | found.unused
    assert shapes == published_shapes(config)
    assert (sum(map(math.prod, shapes.values())), len(shapes)) == PUBLISHED[size]
    vqgan = [math.prod(shape) for name, shape in shapes.items() if name.startswith("target_embedders.image.vqgan")]
    assert sum(vqgan) == 67_717_295


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "uio2"


@pytest.mark.long
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_tensor_arrives_and_keeps_its_type(folder: Path, dtype: torch.dtype) -> None:
    tensors = write_model(folder, dtype=dtype)
    published = read_config(folder / "config.json")
    arm, vqgan = load_arm(folder, None, CPU, dtype), load_vqgan(folder, CPU, torch.float32)
    whole = arm.model.state_dict()
    for part, (network, name_of) in published.networks().items():
        for name in network.state_dict():
            prefix = {"vit": "input_embedders.image.image_encoder.vision_transformer."}.get(part, "")
            value = vqgan.state_dict()[name] if part == "vqgan" else whole[prefix + name]
            assert torch.equal(value, tensors[name_of(name)]), name
    assert arm.model.image.vit.embedding.weight.dtype == torch.float32
    assert arm.model.text_token_embedder.weight.dtype == dtype


def test_codes_and_pictures_are_the_restated_ones(folder: Path) -> None:
    tensors, config = write_model(folder), json.loads((folder / "config.json").read_text())
    wide, vqgan = {key: value.double() for key, value in tensors.items()}, load_vqgan(folder, CPU, torch.float64)
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(5)).double() * 2 - 1
    codes = torch.stack([vqgan_codes(wide, config, picture[None]) for picture in pixels])
    assert torch.equal(vqgan.encode(pixels), codes)
    found = torch.cat([vqgan_pixels(wide, config, row) for row in codes]).clamp(-1, 1)
    assert float((vqgan.decode(codes) - found).abs().max()) < 1e-10
    assert len(codes.unique()) > 4


def test_it_is_converted_once_and_the_pickle_may_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(folder)
    parts = {"arm": ComponentSpec("unified-io-2", {"path": folder}, {"size": "xl"}),
             "tokenizer": ComponentSpec("unified-io-2-vqgan", {"path": folder})}  # fmt: skip
    before = fingerprint(parts)
    arm, _ = (part.load(CPU, torch.float32) for part in parts.values())
    monkeypatch.setattr("acdc.engine.loading.unified_io2.read_tensors", None)  # which would fail
    assert len(list((folder / "converted").glob("pytorch_model.bin-*"))) == 1
    (folder / "pytorch_model.bin").unlink()
    again, vqgan = (part.load(CPU, torch.float32) for part in parts.values())
    assert torch.equal(arm.model.text_token_embedder.weight, again.model.text_token_embedder.weight)
    assert vqgan.config.codes_per_frame == again.stream.codes_per_frame == 16
    assert vqgan.config.codebook_size == again.stream.codebook_size == 64
    assert fingerprint(parts) != before, "other files"


def test_another_file_is_another_fingerprint(folder: Path) -> None:
    write_model(folder)
    parts = {"arm": ComponentSpec("unified-io-2", {"path": folder})}
    before = fingerprint(parts)
    write_model(folder, fill=lambda key, shape: torch.zeros(shape))
    assert fingerprint(parts) != before


def without(tensors: dict[str, Tensor]) -> None:
    del tensors["decoder.layers_1.encoder_decoder_attention.key_norm.scale"]


def besides(tensors: dict[str, Tensor]) -> None:
    tensors["decoder.layers_2.mlp.wo.weight"] = torch.zeros(2)


def misshapen(tensors: dict[str, Tensor]) -> None:
    tensors["input_embedders.audio.projection.weight"] = torch.zeros(2, 3)


@pytest.mark.long
@pytest.mark.parametrize(("spoil", "message"), [
    (without, "key 'decoder.layers_1.encoder_decoder_attention.key_norm.scale' is missing"),
    (besides, "key 'decoder.layers_2.mlp.wo.weight' is unexpected"),
    (misshapen, r"key 'input_embedders.audio.projection.weight' has shape \[2, 3\], expected \[32, 32\]"),
])  # fmt: skip
def test_a_file_of_another_model_is_refused(
    folder: Path, spoil: Callable[[dict[str, Tensor]], None], message: str
) -> None:
    tensors = write_model(folder)
    spoil(tensors)
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=rf"pytorch_model.bin: {message}$"):
        load_arm(folder, None, CPU, torch.float32)
    assert not list((folder / "converted").glob("pytorch_model.bin-*"))


@pytest.mark.parametrize(("part", "changes", "message"), [
    ("t5_config", {"qk_norm": False}, "t5_config.qk_norm is False, expected True"),
    ("t5_config", {"decoder_xattention_internval": 2}, "t5_config.decoder_xattention_internval is 2, expected 1"),
    ("image_history_cfg", {"resampler_type": "v2"}, "image_history_cfg.resampler_type is 'v2', expected 'perceiver'"),
    ("image_history_cfg", {"xattention_index": []}, r"image_history_cfg.xattention_index is \[\], expected all layers"),
    ("image_vqgan", {"attn_resolutions": [8]}, r"image_vqgan.attn_resolutions is \[8\], expected \[4\]"),
    ("image_vit_cfg", {"num_layers": 1}, "layers 1 of the image transformer; the second one's output is read"),
    ("t5_config", {"emb_dim": "wide"}, "width is 'wide', expected a positive integer"),
])  # fmt: skip
def test_a_config_of_another_model_is_refused(tmp_path: Path, part: str, changes: dict, message: str) -> None:
    config = published_config(**SMALL)
    config[part] |= changes
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=rf"^{path}: {message}$"):
        read_config(path)
    del config[part]
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=rf"^{path}: key '{part}' is missing$"):
        read_config(path)


def test_what_is_not_there_is_named(folder: Path) -> None:
    write_model(folder)
    (folder / "tokenizer.model").unlink()
    with pytest.raises(ValueError, match=r"uio2/tokenizer.model: no such file$"):
        load_arm(folder, None, CPU, torch.float32)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ValueError, match=r"pytorch_model.bin: no such file, and no conversion of it"):
        load_vqgan(folder, CPU, torch.float32)
    spec = ComponentSpec("unified-io-2", {"path": folder}, {"width": 3})
    with pytest.raises(ValueError, match="config 'width' of a part of kind unified-io-2: its own files tell the sizes"):
        spec.load(CPU, torch.float32)


def test_another_tokenizer_is_refused(folder: Path) -> None:
    write_model(folder)
    path = folder / "tokenizer.model"
    path.write_bytes(path.read_bytes().replace("\u2581Gener".encode(), "\u2581Xener".encode()))
    with pytest.raises(ValueError, match=r"'Generate an image of' is spelled .* not LLaMA's tokenizer$"):
        load_arm(folder, None, CPU, torch.float32)
