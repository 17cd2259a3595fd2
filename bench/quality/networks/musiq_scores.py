"""MUSIQ's score of frames as VBench has it: larger pictures are brought down to 512 first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..network import Compute, Network
from .find import find_file
from .musiq import MUSIQ
from .preprocess import plain_resize, to_float
from .weights_file import fill, read_weights

FILE, LONGEST = "musiq_spaq_ckpt-358bb6af.pth", 512
SOURCE = "hf download chaofengc/IQA-PyTorch-Weights musiq_spaq_ckpt-358bb6af.pth"


def load_musiq(path: Path) -> MUSIQ:
    """The network in float32; ``ValueError`` (one line: file, key) for weights that do not fit."""
    model = MUSIQ().eval()
    fill(model, path, read_weights(path))
    return model


def prepared(picture: NDArray[np.uint8]) -> Tensor:
    """[1, 3, H, W] in 0 to 1."""
    height, width = picture.shape[:2]
    if max(height, width) > LONGEST:
        ratio = LONGEST / max(height, width)
        return plain_resize(to_float(picture), int(ratio * height), int(ratio * width), "bilinear") / 255
    return to_float(picture) / 255


class MUSIQScores(Network):
    """Scores of frames, 0 to 100, as :class:`..network.Network`."""

    name = "MUSIQ (SPAQ)"
    preprocessing = "longer side at most 512, bilinear without antialiasing"
    batch = 8

    def files(self) -> Mapping[str, Path]:
        """As :class:`..network.Network`."""
        return {FILE: find_file(self.models, FILE, SOURCE)}

    def load(self, device: torch.device) -> Compute:
        """As :class:`..network.Network`; pictures are of many sizes and computed one by one."""
        model = load_musiq(self.files()[FILE]).to(device)

        def compute(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
            scores = [model(prepared(picture).to(device)) for picture in pictures]
            return np.array([[float(score)] for score in scores], dtype=np.float32)

        return compute
