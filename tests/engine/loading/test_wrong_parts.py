"""Folders that people give and that hold something else than they seem to: one line that says what."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from acdc.engine.cli.main import main
from acdc.engine.cli.options import remark_on_unused
from acdc.engine.engine import Engine
from acdc.engine.loading.model_store import find_model
from acdc.engine.options import make_options
from tests.helpers.cli_runs import STORY

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def bundle(tiny_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_path, tmp_path / "bundle"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(bundle: Path) -> str:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        Engine.from_pretrained(bundle)
    return str(error.value)


@pytest.mark.parametrize(
    "there", ["diffusion_pytorch_model.bin", "model.ckpt", "diffusion_pytorch_model.fp32.safetensors"]
)
def test_what_lies_in_place_of_the_weights_is_named(bundle: Path, there: str) -> None:
    """huggingface/accelerate#2946."""
    (bundle / "corrector" / "unet" / WEIGHTS).rename(bundle / "corrector" / "unet" / there)
    assert f"no weights ({WEIGHTS[:-12]}[.fp16].safetensors" in refusal(bundle)
    assert f"; {there} cannot be read: save them as safetensors under these names" in refusal(bundle)


@pytest.mark.parametrize(("part", "files"), [("arm", "params and tokenizer.model"), ("tokenizer", "vqgan")])
def test_a_folder_of_neither_layout_names_the_files_of_both(bundle: Path, part: str, files: str) -> None:
    """LWM as published has no config.json, so that name alone would send its users the wrong way."""
    (bundle / part / "config.json").unlink()
    assert refusal(bundle).endswith(f"{part}/config.json: no such file, nor {files} as LWM is published")


@pytest.mark.long
def test_a_key_in_two_shards_is_refused(bundle: Path) -> None:
    folder = bundle / "corrector" / "unet"
    state = load_file(str(folder / WEIGHTS))
    (folder / WEIGHTS).unlink()
    first, *_ = names = sorted(state)
    files = [WEIGHTS.replace(".", f"-0000{n}-of-00002.") for n in (1, 2)]
    save_file({name: state[name] for name in names[:9]}, str(folder / files[0]))
    save_file({name: state[name] for name in names[9:]} | {first: state[first] + 1}, str(folder / files[1]))
    places = {name: files[0 if name in names[:9] else 1] for name in names}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": places}))
    assert f"key {first!r} is in another file of the same weights too" in refusal(bundle)


@pytest.mark.parametrize("number", ["7", None, -1, 1.5])
def test_an_id_that_is_not_a_number_is_named(bundle: Path, number: object) -> None:
    edit(bundle / "corrector" / "tokenizer" / "vocab.json", a=number)
    assert f"the vocabulary has {number!r} as the id of 'a'" in refusal(bundle)


@pytest.mark.parametrize("place", ["added_tokens.json", "tokenizer_config.json"])
def test_a_textual_inversion_is_refused(bundle: Path, place: str) -> None:
    """huggingface/diffusers#2009: its token would be read as plain text."""
    folder = bundle / "corrector" / "tokenizer"
    if place == "added_tokens.json":
        (folder / place).write_text(json.dumps({"<|startoftext|>": 512, "<luna-fox>": 514}))
    else:
        edit(folder / place, added_tokens_decoder={"514": {"content": "<luna-fox>"}})
    assert "the added token '<luna-fox>' is not supported" in refusal(bundle)


def test_parts_that_do_not_fit_are_found_when_they_are_loaded(bundle: Path) -> None:
    edit(bundle / "tokenizer" / "config.json", resolution=32)
    said = "bundle 'tiny': its parts do not fit: codes_per_frame 16 of the ARM, 64 of the tokenizer"
    assert refusal(bundle) == said


def test_an_owners_folder_is_not_the_model(tmp_path: Path) -> None:
    cached = tmp_path / "models--sd--sd" / "snapshots" / "abc"
    cached.mkdir(parents=True)
    (tmp_path / "sd" / "other").mkdir(parents=True)
    with pytest.raises(ValueError, match="no sd/sd under"):
        find_model(tmp_path, "sd/sd")  # the snapshot is empty
    (cached / "model_index.json").write_text("{}")
    assert find_model(tmp_path, "sd/sd") == cached
    (tmp_path / "sd" / "sd").mkdir()
    assert find_model(tmp_path, "sd/sd") == cached
    (tmp_path / "sd" / "sd" / "model_index.json").write_text("{}")
    assert find_model(tmp_path, "sd/sd") == tmp_path / "sd" / "sd"


@pytest.mark.parametrize(("guidance", "words"), [(1.0, 1), (0.5, 1), (3.0, 0), (None, 0)])
def test_a_negative_prompt_without_guidance_is_remarked_on(capsys, guidance: float | None, words: int) -> None:
    """huggingface/diffusers#12223."""
    remark_on_unused(make_options(negative_prompt="fox", guidance_scale=guidance), {"guidance_scale": 5.0})
    printed = capsys.readouterr().err
    assert printed.count("--negative-prompt has no effect") == printed.count("\n") == words
    remark_on_unused(make_options(guidance_scale=guidance), {"guidance_scale": 5.0})
    assert capsys.readouterr().err == ""
    remark_on_unused(make_options(negative_prompt="fox"), {"guidance_scale": 5.0}, embeds_guidance=True)
    assert "has no effect: this diffusion model guides itself" in capsys.readouterr().err


def test_a_prompt_that_is_cut_is_said(tiny_path: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """invoke-ai/InvokeAI#176. A letter is a token of the tiny tokenizer."""
    monkeypatch.chdir(tmp_path)
    long = "A very small and very old tortoise walked slowly over the green and yellow hills of a far land."
    assert main(["story", STORY[0], long, "--bundle", str(tiny_path), "--steps", "2", "--memory", "none"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "too long for the text encoder" in line]
    assert len(said) == 1
    assert said[0].startswith("acdc: frame 2: the prompt is too long for the text encoder, which saw it up to '")
