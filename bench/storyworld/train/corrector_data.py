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
HELD_BACK = 20  # one story in so many is never trained on


@dataclass(frozen=True)
class CaptionedLatents:
    """Stories' latents float16 [N, F, 4, h, w] (also mirrored), caption ids int32 [N, F, 77] of both kinds."""

    latents: np.ndarray
    mirrored: np.ndarray | None
    sentences: np.ndarray
    refined: np.ndarray
    empty: np.ndarray  # [77]

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

        return cls(latents, mirrored, ids(texts["sentences"]), ids(texts["refined"]), encode(tokenizer, [""])[0])

    @property
    def held_back(self) -> int:
        """How many stories at the end are kept for evaluation."""
        return max(1, len(self.latents) // HELD_BACK)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor]:
        """Random training pairs: latents float32 [B, 4, h, w] and caption ids [B, 77]."""
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
        return torch.from_numpy(latents), torch.from_numpy(ids).long()

    def evaluation(self, size: int) -> tuple[Tensor, Tensor]:
        """The first `size` held-back frames in a fixed shuffled order with refined captions."""
        first, length = len(self.latents) - self.held_back, self.latents.shape[1]
        order = np.random.default_rng(0).permutation(self.held_back * length)[:size]
        story, frame = first + order // length, order % length
        latents = self.latents[story, frame].astype(np.float32)
        return torch.from_numpy(latents), torch.from_numpy(self.refined[story, frame]).long()


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
