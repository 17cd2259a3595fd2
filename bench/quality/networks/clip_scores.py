"""RAFT and AMT-S as networks of clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..items import Clip
from ..network import Compute, Network
from .amt import AMT, MULTIPLE
from .clips import dynamic_row, padded, smooth_row
from .find import find_file, first_found
from .raft import FACTOR, RAFT
from .raft_names import torchvision_name
from .weights_file import fill, read_weights

RAFT_FILES = {
    "raft-things.pth": "models.zip of princeton-vl/RAFT (BSD-3-Clause)",
    "raft_large_C_T_V1-22a6c225.pth": "https://download.pytorch.org/models/raft_large_C_T_V1-22a6c225.pth",
}
AMT_FILE, AMT_SOURCE = "amt-s.pth", "hf download lalala125/AMT amt-s.pth (CC BY-NC 4.0: not for commercial use)"


def load_raft(path: Path) -> RAFT:
    """The network of either published file; ``ValueError`` (one line: file, key) for weights that do not fit."""
    model, tensors = RAFT().eval(), read_weights(path)
    original = any(name.startswith("fnet.") for name in tensors)
    fill(model, path, tensors, rename=torchvision_name if original else str)
    return model


def load_amt(path: Path) -> AMT:
    """The network; ``ValueError`` (one line: file, key) for weights that do not fit."""
    model = AMT().eval()
    fill(model, path, read_weights(path))
    return model


class DynamicClips(Network):
    """Verdicts on whether clips move, as :class:`..network.Network`; rows of :func:`.clips.dynamic_row`."""

    name = "RAFT (large)"
    preprocessing = "8 frames a second of clips with a rate, every frame else; sides below 128 enlarged; 20 updates"
    batch = 1

    def files(self) -> Mapping[str, Path]:
        """As :class:`..network.Network`."""
        return first_found(self.models, RAFT_FILES)

    def load(self, device: torch.device) -> Compute:
        """As :class:`..network.Network`."""
        model = load_raft(*self.files().values()).to(device)

        def flow(first: Tensor, second: Tensor) -> Tensor:
            return torch.as_tensor(model(*(2 * (frame.to(device) / 255) - 1 for frame in (first, second))))

        run = padded(flow, FACTOR, keep=True)

        def compute(clips: Sequence[Clip]) -> NDArray[np.float32]:
            return np.stack([dynamic_row(clip, run) for clip in clips])

        return compute


class SmoothClips(Network):
    """Scores of every second frame against what lies between its neighbours, as :class:`..network.Network`; rows of
    :func:`.clips.smooth_row`."""

    name = "AMT-S"
    preprocessing = "the clip's own size; sides below 128 enlarged"
    batch = 1

    def files(self) -> Mapping[str, Path]:
        """As :class:`..network.Network`."""
        return {AMT_FILE: find_file(self.models, AMT_FILE, AMT_SOURCE)}

    def load(self, device: torch.device) -> Compute:
        """As :class:`..network.Network`."""
        model = load_amt(self.files()[AMT_FILE]).to(device)

        def middle(first: Tensor, second: Tensor) -> Tensor:
            return torch.as_tensor(model(first.to(device) / 255, second.to(device) / 255) * 255)

        run = padded(middle, MULTIPLE, keep=False)

        def compute(clips: Sequence[Clip]) -> NDArray[np.float32]:
            return np.stack([smooth_row(clip, run) for clip in clips])

        return compute
