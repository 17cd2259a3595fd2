"""AMT-S (arXiv 2304.09790): the frame half-way between two frames. Names of parameters are those of ``amt-s.pth``.

Written from the paper and a description of the network. The authors' code and weights are CC BY-NC 4.0: bring them
only for non-commercial use.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .amt_parts import CorrelationEncoder, Decoder, Update, channel_prelu, convolution
from .sampling import correlations, look_up, pixel_grid, warp

WIDTHS = (20, 32, 44, 56)  # channels at 1/2, 1/4, 1/8, 1/16
LEVELS, RADIUS, PAIRS, MIDDLE = 4, 3, 3, 0.5
LEAST, MULTIPLE = 128, 16  # pixels a side: below, a level of correlations is one pixel; and what sides are multiples of


class PyramidEncoder(nn.Module):
    """Features of a frame at four sizes."""

    def __init__(self) -> None:
        super().__init__()
        for number, (channels, out) in enumerate(zip((3, *WIDTHS), WIDTHS, strict=False), 1):
            halving, keeping = channel_prelu(channels, out, 2), channel_prelu(out, out)
            self.add_module(f"pyramid{number}", nn.Sequential(halving, keeping))

    def forward(self, x: Tensor) -> list[Tensor]:
        """[N, 3, H, W] -> features at 1/2, 1/4, 1/8 and 1/16."""
        found = []
        for level in self.children():
            x = level(x)
            found.append(x)
        return found


class AMT(nn.Module):
    """Interpolates half-way."""

    def __init__(self) -> None:
        super().__init__()
        self.feat_encoder, self.encoder = CorrelationEncoder(), PyramidEncoder()
        one, two, three, four = WIDTHS
        self.decoder4 = Decoder(2 * four + 1, 2 * four, three + 4)
        self.decoder3 = Decoder(3 * three + 4, 3 * three, two + 4)
        self.decoder2 = Decoder(3 * two + 4, 3 * two, one + 4)
        self.decoder1 = Decoder(3 * one + 4, 3 * one, 8 * PAIRS)
        self.update4, self.update3, self.update2 = (Update(width, LEVELS, RADIUS) for width in (three, two, one))
        both = 3 * PAIRS
        self.comb_block = nn.Sequential(convolution(both, 2 * both), nn.PReLU(2 * both), convolution(2 * both, 3))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """[N, 3, H, W] twice in 0 to 1, sides multiples of 16 and at least 128 -> [N, 3, H, W] in 0 to 1."""
        mean = torch.cat([first, second], 2).mean((1, 2, 3), keepdim=True)
        frames = first - mean, second - mean
        before, after = self.feat_encoder(torch.cat(frames)).chunk(2)
        forth, back = correlations(before, after, LEVELS), correlations(after, before, LEVELS)
        levels = list(zip(*(self.encoder(frame) for frame in frames), strict=True))
        flows, content = self._coarsest(*levels[3])
        decoders = ((self.update4, None, 1), (self.update3, self.decoder3, 2), (self.update2, self.decoder2, 4))
        for place, (update, decoder, times) in enumerate(decoders):
            if decoder is not None:
                flows, content = _finer(decoder(content, *_warped(levels[3 - place], flows), *flows), flows)
            flows, content = self._updated(update, times, forth, back, flows, content)
        last = self.decoder1(content, *_warped(levels[0], flows), *flows)
        return self._combined(last, frames, flows, mean)

    def _coarsest(self, first: Tensor, second: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        time = torch.full_like(first[:, :1], MIDDLE)
        return _split(self.decoder4(first, second, time))

    def _updated(
        self,
        update: Update,
        times: int,
        forth: list[Tensor],
        back: list[Tensor],
        flows: tuple[Tensor, Tensor],
        content: Tensor,
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Flows and content, corrected by what the correlations say; all on the grid of 1/8, then brought back."""
        small = [resized(flow, 1 / times) / times for flow in flows]
        grid = pixel_grid(small[0])
        found = torch.cat(
            [
                look_up(forth, grid + small[1] / MIDDLE, RADIUS),
                look_up(back, grid + small[0] / MIDDLE, RADIUS),
            ],
            1,
        )
        more, moved = update(found, torch.cat(small, 1), resized(content, 1 / times))
        moved = resized(moved, times) * times
        first, second = moved.chunk(2, 1)
        return (flows[0] + first, flows[1] + second), content + resized(more, times)

    def _combined(
        self, last: Tensor, frames: tuple[Tensor, Tensor], flows: tuple[Tensor, Tensor], mean: Tensor
    ) -> Tensor:
        """Three candidates, their mean, and what all of them together add to it."""
        first, second, masks, residuals = last.split([2 * PAIRS, 2 * PAIRS, PAIRS, 3 * PAIRS], 1)
        moved = [
            change + (2 * resized(flow, 2)).repeat(1, PAIRS, 1, 1)
            for change, flow in zip((first, second), flows, strict=True)
        ]
        candidates = []
        for pair in range(PAIRS):
            mask = torch.sigmoid(masks[:, pair : pair + 1])
            ends = [warp(frame, flow[:, 2 * pair : 2 * pair + 2]) for frame, flow in zip(frames, moved, strict=True)]
            residual = residuals[:, 3 * pair : 3 * pair + 3]
            candidates.append(mask * ends[0] + (1 - mask) * ends[1] + mean + residual)
        together = torch.stack(candidates, 1).mean(1) + self.comb_block(torch.cat(candidates, 1))
        return torch.as_tensor(together.clamp(0, 1))


def resized(x: Tensor, times: float) -> Tensor:
    """Bilinear, half-pixel centres."""
    if times == 1:
        return x
    return F.interpolate(x, scale_factor=times, mode="bilinear", align_corners=False)


def _split(x: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    return (x[:, :2], x[:, 2:4]), x[:, 4:]


def _finer(x: Tensor, flows: tuple[Tensor, Tensor]) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """A decoder's output, whose flows are changes of the coarser ones."""
    (first, second), content = _split(x)
    return (first + 2 * resized(flows[0], 2), second + 2 * resized(flows[1], 2)), content


def _warped(level: tuple[Tensor, Tensor], flows: tuple[Tensor, Tensor]) -> list[Tensor]:
    return [warp(features, flow) for features, flow in zip(level, flows, strict=True)]
