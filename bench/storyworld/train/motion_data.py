"""Latents and captions of clips as batches for the motion adapter's training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .corrector_data import DRAFT_SHARE, EMPTY_SHARE, read_texts

LENGTH = 16  # frames that are corrected together
Encode = Callable[[list[str]], Tensor]


@dataclass(frozen=True)
class CaptionedClips:
    """``latents`` float16 [N, F, 4, h, w], ``drafts`` of the same shape if there are any; text states [N, S, D]."""

    latents: np.ndarray
    drafts: np.ndarray | None
    contexts: Tensor
    null_context: Tensor  # [1, S, D]

    @classmethod
    def load(cls, folder: Path, encode: Encode) -> CaptionedClips:
        """Read a directory of `video_data`; ``ValueError`` if the latents are missing or of other clips."""
        path = folder / "latents.npy"
        if not path.is_file():
            raise ValueError(f"{path}: no such file; write it with python -m acdc.bench.storyworld clip_data --vae")
        latents, captions = np.load(path, mmap_mode="r"), [texts[0] for texts in read_texts(folder)["refined"]]
        drafts = np.load(folder / "drafts.npy", mmap_mode="r") if (folder / "drafts.npy").is_file() else None
        if len(captions) != len(latents) or (drafts is not None and drafts.shape != latents.shape):
            raise ValueError(f"{folder}: latents, drafts and texts are of different clips; encode them again")
        if latents.shape[1] < LENGTH:
            raise ValueError(f"{path}: clips of {latents.shape[1]} frames; training takes {LENGTH} or more")
        return cls(latents, drafts, torch.cat([encode([caption]) for caption in captions]), encode([""]))

    def batch(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Random stretches: latents [B, 16, 4, h, w], what the noise is added to (they or their drafts), contexts."""
        index = rng.integers(len(self.latents), size=size)
        start = rng.integers(self.latents.shape[1] - LENGTH + 1, size=size)
        latents = self._cut(self.latents, index, start)
        starts = latents
        if self.drafts is not None:
            drafted = torch.from_numpy(rng.random(size) < DRAFT_SHARE)[:, None, None, None, None]
            starts = torch.where(drafted, self._cut(self.drafts, index, start), latents)
        empty = torch.from_numpy(rng.random(size) < EMPTY_SHARE)[:, None, None]
        return latents, starts, torch.where(empty, self.null_context, self.contexts[torch.from_numpy(index)])

    def first(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The beginnings of the first ``count`` clips, as in `batch`; their drafts where there are any."""
        index = np.arange(min(count, len(self.latents)))
        latents = self._cut(self.latents, index, index * 0)
        starts = latents if self.drafts is None else self._cut(self.drafts, index, index * 0)
        return latents, starts, self.contexts[torch.from_numpy(index)]

    def _cut(self, array: np.ndarray, index: np.ndarray, start: np.ndarray) -> Tensor:
        stretches = [array[i, s : s + LENGTH] for i, s in zip(index, start, strict=True)]
        return torch.from_numpy(np.stack(stretches).astype(np.float32))
