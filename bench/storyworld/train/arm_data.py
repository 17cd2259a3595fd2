"""Sequences for the ARM's training: whole stories and two-segment windows, in the engine's stream layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from .arm_text import BOS, PAD, VISION, encode_all

TEXT_DROPOUT = 0.1  # share of BPE merges skipped (arXiv 1910.13267), so that unseen names are handled
NO_LOSS, TEXT_LOSS, CODE_LOSS = range(3)


@dataclass(frozen=True)
class Stories:
    """``codes``: variants (plain, mirrored) of [N, 6, n]; ``texts``: spellings of ids [N][6] of each sentence."""

    codes: Sequence[np.ndarray]
    texts: Sequence[Sequence[Sequence[list[int]]]]
    first: int
    end: int

    def __len__(self) -> int:
        return self.end - self.first


@dataclass(frozen=True)
class Layout:
    """Layout of the codes in the stream."""

    codes_per_frame: int
    codebook_size: int

    @property
    def eof(self) -> int:
        return self.codebook_size

    @property
    def vision_vocab(self) -> int:
        """Codes, then 64 spare ids, of which the first ends a frame."""
        return self.codebook_size + 64


@dataclass(frozen=True)
class Row:
    """One row before padding: ids, which are vision ids, and what loss the *prediction of* each id has."""

    ids: np.ndarray
    is_vision: np.ndarray
    loss: np.ndarray


@dataclass(frozen=True)
class Batch:
    """Right-padded rows [R, T]."""

    ids: Tensor
    is_vision: Tensor
    loss: Tensor


def read_stories(folder: Path, tokenizer: Tokenizer, spellings: int = 1) -> Stories:
    """``codes.npy``, ``codes_flip.npy`` if there, and the sentences of ``texts.json``; ``ValueError`` if missing.

    With ``spellings`` > 1 every sentence is also spelled that many times less one with BPE dropout.
    """
    for name in ("codes.npy", "texts.json"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name}: no such file; write it with dataset and encode")
    names = [name for name in ("codes.npy", "codes_flip.npy") if (folder / name).is_file()]
    codes = [np.load(folder / name, mmap_mode="r") for name in names]
    sentences = json.loads((folder / "texts.json").read_text(encoding="utf-8"))["sentences"]
    if any(len(sentences) != len(array) for array in codes):
        raise ValueError(f"{folder}: {len(sentences)} stories in texts.json, {len(codes[0])} in codes.npy")
    texts = []
    for spelling in range(spellings):
        tokenizer.model.dropout = TEXT_DROPOUT if spelling else None
        flat = encode_all(tokenizer, [line for story in sentences for line in story])
        length = len(sentences[0])
        texts.append([flat[i : i + length] for i in range(0, len(flat), length)])
    tokenizer.model.dropout = None
    return Stories(codes, texts, 0, len(sentences))


def build(
    texts: Sequence[Sequence[int]], codes: np.ndarray, layout: Layout, learned: Sequence[bool], text_loss: bool
) -> Row:
    """Frames ``codes`` [F, n] with their sentences in one row; the codes of frame k are learned if ``learned[k]``."""
    ids, kinds, loss = [np.array([BOS])], [np.zeros(1, bool)], [np.zeros(1, np.int64)]
    for text, frame, learn in zip(texts, codes, learned, strict=True):
        ids += [np.array([*text, VISION]), frame.astype(np.int64), np.array([layout.eof])]
        kinds += [np.zeros(len(text) + 1, bool), np.ones(len(frame) + 1, bool)]
        loss.append(np.full(len(text) + 1, TEXT_LOSS if text_loss else NO_LOSS))
        loss += [np.full(len(frame), CODE_LOSS if learn else NO_LOSS), np.zeros(1, np.int64)]
    return Row(np.concatenate(ids), np.concatenate(kinds), np.concatenate(loss))


def whole(texts: Sequence[Sequence[int]], codes: np.ndarray, layout: Layout) -> Row:
    """A story in the full context."""
    return build(texts, codes, layout, [True] * len(codes), text_loss=True)


def window(
    texts: Sequence[Sequence[int]], codes: np.ndarray, layout: Layout, frame: int, learn_previous: bool = False
) -> Row:
    """Frame ``frame`` in the window context: after the previous frame, or alone if first.

    The previous frame is only read, or learned too: from its own sentence alone, as any first frame is drawn.
    """
    first = max(0, frame - 1)
    learned = [learn_previous] * (frame - first) + [True]
    return build(texts[first : frame + 1], codes[first : frame + 1], layout, learned, text_loss=False)


def collate(rows: Sequence[Row], multiple: int = 32) -> Batch:
    """Pad on the right to a multiple of ``multiple``."""
    longest = max(len(row.ids) for row in rows)
    width = -(-longest // multiple) * multiple

    def pad(arrays: Sequence[np.ndarray], value: int) -> Tensor:
        return torch.from_numpy(
            np.stack([np.pad(array, (0, width - len(array)), constant_values=value) for array in arrays])
        )

    return Batch(
        pad([row.ids for row in rows], PAD), pad([row.is_vision for row in rows], 0), pad([row.loss for row in rows], 0)
    )


def buckets(rows: Sequence[Row], tokens: int) -> list[Batch]:
    """Rows of similar length together, about ``tokens`` tokens a batch."""
    batches: list[Batch] = []
    pending: list[Row] = []
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if pending and (len(pending) + 1) * len(row.ids) > tokens:
            batches.append(collate(pending))
            pending = []
        pending.append(row)
    return [*batches, collate(pending)] if pending else batches


def sample(stories: Stories, layout: Layout, rng: np.random.Generator, frames: int, windows: float) -> list[Row]:
    """About ``frames`` learned frames, a share of ``windows`` of them in windows, the others in whole stories."""
    length = stories.codes[0].shape[1]
    crops = round(frames * windows / 2)  # of two frames each
    rows = [whole(*_draw(stories, rng), layout) for _ in range(round((frames - 2 * crops) / length))]
    for frame in rng.integers(1, length, crops):
        rows.append(window(*_draw(stories, rng), layout, int(frame), learn_previous=True))
    return rows


def _draw(stories: Stories, rng: np.random.Generator) -> tuple[list[list[int]], np.ndarray]:
    """A story's sentences and codes; 3 % lose all sentences (the null branch of guidance), others 2 % of them."""
    story = int(rng.integers(stories.first, stories.end))
    codes = stories.codes[int(rng.integers(len(stories.codes)))][story]
    texts = stories.texts[int(rng.integers(len(stories.texts)))][story]
    lost = np.ones(len(texts), bool) if rng.random() < 0.03 else rng.random(len(texts)) < 0.02
    return [[] if gone else text for text, gone in zip(texts, lost, strict=True)], codes
