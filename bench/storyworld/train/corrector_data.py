"""Latents and captions of a rendered data set as batches for the corrector's training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from .caption_tokenizer import MODEL_MAX_LENGTH, encode

RAW_SHARE, EMPTY_SHARE = 0.08, 0.10  # captions without memory; empty ones for guidance (arXiv 2207.12598)
DRAFT_SHARE = 0.5  # of the frames that have a draft
HELD_BACK = 20  # one story in HELD_BACK is never trained on


@dataclass(frozen=True)
class CaptionedLatents:
    """Stories' latents float16 [N, F, 4, h, w] (also mirrored), caption ids int32 [N, F, 77] of both kinds.

    `drafts` [M, F, 4, h, w], where there are any, are the last M stories' frames as an ARM would have drawn them.
    """

    latents: np.ndarray
    mirrored: np.ndarray | None
    sentences: np.ndarray
    refined: np.ndarray
    empty: np.ndarray  # [77]
    drafts: np.ndarray | None = None

    @classmethod
    def load(cls, data: Path, tokenizer: Tokenizer) -> CaptionedLatents:
        """Read `data`; raises ValueError if a file is missing or the counts differ."""
        texts = read_texts(data)
        latents = _open(data / "latents.npy")
        mirrored = _open(data / "latents_flip.npy") if (data / "latents_flip.npy").is_file() else None
        stories = len(texts["refined"])
        for array in (latents, mirrored):
            if array is not None and len(array) != stories:
                raise ValueError(f"{data}: {len(array)} stories of latents but {stories} of texts; encode it again")

        def ids(stories: list[list[str]]) -> np.ndarray:
            flat = encode(tokenizer, [text for story in stories for text in story])
            return flat.reshape(len(stories), -1, MODEL_MAX_LENGTH)

        drafts = _open(data / "drafts.npy") if (data / "drafts.npy").is_file() else None
        empty = encode(tokenizer, [""])[0]
        pairs = cls(latents, mirrored, ids(texts["sentences"]), ids(texts["refined"]), empty, drafts)
        if drafts is not None and not pairs.held_back <= len(drafts) <= stories:
            raise ValueError(
                f"{data / 'drafts.npy'}: {len(drafts)} stories, expected {pairs.held_back} to {stories}; draw it again"
            )
        return pairs

    @property
    def held_back(self) -> int:
        """Number of stories at the end that are kept for evaluation."""
        return max(1, len(self.latents) // HELD_BACK)

    @property
    def first_draft(self) -> int:
        """The first story that has drafts."""
        return len(self.latents) - (0 if self.drafts is None else len(self.drafts))

    def batch(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Random training frames: latents float32 [B, 4, h, w], caption ids [B, 77] and what SDEdit starts from.

        That is a draft of the frame for half of those that have one, else the latents themselves.
        """
        story = rng.integers(len(self.latents) - self.held_back, size=size)
        frame = rng.integers(self.latents.shape[1], size=size)
        mirror = rng.random(size) < (0.5 if self.mirrored is not None else 0.0)
        kind = rng.random(size)
        latents = self.latents[story, frame].astype(np.float32)
        if self.mirrored is not None and mirror.any():
            latents[mirror] = self.mirrored[story[mirror], frame[mirror]]
        ids = self.refined[story, frame]
        raw = kind < RAW_SHARE
        ids[raw] = self.sentences[story[raw], frame[raw]]
        ids[kind >= 1 - EMPTY_SHARE] = self.empty
        starts = latents.copy()
        if self.drafts is not None:
            drafted = (story >= self.first_draft) & ~mirror & (rng.random(size) < DRAFT_SHARE)
            starts[drafted] = self.drafts[story[drafted] - self.first_draft, frame[drafted]]
        return torch.from_numpy(latents), torch.from_numpy(ids).long(), torch.from_numpy(starts)

    def evaluation(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """The first `size` held-back frames in a fixed shuffled order with refined captions; all drafts, if any."""
        first, length = len(self.latents) - self.held_back, self.latents.shape[1]
        order = np.random.default_rng(0).permutation(self.held_back * length)[:size]
        story, frame = first + order // length, order % length
        latents = self.latents[story, frame].astype(np.float32)
        starts = latents if self.drafts is None else self.drafts[story - self.first_draft, frame].astype(np.float32)
        ids = torch.from_numpy(self.refined[story, frame]).long()
        return torch.from_numpy(latents), ids, torch.from_numpy(starts)


def read_texts(data: Path) -> dict[str, list[list[str]]]:
    """texts.json of a data directory."""
    path = data / "texts.json"
    if not path.is_file():
        raise ValueError(f"{path}: no such file; write it with python -m acdc.bench.storyworld.train.dataset")
    texts: dict[str, list[list[str]]] = json.loads(path.read_text(encoding="utf-8"))
    return texts


def _open(path: Path) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; write it with python -m acdc.bench.storyworld.train.encode --vae")
    array: np.ndarray = np.load(path, mmap_mode="r")
    return array
