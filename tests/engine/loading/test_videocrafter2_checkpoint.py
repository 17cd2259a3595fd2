"""VideoCrafter2's published file: what loads, to which tensors, and how damage is named."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from acdc.engine import Corrector
from acdc.engine.loading import shards, videocrafter2
from acdc.engine.loading.corrector import find_corrector
from acdc.engine.loading.fingerprint import fingerprint
from acdc.engine.loading.videocrafter2 import FILE, load_videocrafter2
from acdc.engine.models.diffusion.stable_diffusion import StableDiffusion
from tests.helpers.small_systems import TOKENS
from tests.helpers.videocrafter2 import SMALL_SIZES, published_tensors, write_model

CPU = torch.device("cpu")
UNET = "model.diffusion_model."
CONV = UNET + "input_blocks.1.0.temopral_conv.conv2.3.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "VideoCrafter2")
    return tmp_path / "VideoCrafter2"


def load(folder: Path, dtype: torch.dtype = torch.float32) -> StableDiffusion:
    return load_videocrafter2(folder, None, SMALL_SIZES, CPU, dtype)


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    """Save the tensors once more, changed in place, or what ``change`` makes of them."""
    tensors = published_tensors()
    made = change(tensors)
    torch.save(tensors if made is None else made, folder / FILE)


def states(model: StableDiffusion) -> dict[str, Tensor]:
    parts = {"unet": model.unet, "vae": model.vae, "text": model.text_encoder}
    return {f"{part}.{n}": value for part, network in parts.items() for n, value in network.state_dict().items()}


def test_the_published_layout_loads_to_the_exact_tensors(folder: Path) -> None:
    stored, found = published_tensors(), states(load(folder))
    for ours, theirs in (
        ("unet.down_blocks.0.resnets.0.temporal_conv.convs.1.weight", stored[CONV][..., 0]),
        ("unet.init_attn.proj_in.weight", stored[UNET + "init_attn.0.proj_in.weight"][..., 0]),
        ("unet.up_blocks.1.motion_modules.1.proj_out.bias", stored[UNET + "output_blocks.3.2.proj_out.bias"]),
        ("unet.up_blocks.0.upsamplers.0.conv.bias", stored[UNET + "output_blocks.1.1.conv.bias"]),
        ("vae.decoder.up_blocks.0.resnets.1.conv1.bias", stored["first_stage_model.decoder.up.1.block.1.conv1.bias"]),
        (
            "vae.encoder.mid_block.attentions.0.to_q.weight",
            stored["first_stage_model.encoder.mid.attn_1.q.weight"][..., 0, 0],
        ),
        (
            "text.encoder.layers.0.self_attn.k_proj.bias",
            stored["cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias"][16:32],
        ),
    ):
        assert torch.equal(found[ours], theirs), ours
    used = sum(value.numel() for value in found.values())
    unused = sum(v.numel() for n, v in stored.items() if ".resblocks.1." in n or "text_projection" in n)
    whole = sum(v.numel() for n, v in stored.items() if n.startswith(("model.", "first_", "cond_")))
    assert used == whole - unused - 1, "all but the last layer, the projection and logit_scale"


@pytest.mark.long
@pytest.mark.parametrize(
    "form",
    [
        lambda tensors: tensors,
        lambda tensors: {"state_dict": tensors, "epoch": 3, "hyper_parameters": {"lr": 1e-4}},
        lambda tensors: {"module": {f"_forward_module.{name}": value for name, value in tensors.items()}},
        lambda tensors: {"state_dict": {name: value.half() for name, value in tensors.items()}},
    ],
    ids=["plain", "lightning", "deepspeed", "half"],
)
def test_every_outer_form_is_read(folder: Path, form: Callable[[dict[str, Tensor]], Any]) -> None:
    rewrite(folder, form)
    wanted = published_tensors()[UNET + "out.2.bias"]
    torch.testing.assert_close(load(folder).unet.state_dict()["conv_out.bias"], wanted, rtol=1e-3, atol=1e-4)


def test_it_is_converted_once_and_the_conversion_serves_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 20_000)
    first = states(load(folder))
    (made,) = (folder / "converted").glob(f"{FILE}-*")
    assert len(list((made / "unet").glob("*.safetensors"))) > 3
    assert sum(len(load_file(path)) for path in made.rglob("*.safetensors")) == len(first)
    monkeypatch.setattr(videocrafter2, "convert", lambda *_, **__: pytest.fail("converted again"))
    (folder / FILE).unlink()
    assert all(torch.equal(value, first[name]) for name, value in states(load(folder)).items())
    assert load(folder, torch.bfloat16).unet.state_dict()["conv_out.bias"].dtype == torch.bfloat16


class Evil:
    """An object that a made-up pickle can ask for."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch evil",)


