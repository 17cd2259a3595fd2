"""Our text encoder and its tokenizer against transformers', whose files they load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acdc.engine.models.diffusion import clip_text
from acdc.engine.models.diffusion.clip_text import CLIPText, CLIPTextConfig
from acdc.engine.models.diffusion.clip_tokenizer import END, CLIPTokenizer
from tests.helpers.published import DTYPES, TEXT, close, load_theirs, randomise, write_tokenizer


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@torch.no_grad()
def test_text_encoder_is_the_published_one(activation: str, dtype: torch.dtype) -> None:
    config = transformers.CLIPTextConfig(**TEXT, hidden_act=activation)
    theirs = randomise(transformers.CLIPTextModel(config)).to(dtype)
    ours = CLIPText(CLIPTextConfig.from_dict(config.to_diff_dict())).to(dtype).eval()
    ours.load_state_dict(renamed(theirs.state_dict()), strict=True)
    for length in (16, 7):
        ids = torch.randint(0, 600, (3, length), generator=torch.Generator().manual_seed(3))
        close(ours(ids), theirs(ids).last_hidden_state, dtype)


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for key, value in state.items() if (name := clip_text.current_key(key)) is not None}


def test_text_encoder_keys_with_and_without_prefix() -> None:
    assert clip_text.current_key("text_model.final_layer_norm.bias") == "final_layer_norm.bias"
    assert clip_text.current_key("final_layer_norm.bias") == "final_layer_norm.bias"
    assert clip_text.current_key("text_model.embeddings.position_ids") is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_act", "relu"),
        ("num_attention_heads", 7),
        ("model_type", "t5"),
        ("use_attention_mask", True),
        ("layer_norm_eps", 0),
        ("layer_norm_eps", float("nan")),
        ("hidden_size", -512),
    ],
)
def test_text_encoder_refuses_by_name(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^text encoder config: {key}=.*is not supported"):
        CLIPTextConfig.from_dict({key: value})


TRICKY = [
    "",
    "   ",
    "Benny the beagle sat in a vibrant garden",
    "DON'T  stop\t\nnow, it's I'll we've you're he'd I'm",
    "12345 6.7% (a+b)=c!!! ... ?! #tag @you",
    "naïve café Ünïcödé e\u0301 İstanbul ß ﬁ Å",
    "犬が庭に座った。 собака 🐶👨‍👩‍👧 \u200b\u00a0x\u3000y",
    "<|startoftext|> inside <|endoftext|> text<|ENDOFTEXT|>",
    "a dog! ! !! hey!",
    "word_with_underscores and-hyphens / slashes\\",
    "the beagle " * 30,
    "\x00\x07control\ufeff",
    "garden" * 40,
]


@pytest.mark.parametrize("pad", [END, "!"])
def test_tokenizer_ids_are_the_published_ones(tmp_path: Path, pad: str) -> None:
    write_tokenizer(tmp_path, pad=pad)
    theirs = transformers.CLIPTokenizer.from_pretrained(str(tmp_path))
    ours = CLIPTokenizer.from_directory(tmp_path)
    assert theirs.pad_token == pad
    for text in TRICKY:
        expected = theirs(text, padding="max_length", truncation=True, max_length=16).input_ids
        assert ours.encode([text])[0].tolist() == [expected], text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=3))
def test_tokenizer_ids_on_any_text(tokenizer_folder: Path, texts: list[str]) -> None:
    texts = [t for t in texts if not any("\ud800" <= c <= "\udfff" for c in t)]
    theirs = load_theirs(tokenizer_folder)
    ids, kept = CLIPTokenizer.from_directory(tokenizer_folder).encode(texts)
    assert ids.shape == (len(texts), 16)
    assert ids.dtype == torch.int64
    for text, row, part in zip(texts, ids.tolist(), kept, strict=True):
        assert row == theirs(text, padding="max_length", truncation=True, max_length=16).input_ids
        assert (part is not None) == (len(theirs(text).input_ids) > 16)
        assert part is None or part in text


def test_tokenizer_cuts_the_end_and_says_so(tokenizer_folder: Path) -> None:
    tokenizer = CLIPTokenizer.from_directory(tokenizer_folder)
    long = "Benny the Beagle " + "sat in a garden " * 10
    ids, kept = tokenizer.encode([long, "Benny sat"])
    assert kept == ["Benny the Beagle sat in a garden sat in a garden sat in a", None]
    assert ids[0, 0] == tokenizer.bos_id
    assert ids[0, -1] == tokenizer.eos_id
    assert ids[1].tolist().count(tokenizer.eos_id) == 13  # end and padding are one token here
    assert torch.equal(tokenizer.encode([kept[0] or ""])[0][0], ids[0])


def test_tokenizer_reads_tokenizer_json_alone(tokenizer_folder: Path, tmp_path: Path) -> None:
    load_theirs(tokenizer_folder).save_pretrained(str(tmp_path))
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).unlink(missing_ok=True)
    ids, _ = CLIPTokenizer.from_directory(tmp_path).encode(TRICKY)
    assert torch.equal(ids, CLIPTokenizer.from_directory(tokenizer_folder).encode(TRICKY)[0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "model is not CLIP's"),
        ('{"model": {"type": "WordPiece"}}', "model is not CLIP's"),
        ('{"model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {}}}', "key 'merges'"),
        ('{"model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {}, "merges": [3]}}', "3 is not a"),
        (None, "no vocab.json"),
    ],
)
def test_tokenizer_refuses_damaged_tokenizer_json(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ValueError, match=words):
        CLIPTokenizer.from_directory(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("vocab.json", None, "vocab.json"),
        ("vocab.json", '{"a": 0}', "not in the vocabulary"),
        ("merges.txt", None, "merges.txt"),
        ("merges.txt", "a b c\n", r"merges\.txt: \['a', 'b', 'c'\] is not a merge"),
        ("merges.txt", "qq zz\n", "do not fit"),
        ("tokenizer_config.json", '{"model_max_length": 1e30}', "model_max_length"),
        ("tokenizer_config.json", '{"model_max_length": 2}', "model_max_length"),
        ("special_tokens_map.json", '{"pad_token": 3}', "special token 3"),
        ("special_tokens_map.json", '{"pad_token": "<pad>"}', "pad_token '<pad>' is not in the vocabulary"),
    ],
)
def test_tokenizer_refuses_damage(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    write_tokenizer(tmp_path)
    (tmp_path / name).unlink()
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words) as error:
        CLIPTokenizer.from_directory(tmp_path)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


ADDED = "<fox>"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("added_tokens.json", {ADDED: 541}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"541": {"content": ADDED}}}),
        ("tokenizer_config.json", {"additional_special_tokens": [ADDED]}),
        ("tokenizer_config.json", {"extra_special_tokens": {"fox_token": ADDED}}),
        ("special_tokens_map.json", {"additional_special_tokens": [{"content": ADDED}]}),
    ],
)
def test_tokenizer_refuses_tokens_of_textual_inversions(tmp_path: Path, name: str, said: dict[str, Any]) -> None:
    write_tokenizer(tmp_path)
    path = tmp_path / name
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | said))
    with pytest.raises(ValueError, match="the added token '<fox>' is not supported"):
        CLIPTokenizer.from_directory(tmp_path)


@pytest.mark.parametrize("special", [False, True])
def test_tokenizer_refuses_tokens_that_todays_transformers_keeps_in_one_file(tmp_path: Path, special: bool) -> None:
    """A folder without vocab.json; before, the word was read as its letters and what was learnt for it not used."""
    (tmp_path / "before").mkdir()
    write_tokenizer(tmp_path / "before")
    theirs = transformers.CLIPTokenizer.from_pretrained(str(tmp_path / "before"))
    theirs.add_tokens([ADDED], special_tokens=special)
    theirs.save_pretrained(str(tmp_path / "after"))
    with pytest.raises(ValueError, match="the added token '<fox>' is not supported"):
        CLIPTokenizer.from_directory(tmp_path / "after")


@pytest.mark.parametrize("name", ["padding_side", "truncation_side"])
def test_tokenizer_refuses_another_side(tmp_path: Path, name: str) -> None:
    write_tokenizer(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | {name: "right", "added_tokens_decoder": None}))
    CLIPTokenizer.from_directory(tmp_path)
    path.write_text(json.dumps(said | {name: "left"}))
    with pytest.raises(ValueError, match=f"tokenizer_config.json: {name}='left' is not supported"):
        CLIPTokenizer.from_directory(tmp_path)
