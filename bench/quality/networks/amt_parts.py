"""Parts of AMT-S: the encoder of what is correlated, decoders, and the update by correlations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 20  # channels that a residual block treats on their own
SLOPE = 0.1


def convolution(channels: int, out: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """Keeps the size at stride 1."""
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2)


def channel_prelu(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    """A convolution and a PReLU of a slope a channel."""
    return nn.Sequential(convolution(channels, out, 3, stride), nn.PReLU(out))


class Bottleneck(nn.Module):
    """1x1 to a quarter, 3x3, 1x1, each normed; and the input."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        inner = out // 4
        self.conv1, self.conv2 = convolution(channels, inner, 1), convolution(inner, inner, 3, stride)
        self.conv3 = convolution(inner, out, 1)
        self.downsample = nn.Sequential(convolution(channels, out, 1, stride)) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, out, H / stride, W / stride]."""
        y = x
        for conv in (self.conv1, self.conv2, self.conv3):
            y = F.relu(F.instance_norm(conv(y)))
        x = x if self.downsample is None else F.instance_norm(self.downsample(x))
        return F.relu(x + y)


class CorrelationEncoder(nn.Module):
    """Features at 1/8 whose products are correlations."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = convolution(3, 32, 7, 2)
        self.layer1 = nn.Sequential(Bottleneck(32, 32, 1), Bottleneck(32, 32, 1))
        self.layer2 = nn.Sequential(Bottleneck(32, 64, 2), Bottleneck(64, 64, 1))
        self.layer3 = nn.Sequential(Bottleneck(64, 96, 2), Bottleneck(96, 96, 1))
        self.conv2 = convolution(96, 84, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, 84, H / 8, W / 8]."""
        x = F.relu(F.instance_norm(self.conv1(x)))
        return torch.as_tensor(self.conv2(self.layer3(self.layer2(self.layer1(x)))))


class SideBlock(nn.Module):
    """A residual block of five convolutions; in between, the last channels pass two more on their own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv3 = channel_prelu(channels, channels), channel_prelu(channels, channels)
        self.conv2, self.conv4 = channel_prelu(SIDE, SIDE), channel_prelu(SIDE, SIDE)
        self.conv5, self.prelu = convolution(channels, channels), nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same."""
        y = self._side(self.conv1(x), self.conv2)
        y = self._side(self.conv3(y), self.conv4)
        return torch.as_tensor(self.prelu(x + self.conv5(y)))

    def _side(self, x: Tensor, conv: nn.Module) -> Tensor:
        return torch.cat([x[:, :-SIDE], conv(x[:, -SIDE:])], 1)


class Decoder(nn.Module):
    """Inputs together, to twice the size."""

    def __init__(self, channels: int, inner: int, out: int) -> None:
        super().__init__()
        up = nn.ConvTranspose2d(inner, out, 4, 2, 1)
        self.convblock = nn.Sequential(channel_prelu(channels, inner), SideBlock(inner), up)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Maps of one size -> [N, out, 2 H, 2 W]."""
        return torch.as_tensor(self.convblock(torch.cat(inputs, 1)))


class Update(nn.Module):
    """Changes of content and flows, from correlations."""

    def __init__(self, content: int, levels: int, radius: int) -> None:
        super().__init__()
        found = 2 * levels * (2 * radius + 1) ** 2
        self.convc1 = convolution(found, 64, 1)
        self.convf1, self.convf2 = convolution(4, 40, 7), convolution(40, 20)
        self.conv = convolution(64 + 20, 68)
        self.gru = self._two(68 + 4 + content, 76)
        self.feat_head, self.flow_head = self._two(76, content), self._two(76, 4)

    def forward(self, found: Tensor, flows: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 392, h, w], [N, 4, h, w], [N, C, h, w] -> changes of the content and of the flows."""
        near = F.leaky_relu(self.convc1(found), SLOPE)
        moved = F.leaky_relu(self.convf2(F.leaky_relu(self.convf1(flows), SLOPE)), SLOPE)
        both = F.leaky_relu(self.conv(torch.cat([near, moved], 1)), SLOPE)
        state = self.gru(torch.cat([both, flows, content], 1))
        return self.feat_head(state), self.flow_head(state)

    @staticmethod
    def _two(channels: int, out: int) -> nn.Sequential:
        return nn.Sequential(convolution(channels, 76), nn.LeakyReLU(SLOPE), convolution(76, out))
