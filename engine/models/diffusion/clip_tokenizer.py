"""CLIP's tokenizer (arXiv 2103.00020, section 2.4): lower-cased byte-level BPE with an end-of-word mark."""

from __future__ import annotations

from collections.abc import Sequence
from html import unescape
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE
from torch import Tensor

from ...utils.weights import read_json

START, END = "<|startoftext|>", "<|endoftext|>"
# Contractions, words, single digits, runs of anything else; white space only separates.
PIECES = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
# In this order: where two are the same text, the later one's flags (whether it is sought in raw text) count.
SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
ADDED = ("added_tokens_decoder", "additional_special_tokens", "extra_special_tokens")
ADDED_IN = ("added_tokens.json", "special_tokens_map.json", "tokenizer.json")


class CLIPTokenizer:
    """Text to a fixed number of ids: start, text, end, padding."""

    def __init__(
        self,
        vocab: dict[str, int],
        merges: Sequence[tuple[str, str]],
        model_max_length: int = 77,
        special: dict[str, str | AddedToken] | None = None,
    ) -> None:
        """`special` overrides bos_token, eos_token, pad_token, unk_token.

        Raises ValueError (one line) for a special token outside the vocabulary, a merge outside it, or a
        length that leaves no room for text.
        """
        if model_max_length < 3:
            raise ValueError(f"model_max_length={model_max_length} leaves no room for text (at least 3)")
        tokens = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END} | (special or {})
        for name in SPECIAL:
            if _content(tokens[name]) not in vocab:
                raise ValueError(f"{name} {_content(tokens[name])!r} is not in the vocabulary")
        self.model_max_length = model_max_length
        self.bos_id, self.eos_id, _, self.pad_id = (vocab[_content(tokens[name])] for name in SPECIAL)
        self._tokenizer = _build(vocab, merges, tokens)

    @classmethod
    def from_directory(cls, folder: Path) -> CLIPTokenizer:
        """Reads vocab.json and merges.txt (or, where both are absent, tokenizer.json) and the two small configs.

        Raises ValueError (one line) that names the file.
        """
        folder = Path(folder)
        vocab, merges = _read_bpe(folder)
        for token, number in vocab.items():
            if type(number) is not int or number < 0:
                raise ValueError(f"{folder}: the vocabulary has {number!r} as the id of {token!r}; give an integer")
        path = folder / "tokenizer_config.json"
        config = read_json(path)
        _refuse_added(folder, config, vocab)
        _refuse_left(path, config)
        length = config.get("model_max_length", 77)
        if not isinstance(length, int) or isinstance(length, bool) or not 3 <= length <= 10**6:
            raise ValueError(f"{path}: model_max_length={length!r} is not a length from 3 to 1000000")
        try:
            return cls(vocab, merges, length, _read_special(folder, config))
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from None

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return max(self._tokenizer.get_vocab().values()) + 1

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, list[str | None]]:
        """(ids int64 [B, model_max_length], for each prompt the text that was kept or None if all of it was).

        A prompt that is too long loses its end, never its beginning, which names the subject.
        """
        rows, kept = [], []
        room = self.model_max_length - 2
        for prompt in prompts:
            encoding = self._tokenizer.encode(prompt, add_special_tokens=False)
            ids = [self.bos_id, *encoding.ids[:room], self.eos_id]
            rows.append(ids + [self.pad_id] * (self.model_max_length - len(ids)))
            too_long = len(encoding.ids) > room
            kept.append(prompt[: encoding.offsets[room - 1][1]].strip() if too_long else None)
        return torch.tensor(rows, dtype=torch.int64).reshape(len(rows), self.model_max_length), kept


class OpenCLIPTokenizer(CLIPTokenizer):
    """As OpenCLIP writes ids: HTML entities are read twice over, and padding is 0, whatever the files say."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As :class:`CLIPTokenizer`."""
        super().__init__(*args, **kwargs)
        self.pad_id = 0

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, list[str | None]]:
        """As :meth:`CLIPTokenizer.encode`."""
        return super().encode([unescape(unescape(prompt)) for prompt in prompts])


