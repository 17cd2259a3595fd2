"""ACDiT's published file: read without being run, converted once, and named where it does not fit."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from acdc.engine.acdit.pipeline import ACDiTPipeline
from acdc.engine.loading import acdit, shards
from acdc.engine.loading.acdit import acdit_fingerprint, load_acdit, load_vae, make_acdit, weights_folder
from acdc.engine.models.acdit.config import ACDiTConfig
from acdc.engine.models.acdit.network import ACDiT
from tests.helpers.small_acdit import CLIP, KINDS, PICTURE, VAE_CONFIG, arguments, drawn, write_acdit, write_vae

CPU = torch.device("cpu")
OTHER_SPLIT = ACDiTConfig(1, 64, num_classes=2, latent_size=8, block_tokens=16, rotary_split=(3, 1))


@pytest.mark.parametrize("config", [*KINDS.values(), OTHER_SPLIT], ids=[*KINDS, "split"])
def test_a_published_file_is_converted_once_and_the_conversion_serves_alone(
    config: ACDiTConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 100_000)
    path = write_acdit(tmp_path / "ACDiT-S.pt", config)
    model = load_acdit(path, CPU, torch.float32)
    assert model.config == config
    wanted = drawn(ACDiT(config))
    assert model.state_dict().keys() == wanted.keys()
    assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())
    folder = weights_folder(path)
    assert len(list(folder.glob("*.safetensors"))) > 1
    vae = write_vae(tmp_path / "vae")
    before = acdit_fingerprint(path, vae, torch.float32)
    monkeypatch.setattr(acdit, "convert", lambda *_: pytest.fail("converted again"))
    path.unlink()
    for place in (path, folder):
        again = load_acdit(place, CPU, torch.float32).state_dict()
        assert all(torch.equal(value, wanted[name]) for name, value in again.items())
    assert acdit_fingerprint(path, vae, torch.float32) == before


class Harmful:
    """Runs a command when its pickle is read as pickles are."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("touch ran",)


Change = Callable[[dict[str, Any]], Any]


def changed(**changes: Any) -> Change:
    def change(file: dict[str, Any]) -> None:
        vars(file["args"]).update(changes)

    return change


def dropped(part: str, key: str) -> Change:
    return lambda file: (vars(file[part]) if part == "args" else file[part]).pop(key)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.update(opt=Harmful()), "it asks for posix.system; only tensors are read"),
        (lambda file: setattr(file["args"], "lr", Harmful()), "it asks for posix.system; only tensors are read"),
        (lambda file: file.pop("args"), "expected a dictionary with 'model' and 'args'"),
        (lambda file: file.update(args=[1]), "'args' is list, expected the training script's arguments"),
        (lambda file: file.update(model=torch.zeros(3)), "expected a dictionary of tensors, found Tensor"),
        (lambda file: file["model"].update(extra=3), "key 'extra' is int, expected a dense tensor"),
        (lambda file: file["model"].update(extra=torch.zeros(3)), "key 'extra' is unexpected"),
        (dropped("model", "blocks.1.mlp.fc2.bias"), "key 'blocks.1.mlp.fc2.bias' is missing"),
        (dropped("model", "x_embedder.weight"), "'x_embedder.weight' is missing"),
        (dropped("args", "patch_size"), "'patch_size' is missing"),
        (changed(ar_len=8), "arguments say 4 blocks of 16 tokens of 4 numbers, but ar_len is 8 and x_embedder reads 4"),
        (changed(patch_size=2, block_size=4), "tokens of 16 numbers, but ar_len is 4 and x_embedder reads 4"),
        (changed(block_size=32), "blocks of 32 tokens are not square tiles of 8 x 8 tokens"),
        (changed(block_size="16"), "block_tokens is '16', expected positive integers"),
        (changed(vae_patch_pixels=0), "by zero"),
        (changed(nd_split="2_x"), "invalid literal"),
        (changed(nd_split=[1, 1]), "has no attribute 'split'"),
    ],
)
def test_a_file_that_does_not_fit_is_named_and_nothing_of_it_runs(
    change: Change, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, file = tmp_path / "ACDiT-S.pt", {"model": drawn(ACDiT(PICTURE)), "args": arguments(PICTURE)}
    change(file)
    torch.save(file, path)
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        load_acdit(path, CPU, torch.float32)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "ran").exists()
    assert not [made for made in (tmp_path / "converted").glob("*") if made.is_dir()]


def test_arguments_may_be_a_plain_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "ACDiT-S.pt"
    torch.save({"model": drawn(ACDiT(CLIP)), "args": vars(arguments(CLIP))}, path)
    assert load_acdit(path, CPU, torch.float32).config == CLIP


def test_other_files_and_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("no archive")
    for path, words in (
        (tmp_path / "none.pt", "no such file; give a published file, such as ACDiT-XL-img.pt"),
        (tmp_path, "no config.json; give a published file"),
        (tmp_path / "text.pt", "not an archive that torch.save writes"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            load_acdit(path, CPU, torch.float32)
    with pytest.raises(ValueError, match="no autoencoder"):
        load_vae(tmp_path, CPU, torch.float32)


def test_the_autoencoder_lies_in_the_folder_or_in_its_folder_vae(tmp_path: Path) -> None:
    whole = write_vae(tmp_path / "DiT-XL-2-256")
    one, other = (load_vae(place, CPU, torch.float32).state_dict() for place in (whole, whole / "vae"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_pipeline_names_what_is_missing(tmp_path: Path) -> None:
    path, vae = write_acdit(tmp_path / "ACDiT-S.pt", PICTURE), write_vae(tmp_path / "vae")
    for given, words in (
        ({}, "no model given"),
        ({"model": path}, "no autoencoder given; give the directory of facebook/DiT-XL-2-256"),
        ({"model": path, "vae": vae, "random_weights": "XL-img"}, "a model and random weights are given together"),
        ({"random_weights": "XXL-img"}, "unknown ACDiT 'XXL-img'; choose B-img, B-vid, L-img"),
        ({"model": path, "vae": vae, "dtype": "int4"}, "unknown dtype 'int4'"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            ACDiTPipeline.from_pretrained(**given)
    assert ACDiTPipeline.from_pretrained(path, vae=vae).config == PICTURE


def test_latents_of_another_autoencoder_are_refused(tmp_path: Path) -> None:
    config = ACDiTConfig(**{**vars(PICTURE), "latent_channels": 3})
    path, vae = write_acdit(tmp_path / "ACDiT-S.pt", config), write_vae(tmp_path / "vae")
    with pytest.raises(ValueError, match="latents have 4 channels, but the network draws 3"):
        ACDiTPipeline.from_pretrained(path, vae=vae)


def test_random_weights_need_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acdit, "PUBLISHED", {"S-img": PICTURE})
    monkeypatch.setattr(acdit, "SIZES", {"vae": VAE_CONFIG})
    model, vae = make_acdit("S-img", CPU, torch.bfloat16)
    assert (model.config, model.dtype, vae.config.latent_channels) == (PICTURE, torch.bfloat16, 4)
    assert model.x_embedder.weight.std() > 0.1


def test_a_namespace_is_known_while_the_file_is_read_and_not_after(tmp_path: Path) -> None:
    load_acdit(write_acdit(tmp_path / "ACDiT-S.pt", PICTURE), CPU, torch.float32)
    assert Namespace not in torch.serialization.get_safe_globals()