def plainly(folder: Path) -> None:
    (folder / FILE).write_bytes(pickle.dumps({"state_dict": Evil()}))


CHANGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda d: rewrite(d, lambda t: {n: v for n, v in t.items() if n != CONV}), f"key '{CONV}' is missing"),
    "v1 of the model": (
        lambda d: rewrite(d, lambda t: {n: v for n, v in t.items() if "fps_embedding" not in n}),
        f"key '{UNET}fps_embedding.0.bias' is missing",
    ),
    "unexpected": (lambda d: rewrite(d, lambda t: t.update(more=torch.zeros(1))), "key 'more' is unexpected"),
    "another shape": (
        lambda d: rewrite(d, lambda t: t.update({CONV: torch.zeros(8, 8, 3, 1)})),
        rf"key '{CONV}' has shape \[8, 8, 3, 1\], expected \[8, 8, 3, 1, 1\]",
    ),
    "integers": (
        lambda d: rewrite(d, lambda t: t.update({CONV: t[CONV].int()})),
        f"key '{CONV}' is of torch.int32, expected floats",
    ),
    "infinity": (lambda d: rewrite(d, lambda t: t.update({CONV: torch.full_like(t[CONV], torch.inf)})), "is damaged"),
    "not a tensor": (lambda d: rewrite(d, lambda t: t.update({CONV: "x"})), f"key '{CONV}' is str, expected a dense"),
    "a list": (lambda d: rewrite(d, lambda t: [1, 2]), "expected a dictionary of tensors, found list"),
    "it calls in an archive": (lambda d: rewrite(d, lambda t: {**t, "x": Evil()}), "it asks for posix.system; only"),
    "it calls plainly": (plainly, "not an archive that torch.save writes"),
    "no pickle": (lambda d: (d / FILE).write_bytes(b"weights"), "not an archive"),
    "an archive of another kind": (
        lambda d: shutil.make_archive(str(d / "x"), "zip", d / "tokenizer") and (d / "x.zip").replace(d / FILE),
        "not read",
    ),
    "cut short": (lambda d: (d / FILE).write_bytes((d / FILE).read_bytes()[:5000]), "or one that ends early"),
    "gone": (lambda d: (d / FILE).unlink(), "no such file, and no conversion of it"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", CHANGES)
def test_damage_is_one_line_with_file_and_key(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(folder)
    change, said = CHANGES[name]
    change(folder)
    with pytest.raises(ValueError, match=said) as error:
        load(folder)
    assert FILE in str(error.value) or "unet" in str(error.value)
    assert "weights_only" not in str(error.value), "advice to trust the file"
    assert "\n" not in str(error.value)
    assert not Path("evil").exists()


def test_the_tokenizer_is_the_text_encoders(folder: Path, tmp_path: Path) -> None:
    model = load(folder)
    (ids,), (kept,) = model.tokenizer.encode(["a &amp;amp; garden"])
    (plain,), _ = model.tokenizer.encode(["a & garden"])
    assert ids.tolist() == plain.tolist()
    assert ids[-1] == 0
    assert ids[0] == model.tokenizer.bos_id
    assert kept is None
    moved = tmp_path / "elsewhere"
    shutil.move(folder / "tokenizer", moved)
    with pytest.raises(ValueError, match=r"no vocab.json and merges.txt; put the tokenizer of laion/"):
        load(folder)
    assert load_videocrafter2(folder, moved, SMALL_SIZES, CPU, torch.float32).tokenizer.model_max_length == TOKENS
    sizes = {**SMALL_SIZES, "text_encoder": {**SMALL_SIZES["text_encoder"], "max_position_embeddings": 20}}
    with pytest.raises(ValueError, match="its length of 16 is not the text encoder's 20"):
        load_videocrafter2(folder, moved, sizes, CPU, torch.float32)
    sizes = {**SMALL_SIZES, "text_encoder": {**SMALL_SIZES["text_encoder"], "vocab_size": 300}}
    with pytest.raises(ValueError, match=r"its vocabulary of .* is not the text encoder's 300"):
        load_videocrafter2(folder, moved, sizes, CPU, torch.float32)


def test_a_directory_is_found_by_its_file_and_its_fingerprint_reads_it(folder: Path) -> None:
    found = find_corrector(folder)
    assert found.parts["corrector"].kind == "videocrafter2"
    assert found.defaults["guidance_scale"] == 12
    before = fingerprint(found.parts)
    rewrite(folder, lambda t: t.update({CONV: 2 * t[CONV]}))
    assert fingerprint(found.parts) != before
    with pytest.raises(ValueError, match="is a model's directory, leave it out"):
        Corrector.from_pretrained(folder, models=folder)
