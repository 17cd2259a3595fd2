"""Folders of pictures, clips and stories as tests want them, and a network that is a formula."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from acdc.bench.quality.network import Compute, Network

Frames = list[NDArray[np.uint8]]


def noise(seed: int, count: int = 1, height: int = 9, width: int = 7) -> Frames:
    """Pictures that differ."""
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


def pictures(folder: Path, frames: Sequence[NDArray[np.uint8]], name: str = "frame_{}.png") -> Path:
    """One file a frame, from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, 1):
        Image.fromarray(frame).save(folder / name.format(number))
    return folder


def story(folder: Path, frames: Sequence[NDArray[np.uint8]], sentences: Sequence[str] | None = None) -> Path:
    """As ``acdc story`` writes it, so far as it is read; drafts are black."""
    pictures(folder / "frames", frames, "frame_{:02d}.png")
    pictures(folder / "frames", [frame * 0 for frame in frames], "frame_{:02d}_draft.png")
    texts = list(sentences or (f"Sentence {number}." for number in range(len(frames))))
    refined = [f"Refined {text}" for text in texts[: len(frames)]]
    record = {"sentences": texts, "refined_prompts": refined, "frames": [{} for _ in frames]}
    (folder / "story.json").write_text(json.dumps(record))
    return folder


class Means(Network):
    """Mean colour of frames; counts its batches, and may stop at one as a killed run does."""

    name, preprocessing, batch = "means", "none", 4

    def __init__(self, weights: Path, stop: Callable[[int], None] = lambda number: None) -> None:
        self.weights, self.stop, self.batches, self.loads = weights, stop, 0, 0

    def files(self) -> Mapping[str, Path]:
        return {"means.bin": self.weights}

    def load(self, device: torch.device) -> Compute:
        self.loads += 1

        def compute(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
            self.stop(self.batches)
            self.batches += 1
            return np.stack([frame.mean((0, 1)) / 255 for frame in frames]).astype(np.float32)

        return compute
