"""LAION's linear aesthetic predictor over CLIP ViT-L/14, as VBench takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..network import Compute, Network
from .clip import CLIPImages
from .find import find_file
from .weights_file import fill, read_weights

FILE = "sa_0_4_vit_l_14_linear.pth"
SOURCE = "https://github.com/LAION-AI/aesthetic-predictor (MIT)"
WIDTH, OF = 768, 10


def load_head(path: Path) -> nn.Linear:
    """The linear layer; ``ValueError`` (one line: file, key) for weights that do not fit."""
    head = nn.Linear(WIDTH, 1)
    fill(head, path, read_weights(path))
    return head


def aesthetic(head: nn.Linear, found: Tensor) -> Tensor:
    """Embeddings [N, 768] -> scores [N, 1] in tenths of LAION's 0 to 10."""
    return torch.as_tensor(head(F.normalize(found, dim=-1)) / OF)


class AestheticScores(Network):
    """Scores of frames, as :class:`..network.Network`."""

    name = "CLIP ViT-L/14 with LAION's linear head"
    batch = 16

    def __init__(self, models: Path | None) -> None:
        super().__init__(models)
        self.clip = CLIPImages(models, "vit-l-14", "tensor")
        self.preprocessing = self.clip.preprocessing

    def files(self) -> Mapping[str, Path]:
        """As :class:`..network.Network`."""
        return {**self.clip.files(), FILE: find_file(self.models, FILE, SOURCE)}

    def load(self, device: torch.device) -> Compute:
        """As :class:`..network.Network`."""
        embeddings, head = self.clip.load(device), load_head(self.files()[FILE])

        def compute(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
            return np.asarray(aesthetic(head, torch.from_numpy(embeddings(pictures))).numpy())

        return compute
