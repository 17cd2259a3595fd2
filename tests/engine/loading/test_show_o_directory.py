"""Show-o from the published files: config, weights and Phi-1.5's text, small; what is wrong is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor

from acdc.engine.models.show_o.family import ShowOArm
from acdc.engine.models.show_o.model import ShowOConfig
from acdc.engine.models.show_o.runner import read_config
from acdc.engine.models.show_o.text import BLANKS, read_encoder
from tests.helpers.small_show_o import small_model


def bpe() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Bytes, three merges and the end: with 38 runs of blanks the text ids are 0 .. 297."""
    merges = [("c", "a"), ("ca", "t"), ("Ġ", "cat")]
    pieces = [*sorted(ByteLevel.alphabet()), *(a + b for a, b in merges), "<|endoftext|>"]
    return {piece: index for index, piece in enumerate(pieces)}, merges


SMALL = {"layers": 1, "hidden": 16, "ffn": 24, "heads": 2, "text_field": 12, "text_end": 259, "max_position": 64}
CONFIG_JSON = {
    "_class_name": "Showo",
    "_diffusers_version": "0.30.1",
    "codebook_size": 8,
    "llm_model_path": "microsoft/phi-1_5",
    "llm_vocab_size": 298,
    "mask_token_id": 316,
    "num_vq_tokens": 4,
    "vocab_size": 317,
    "w_clip_vit": False,
    "transformer": SMALL,
}


