"""3 x 3 convolutions in float32 by Winograd's F(4 x 4, 3 x 3), on a CPU with AVX2 alone (arXiv 1509.09308, section 4).

    Y = A^T [ (G w G^T) . (B^T x B) ] A       a tile of 4 x 4 outputs from 6 x 6 inputs, 36 products for 144

Summed over channels, each of the 36 places is a product of matrices, which the processor does at its full rate; the
transforms cost about as much again with 320 channels, less with more. oneDNN convolves by the sum itself there. The
transformed weights are four times as large, so the widest layers keep the plain ones: of Stable Diffusion 1.5's UNet
they hold most weights and the smallest maps. Results differ from the plain sum by its own rounding, three times over:
6e-6 of the largest output for 2e-6, by the sum in float64 (``bench/results/winograd_cpu_2026-12-01.json``).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TILE, INPUTS = 4, 6  # a side of a tile's outputs and inputs
NARROWEST = 256  # channels: below it the transforms cost what the products save
LARGEST = 1_300_000  # inputs x outputs of a layer
TILES = 256  # at a time: their values stay in the cache, and the weights are read once for all of them
# Matrices B^T, G and A^T for the points 0, 1, -1, 2, -2 and infinity.
INPUT = ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0), (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0),
         (0, 4, 0, -5, 0, 1))  # fmt: skip
KERNEL = ((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6), (1 / 24, 1 / 12, 1 / 6),
          (1 / 24, -1 / 12, 1 / 6), (0, 0, 1))  # fmt: skip
OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


class WinogradConv2d(nn.Conv2d):
    """A 3 x 3 convolution whose ``weight`` is transformed: [out, in, 6, 6], its places outermost in memory."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, h, w] -> [B, out, h, w], channels-last."""
        return convolve(x, self.weight.permute(2, 3, 1, 0).flatten(0, 1), self.bias)


def transform(*models: nn.Module) -> None:
    """Every 3 x 3 convolution that gains by it, in place, for good: its weight is neither saved, moved nor exported.
    The model's other convolutions get their weights channels-last, as maps lie from then on. Only on a processor where
    it was measured."""
    if torch.backends.cpu.get_cpu_capability() != "AVX2":
        return
    for model in models:
        convolutions = [layer for layer in model.modules() if type(layer) is nn.Conv2d]
        if not any(map(gains, convolutions)):
            continue
        for layer in convolutions:
            weight = layer.weight.detach()
            if gains(layer):
                weight, layer.__class__ = transformed(weight), WinogradConv2d
            else:
                weight = weight.to(memory_format=torch.channels_last)
            layer.weight = nn.Parameter(weight, requires_grad=False)


def gains(conv: nn.Conv2d) -> bool:
    """True for a convolution of the right kind that is wide, but not too wide."""
    channels = conv.in_channels, conv.out_channels
    return (
        is_plain_3x3(conv)
        and conv.weight.dtype == torch.float32
        and min(channels) >= NARROWEST
        and channels[0] * channels[1] <= LARGEST
    )


def is_plain_3x3(conv: nn.Conv2d) -> bool:
    """True for a 3 x 3 kernel at every pixel, with zeros around and all channels together."""
    kind = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups, conv.padding_mode)
    return kind == ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros")


def transformed(weight: Tensor) -> Tensor:
    """G w G^T: [out, in, 3, 3] -> [out, in, 6, 6], with the last two outermost in memory."""
    side = torch.tensor(KERNEL, dtype=torch.float64)
    places = torch.kron(side, side) @ weight.double().permute(2, 3, 1, 0).reshape(9, -1)  # rounded once
    outputs, inputs = weight.shape[:2]
    return places.to(weight.dtype).view(INPUTS, INPUTS, inputs, outputs).permute(3, 2, 0, 1)


def convolve(x: Tensor, kernels: Tensor, bias: Tensor | None = None) -> Tensor:
    """The convolution with zeros around: ``x`` [B, in, h, w], ``kernels`` [36, in, out] -> [B, out, h, w],
    channels-last."""
    batch, _, height, width = x.shape
    down, across = -(-height // TILE), -(-width // TILE)
    below, right = down * TILE - height + 1, across * TILE - width + 1
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, right, 1, below))
    y = x.new_empty(batch, down, TILE, across, TILE, kernels.shape[2])
    for pictures, rows in slices(batch, down, across):
        part = padded[pictures, TILE * rows.start : TILE * rows.stop + 2]
        found = outputs_of(torch.bmm(values_of(part), kernels), y[pictures, rows].shape)
        torch.add(found, 0.0 if bias is None else bias, out=y[pictures, rows])
    whole = y.view(batch, down * TILE, across * TILE, -1)[:, :height, :width]
    return whole.contiguous().permute(0, 3, 1, 2)


def slices(batch: int, down: int, across: int) -> Iterator[tuple[slice, slice]]:
    """Pictures and rows of tiles, `TILES` or a row of them at a time."""
    rows = min(down, max(1, TILES // across))
    pictures = max(1, TILES // (down * across)) if rows == down else 1
    for first in range(0, batch, pictures):
        for top in range(0, down, rows):
            yield slice(first, min(batch, first + pictures)), slice(top, min(down, top + rows))


def values_of(part: Tensor) -> Tensor:
    """B^T x B of each tile: pixels with a border [B, 4 rows + 2, 4 across + 2, in] -> [36, B x rows x across, in]."""
    side = part.new_tensor(INPUT)
    batch, height, width, channels = part.shape
    rows, across = (height - 2) // TILE, (width - 2) // TILE
    picture, line, pixel, one = part.stride()
    bands = part.as_strided((INPUTS, batch, rows, width, channels), (line, picture, TILE * line, pixel, one))
    bands = (side @ bands.reshape(INPUTS, -1)).view(bands.shape)
    place, picture, band, pixel, one = bands.stride()
    squares = bands.as_strided(
        (INPUTS, INPUTS, batch, rows, across, channels), (place, pixel, picture, band, TILE * pixel, one)
    )
    return torch.matmul(side, squares.reshape(INPUTS, INPUTS, -1)).view(INPUTS * INPUTS, -1, channels)


def outputs_of(products: Tensor, shape: torch.Size) -> Tensor:
    """A^T m A of each tile: [36, B x rows x across, out] -> a view of ``shape`` [B, rows, 4, across, 4, out]."""
    side = products.new_tensor(OUTPUT)
    batch, rows, _, across, _, channels = shape
    lines = (side @ products.reshape(INPUTS, -1)).view(TILE, INPUTS, -1)
    pixels = torch.matmul(side, lines).view(TILE, TILE, batch, rows, across, channels)
    return pixels.permute(2, 3, 0, 4, 1, 5)
