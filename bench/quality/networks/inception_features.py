"""Inception's features of frames, by either of the two resizes that FIDs in papers differ by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..network import Compute, Network
from ..sets.story_set import Resize
from .find import first_found
from .inception import Inception2015
from .weights_file import fill, read_weights

FILES = {
    "pt_inception-2015-12-05-6726825d.pth": "release fid_weights of mseitzer/pytorch-fid on GitHub",
    "weights-inception-2015-12-05-6726825d.pth": "release v0.2.0 of toshas/torch-fidelity on GitHub",
}
SIZE = 299
RESIZES: Mapping[Resize, str] = {
    "classic": "classic: TensorFlow 1's bilinear to 299 x 299, no half-pixel centres, no antialiasing",
    "clean": "clean: PIL bicubic to 299 x 299 in float32, antialiased",
}


class InceptionFeatures(Network):
    """Pooled features, 2048 a frame, as :class:`..network.Network`."""

    name = "Inception-v3 (2015)"
    batch = 16

    def __init__(self, models: Path | None, resize: Resize = "classic") -> None:
        super().__init__(models)
        self.resize = resize
        self.preprocessing = RESIZES[resize]

    def files(self) -> Mapping[str, Path]:
        """As :class:`..network.Network`; either of the two names, which hold the same tensors."""
        return first_found(self.models, FILES)

    def load(self, device: torch.device) -> Compute:
        """As :class:`..network.Network`."""
        (path,) = self.files().values()
        model = load_inception(path).to(device)

        def compute(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
            pixels = torch.cat([resized(picture, self.resize) for picture in pictures])
            return np.asarray(model((pixels.to(device) - 128) / 128).cpu().numpy())

        return compute


def load_inception(path: Path) -> Inception2015:
    """The network of a published file; ``ValueError`` as :func:`.weights_file.fill`."""
    model = Inception2015().eval()
    tensors, counters = read_weights(path), [name for name in model.state_dict() if name.endswith("_tracked")]
    fill(model, path, tensors, unused=[name for name in counters if name not in tensors])
    return model


def resized(picture: NDArray[np.uint8], resize: Resize) -> Tensor:
    """[1, 3, 299, 299] in 0 to 255."""
    return classic(picture) if resize == "classic" else clean(picture)


def classic(picture: NDArray[np.uint8], size: int = SIZE) -> Tensor:
    """Row y of the result is at y x (height / size) of the picture, between the rows there."""
    x = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
    for axis in (2, 3):
        length = x.shape[axis]
        place = torch.arange(size, dtype=torch.float32) * (length / size)
        low = place.floor().long().clamp(max=length - 1)
        high = (low + 1).clamp(max=length - 1)
        shape = [1, 1, 1, 1]
        shape[axis] = size
        x = torch.lerp(x.index_select(axis, low), x.index_select(axis, high), (place - low).view(shape))
    return x


def clean(picture: NDArray[np.uint8], size: int = SIZE) -> Tensor:
    """Each channel by Pillow in float32 (arXiv 2104.11222); what exceeds 0 to 255 is cut."""
    channels = [
        np.asarray(Image.fromarray(picture[..., c].astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC))
        for c in range(3)
    ]
    return torch.from_numpy(np.stack(channels))[None].clamp(0, 255)