def write_text(folder: Path) -> None:
    vocab, merges = bpe()
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges), ""]), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As ``showlab/show-o``, with the text files in ``phi-1_5`` next to it."""
    published = tmp_path / "show-o"
    published.mkdir()
    write_text(tmp_path / "phi-1_5")
    write(published, CONFIG_JSON)
    return published


def write(folder: Path, config: dict[str, object]) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    model = small_model(torch.float32, read_config(folder / "config.json"))
    save_file(model.state_dict(), folder / "pytorch_model.safetensors")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_directory_loads_to_the_exact_tensors(folder: Path, dtype: torch.dtype) -> None:
    arm = ShowOArm.from_directory(folder, dtype=dtype)
    stored = load_file(folder / "pytorch_model.safetensors")
    found = arm.model.state_dict()
    assert found.keys() == stored.keys()
    for name, value in stored.items():
        assert torch.equal(found[name], value.to(dtype)), name
    assert arm.stream.codes_per_frame == 4
    assert arm.model.rope.cos.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert not any(p.requires_grad for p in arm.model.parameters())


def test_the_clip_projection_is_read_past(folder: Path) -> None:
    write(folder, {**CONFIG_JSON, "w_clip_vit": True, "load_from_showo": True, "num_new_special_tokens": 10})
    stored = load_file(folder / "pytorch_model.safetensors")
    assert stored["mm_projector.0.weight"].shape == (16, 1024)
    found = ShowOArm.from_directory(folder).model.state_dict()
    assert found.keys() == {name for name in stored if not name.startswith("mm_projector")}


def test_the_published_config_is_understood(tmp_path: Path) -> None:
    published = {name: value for name, value in CONFIG_JSON.items() if name != "transformer"}
    published |= {"codebook_size": 8192, "llm_vocab_size": 50295, "mask_token_id": 58497, "vocab_size": 58498}
    for codes, more in ((256, {}), (1024, {"load_from_showo": True})):
        (tmp_path / "config.json").write_text(json.dumps({**published, "num_vq_tokens": codes, **more}))
        assert read_config(tmp_path / "config.json") == ShowOConfig(num_vq_tokens=codes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_class_name": "Showo2"}, "_class_name is 'Showo2', expected 'Showo'"),
        ({"llm_model_path": "gpt2"}, "llm_model_path is 'gpt2', expected 'microsoft/phi-1_5'"),
        ({"mask_token_id": 5}, "mask_token_id is 5, expected 316"),
        ({"vocab_size": 318}, "vocab_size is 318, expected 317"),
        ({"num_new_special_tokens": 9}, "num_new_special_tokens is 9, expected 10"),
        ({"codebook_size": "8"}, "codebook_size is '8', expected a positive integer"),
        ({"num_vq_tokens": None}, "num_vq_tokens is None, expected a positive integer"),
        ({"num_vq_tokens": 5}, "num_vq_tokens 5 is not a square"),
        ({"w_clip_vit": 1}, "w_clip_vit is 1, expected true or false"),
        ({"hidden_size": 4}, "unknown field 'hidden_size'; the fields are _class_name"),
        ({"transformer": {"depth": 4}}, "unknown transformer setting 'depth'; choose from layers"),
        ({"transformer": {"heads": 3}}, "hidden 2048, heads 3, .* do not fit"),
        ({"transformer": {"heads": 0}}, "heads is 0, expected a positive integer"),
        ({"transformer": {"layers": "2"}}, "layers is '2', expected a positive integer"),
        ({"transformer": {"text_field": 7.5}}, "text_field is 7.5, expected a positive integer"),
        ({"transformer": {"rotary_fraction": "0.5"}}, "rotary_fraction is '0.5', expected a positive number"),
        ({"transformer": {"rope_theta": True}}, "rope_theta is True, expected a positive number"),
        ({"transformer": 4}, "config.json: "),
    ],
)
def test_a_wrong_config_is_refused_by_name(tmp_path: Path, change: dict[str, object], message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG_JSON, **change}))
    with pytest.raises(ValueError, match=message) as caught:
        read_config(tmp_path / "config.json")
    assert str(tmp_path / "config.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def _without(state: dict[str, Tensor]) -> None:
    del state["showo.lm_head.bias"]


def _with(state: dict[str, Tensor]) -> None:
    state["mm_projector.0.weight"] = torch.zeros(1)


def _reshaped(state: dict[str, Tensor]) -> None:
    state["showo.model.embed_tokens.weight"] = torch.zeros(316, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without, "key 'showo.lm_head.bias' is missing"),
        (_with, "key 'mm_projector.0.weight' is unexpected"),
        (_reshaped, r"key 'showo.model.embed_tokens.weight' has shape \[316, 16\], expected \[317, 16\]"),
    ],
)
def test_wrong_keys_are_named(folder: Path, change: Callable[[dict[str, Tensor]], None], message: str) -> None:
    path = folder / "pytorch_model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)
    with pytest.raises(ValueError, match=message) as caught:
        ShowOArm.from_directory(folder)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("size", [0, 200, -5])
def test_truncated_weights(folder: Path, size: int) -> None:
    path = folder / "pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        ShowOArm.from_directory(folder)


def test_a_pickle_is_refused_by_name(folder: Path) -> None:
    path = folder / "pytorch_model.safetensors"
    path.unlink()
    with pytest.raises(ValueError, match=r"pytorch_model.safetensors: no such file"):
        ShowOArm.from_directory(folder)
    (folder / "pytorch_model.bin").touch()
    said = r"pytorch_model.bin: not read \(a pickle can run code .*\); give pytorch_model.safetensors"
    with pytest.raises(ValueError, match=said):
        ShowOArm.from_directory(folder)


# Text


def test_text_files_are_found_in_three_places(folder: Path, tmp_path: Path) -> None:
    next_to, inside = tmp_path / "phi-1_5", folder / "phi-1_5"
    for move in ((next_to, inside), (inside, tmp_path / "elsewhere")):
        move[0].rename(move[1])
        if move[1] == inside:
            assert ShowOArm.from_directory(folder).encode("cat") == [257]
    with pytest.raises(ValueError, match=r"show-o/tokenizer.json: no such file, nor vocab.json and merges.txt; copy"):
        ShowOArm.from_directory(folder)
    assert ShowOArm.from_directory(folder, tokenizer=tmp_path / "elsewhere").encode("cat") == [257]


def test_words_blanks_and_markers(folder: Path, tmp_path: Path) -> None:
    config = read_config(folder / "config.json")
    encode = read_encoder(tmp_path / "phi-1_5", config)
    assert encode("") == []
    assert encode("cat cat") == [257, 258]
    assert encode("a" + " " * 31 + "\t\t")[1:] == [260, 297]
    for marker in ("<|endoftext|>", "<|soi|>", "<|t2i|>", "[PAD]"):
        ids = encode(marker)
        assert len(ids) == len(marker)
        assert max(ids) < config.text_end, "a marker's name in a user's sentence is text"


def test_both_kinds_of_files_give_the_same_ids(folder: Path, tmp_path: Path) -> None:
    """tokenizer.json as the published one is made: the end is special, the runs of blanks are not."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    vocab, merges = bpe()
    whole = Tokenizer(models.BPE(vocab, merges))
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    whole.add_special_tokens(["<|endoftext|>"])
    whole.add_tokens([AddedToken(blank, normalized=True) for blank in BLANKS])
    (tmp_path / "json").mkdir()
    whole.save(str(tmp_path / "json" / "tokenizer.json"))
    config = read_config(folder / "config.json")
    one, other = (read_encoder(tmp_path / name, config) for name in ("json", "phi-1_5"))
    for text in ("cat  cat\tcat\t\t\t<|endoftext|>", "é  ", " " * 40, "Don't 12  "):
        assert one(text) == other(text)


def test_ids_are_those_of_the_library(folder: Path, tmp_path: Path) -> None:
    import transformers

    text = tmp_path / "phi-1_5"
    theirs = transformers.CodeGenTokenizer(str(text / "vocab.json"), str(text / "merges.txt"))
    encode = read_encoder(text, read_config(folder / "config.json"))
    for said in ("a cat sat, didn't it?", "Ünïcode 1234 cat", "cat\ncat"):
        assert encode(said) == theirs(said)["input_ids"]


def test_long_sentences_are_cut(folder: Path) -> None:
    arm = ShowOArm.from_directory(folder)
    assert len(arm.encode("xy" * 40)) == arm.config.max_prompt == 9


def test_another_models_text_is_refused(folder: Path, tmp_path: Path) -> None:
    vocab, _ = bpe()
    vocab["more"] = len(vocab)
    (tmp_path / "phi-1_5" / "vocab.json").write_text(json.dumps(vocab))
    with pytest.raises(ValueError, match=r"299 tokens, <\|endoftext\|> is 259; expected 298 and 259"):
        ShowOArm.from_directory(folder)
    (tmp_path / "phi-1_5" / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="not a tokenizer's files"):
        ShowOArm.from_directory(folder)