def _build(vocab: dict[str, int], merges: Sequence[tuple[str, str]], special: dict[str, str | AddedToken]) -> Tokenizer:
    try:
        unknown = _content(special["unk_token"])
        model = BPE(vocab=vocab, merges=list(merges), end_of_word_suffix="</w>", unk_token=unknown)
    except Exception as error:  # the library raises a bare Exception here
        raise ValueError(f"vocabulary and merges do not fit together ({' '.join(str(error).split())})") from None
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens([special[name] for name in SPECIAL])
    return tokenizer


def _content(token: str | AddedToken) -> str:
    return token.content if isinstance(token, AddedToken) else token


def _read_bpe(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    if (folder / "vocab.json").exists() or (folder / "merges.txt").exists():
        return read_json(folder / "vocab.json"), _read_merges(folder / "merges.txt")
    path = folder / "tokenizer.json"
    if not path.exists():
        raise ValueError(f"{folder}: no vocab.json and merges.txt, and no tokenizer.json")
    model = read_json(path).get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE" or model.get("end_of_word_suffix") != "</w>":
        raise ValueError(f"{path}: model is not CLIP's byte-pair encoding")
    for key, kind in (("vocab", dict), ("merges", list)):
        if not isinstance(model.get(key), kind):
            raise ValueError(f"{path}: key {key!r} of the model is missing")
    return model["vocab"], [_merge(path, m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]


def _read_merges(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable ({' '.join(str(error).split())})") from None
    lines = lines[1:] if lines[0].startswith("#version") else lines
    return [_merge(path, line.split(" ")) for line in lines if line.strip()]


def _merge(path: Path, pieces: list[str]) -> tuple[str, str]:
    if not isinstance(pieces, list) or len(pieces) != 2:
        raise ValueError(f"{path}: {pieces!r} is not a merge of two pieces")
    return pieces[0], pieces[1]


def _refuse_added(folder: Path, config: dict[str, Any], vocab: dict[str, int]) -> None:
    """``ValueError`` for a token that a fine-tuning added (textual inversion): in a prompt it would be read as plain
    text, and what was learnt for it never used."""
    for token in _added(folder, config):
        if token not in vocab:
            raise ValueError(f"{folder}: the added token {token!r} is not supported; leave textual inversions out")


def _added(folder: Path, config: dict[str, Any]) -> list[str]:
    """The names of added tokens in every place that some version of transformers writes them to."""
    read = {name: read_json(folder / name) for name in ADDED_IN if (folder / name).exists()}
    found: list[Any] = [*read.get("added_tokens.json", {})]
    for values in (config, read.get("special_tokens_map.json", {})):
        for name in ADDED:
            found += _values(values.get(name))
    found += _values(read.get("tokenizer.json", {}).get("added_tokens"))
    return [str(token.get("content") if isinstance(token, dict) else token) for token in found]


def _values(listed: Any) -> list[Any]:
    """The entries of a list or of an object, which versions write in each other's place."""
    return list(listed.values()) if isinstance(listed, dict) else listed if isinstance(listed, list) else []


def _refuse_left(path: Path, config: dict[str, Any]) -> None:
    """``ValueError`` for padding, or a cut, at the beginning: it moves every word to another position."""
    for name in ("padding_side", "truncation_side"):
        if (side := config.get(name)) not in (None, "right"):
            raise ValueError(f"{path}: {name}={side!r} is not supported (served: 'right')")


def _read_special(folder: Path, config: dict[str, Any]) -> dict[str, str | AddedToken]:
    found = dict(config)
    path = folder / "special_tokens_map.json"
    # Older directories keep the token that counts in this file: SD 2.x pads with "!" (id 0) only here.
    if path.exists() and "added_tokens_decoder" not in config:
        found |= read_json(path)
    return {name: _token(found[name]) for name in SPECIAL if found.get(name) is not None}


def _token(value: Any) -> str | AddedToken:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("content"), str):
        raise ValueError(f"special token {value!r} is neither a string nor an object with its content")
    flags = {key: bool(value.get(key, False)) for key in ("lstrip", "rstrip", "single_word", "normalized")}
    return AddedToken(value["content"], special=True, **flags)
