"""A small CLIP-style BPE for captions: lower-cased, words closed by ``</w>``, the full byte alphabet.

Written as the four files that `transformers.CLIPTokenizer` reads; the ids are the same (tests/bench). The merges
are learnt here rather than by `tokenizers.trainers`, whose ties depend on the order of a hash map.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

MODEL_MAX_LENGTH = 77  # of Stable Diffusion 1.x; prompts are padded to it in training and inference alike
START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
# CLIP's pattern of pieces
PIECES = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
Pair = tuple[str, str]


def learn_merges(texts: Iterable[str], count: int) -> list[Pair]:
    """The up to `count` most frequent merges of `texts` (Sennrich et al. 2016); ties go to the smaller pair."""
    plain = build_tokenizer([])
    assert plain.normalizer is not None
    assert plain.pre_tokenizer is not None
    frequency: Counter[str] = Counter()
    for text, times in Counter(texts).items():
        for piece, _ in plain.pre_tokenizer.pre_tokenize_str(plain.normalizer.normalize_str(text)):
            frequency[piece] += times
    words = [[*piece[:-1], piece[-1] + WORD_END] for piece in sorted(frequency)]
    times_seen = [frequency[piece] for piece in sorted(frequency)]
    pairs: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, symbols in enumerate(words):
        for pair in pairwise(symbols):
            pairs[pair] += times_seen[index]
            holders[pair].add(index)
    merges: list[Pair] = []
    while len(merges) < count and pairs:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < 2:
            break
        merges.append(best)
        for index in sorted(holders[best]):
            before, after = words[index], _merged(words[index], best)
            for pair in pairwise(before):
                pairs[pair] -= times_seen[index]
            for pair in pairwise(after):
                pairs[pair] += times_seen[index]
                holders[pair].add(index)
            words[index] = after
        pairs = +pairs  # drops what no longer occurs
    return merges


def _merged(symbols: Sequence[str], pair: Pair) -> list[str]:
    result: list[str] = []
    position = 0
    while position < len(symbols):
        if tuple(symbols[position : position + 2]) == pair:
            result.append("".join(pair))
            position += 2
        else:
            result.append(symbols[position])
            position += 1
    return result


def build_tokenizer(merges: Sequence[Pair]) -> Tokenizer:
    """The tokenizer of `merges`: ids are the 256 bytes, the 256 closing bytes, the merges, start and end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(letter + WORD_END for letter in alphabet), *map("".join, merges), START, END]
    vocab = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    model = BPE(vocab, list(merges), continuing_subword_prefix="", end_of_word_suffix=WORD_END, unk_token=END)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        (END, vocab[END]), (START, vocab[START]), trim_offsets=False, add_prefix_space=False
    )
    tokenizer.enable_truncation(MODEL_MAX_LENGTH)
    tokenizer.enable_padding(length=MODEL_MAX_LENGTH, pad_id=vocab[END], pad_token=END)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray:
    """Ids int32 [len(texts), 77], started, ended and padded with the end token."""
    return np.array([encoding.ids for encoding in tokenizer.encode_batch(list(texts))], dtype=np.int32)


def save_tokenizer(merges: Sequence[Pair], folder: Path) -> None:
    """vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    vocab = build_tokenizer(merges).get_vocab()
    vocab = dict(sorted(vocab.items(), key=lambda item: item[1]))
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    config = {
        **special,
        "add_prefix_space": False,
        "do_lower_case": True,
        "model_max_length": MODEL_MAX_LENGTH,
        "tokenizer_class": "CLIPTokenizer",
    }
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", encoding="utf-8")


def load_merges(folder: Path) -> list[Pair]:
    """The merges of a directory written by `save_tokenizer`."""
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    return [(first, second) for first, second in (line.split(" ") for line in lines if line)]
