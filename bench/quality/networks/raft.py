"""RAFT, the large one (arXiv 2003.12039): optical flow between two pictures. Names of parameters are torchvision's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .sampling import correlations, look_up, pixel_grid

HIDDEN = CONTEXT = 128
FEATURES, RADIUS, LEVELS, UPDATES, FACTOR = 256, 4, 4, 20, 8
LEAST = 128  # pixels a side: below, the smallest correlation map has less than two places


def conv(channels: int, out: int, kernel: int | tuple[int, int], stride: int = 1) -> nn.Conv2d:
    """Keeps the size at stride 1."""
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    return nn.Conv2d(channels, out, kernel, stride, (sides[0] // 2, sides[1] // 2))


def normed(channels: int, out: int, kernel: int, norm: type[nn.Module], stride: int = 1) -> nn.Sequential:
    """A convolution and its norm."""
    return nn.Sequential(conv(channels, out, kernel, stride), norm(out))


class ResidualBlock(nn.Module):
    """Two convolutions, and the input."""

    def __init__(self, channels: int, out: int, norm: type[nn.Module], stride: int) -> None:
        super().__init__()
        self.convnormrelu1 = normed(channels, out, 3, norm, stride)
        self.convnormrelu2 = normed(out, out, 3, norm)
        self.downsample = nn.Identity() if stride == 1 else normed(channels, out, 1, norm, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, out, H / stride, W / stride]."""
        y = F.relu(self.convnormrelu2(F.relu(self.convnormrelu1(x))))
        return F.relu(self.downsample(x) + y)


class Encoder(nn.Module):
    """Features at an eighth of the size."""

    def __init__(self, norm: type[nn.Module]) -> None:
        super().__init__()
        self.convnormrelu = normed(3, 64, 7, norm, 2)
        self.layer1 = nn.Sequential(ResidualBlock(64, 64, norm, 1), ResidualBlock(64, 64, norm, 1))
        self.layer2 = nn.Sequential(ResidualBlock(64, 96, norm, 2), ResidualBlock(96, 96, norm, 1))
        self.layer3 = nn.Sequential(ResidualBlock(96, 128, norm, 2), ResidualBlock(128, 128, norm, 1))
        self.conv = conv(128, FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, 256, H / 8, W / 8]."""
        return torch.as_tensor(self.conv(self.layer3(self.layer2(self.layer1(F.relu(self.convnormrelu(x)))))))


class MotionEncoder(nn.Module):
    """Correlations and the flow so far, together."""

    def __init__(self) -> None:
        super().__init__()
        self.convcorr1 = nn.Sequential(conv(LEVELS * (2 * RADIUS + 1) ** 2, 256, 1))
        self.convcorr2 = nn.Sequential(conv(256, 192, 3))
        self.convflow1, self.convflow2 = nn.Sequential(conv(2, 128, 7)), nn.Sequential(conv(128, 64, 3))
        self.conv = nn.Sequential(conv(256, HIDDEN - 2, 3))

    def forward(self, flow: Tensor, found: Tensor) -> Tensor:
        """[N, 2, h, w], [N, 324, h, w] -> [N, 128, h, w]."""
        found = F.relu(self.convcorr2(F.relu(self.convcorr1(found))))
        moved = F.relu(self.convflow2(F.relu(self.convflow1(flow))))
        return torch.cat([F.relu(self.conv(torch.cat([found, moved], 1))), flow], 1)


class ConvGRU(nn.Module):
    """A gated recurrent unit of convolutions."""

    def __init__(self, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.convz, self.convr, self.convq = (conv(3 * HIDDEN, HIDDEN, kernel) for _ in range(3))

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        """State [N, 128, h, w], input [N, 256, h, w] -> the next state."""
        both = torch.cat([h, x], 1)
        z, r = torch.sigmoid(self.convz(both)), torch.sigmoid(self.convr(both))
        return (1 - z) * h + z * torch.tanh(self.convq(torch.cat([r * h, x], 1)))


class FlowHead(nn.Module):
    """The change of the flow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(HIDDEN, 256, 3), conv(256, 2, 3)

    def forward(self, h: Tensor) -> Tensor:
        """[N, 128, h, w] -> [N, 2, h, w]."""
        return torch.as_tensor(self.conv2(F.relu(self.conv1(h))))


class UpdateBlock(nn.Module):
    """One update of state and flow."""

    def __init__(self) -> None:
        super().__init__()
        self.motion_encoder = MotionEncoder()
        self.recurrent_block = nn.ModuleDict({"convgru1": ConvGRU((1, 5)), "convgru2": ConvGRU((5, 1))})
        self.flow_head = FlowHead()

    def forward(self, h: Tensor, context: Tensor, found: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """The next state, and the change of the flow."""
        x = torch.cat([context, self.motion_encoder(flow, found)], 1)
        for unit in self.recurrent_block.values():
            h = unit(h, x)
        return h, self.flow_head(h)


class MaskPredictor(nn.Module):
    """Weights of the nine coarse neighbours of each fine pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.convrelu, self.conv = nn.Sequential(conv(HIDDEN, 256, 3)), conv(256, 9 * FACTOR**2, 1)

    def forward(self, h: Tensor) -> Tensor:
        """[N, 128, h, w] -> [N, 576, h, w]."""
        return 0.25 * torch.as_tensor(self.conv(F.relu(self.convrelu(h))))


class RAFT(nn.Module):
    """Flow from the first picture to the second."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_encoder, self.context_encoder = Encoder(nn.InstanceNorm2d), Encoder(nn.BatchNorm2d)
        self.update_block, self.mask_predictor = UpdateBlock(), MaskPredictor()

    def forward(self, first: Tensor, second: Tensor, updates: int = UPDATES) -> Tensor:
        """[N, 3, H, W] twice in -1 to 1, sides multiples of 8 and at least 128 -> [N, 2, H, W] in pixels (x, y)."""
        before, after = self.feature_encoder(torch.cat([first, second])).chunk(2)
        pyramid = correlations(before, after, LEVELS)
        h, context = self.context_encoder(first).split(HIDDEN, 1)
        h, context = torch.tanh(h), F.relu(context)
        start = pixel_grid(h)
        places = start.expand(len(h), -1, -1, -1)
        for _ in range(updates):
            h, change = self.update_block(h, context, look_up(pyramid, places, RADIUS), places - start)
            places = places + change  # not the flow itself: published code rounds so
        return upsampled(places - start, self.mask_predictor(h))


def upsampled(flow: Tensor, mask: Tensor) -> Tensor:
    """The flow eight times as large: each fine pixel is a mean of nine coarse ones, by the weights of ``mask``."""
    n, _, height, width = flow.shape
    weights = mask.view(n, 1, 9, FACTOR, FACTOR, height, width).softmax(2)
    near = F.unfold(FACTOR * flow, 3, padding=1).view(n, 2, 9, 1, 1, height, width)
    fine = (weights * near).sum(2).permute(0, 1, 4, 2, 5, 3)
    return fine.reshape(n, 2, height * FACTOR, width * FACTOR)
