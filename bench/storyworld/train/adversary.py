"""Losses beyond pixels for the end of a coder's training: a patch discriminator, its features, and edges.

As in VQGAN (arXiv 2012.09841, section 3.1) the discriminator judges patches (arXiv 1611.07004) by the hinge loss. The
distance of the discriminator's own features (arXiv 1711.11585, equation 4) replaces the perceptual term, so that no
network judges here that measures later.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """Pixels [B, 3, H, W] to scores [B, 1, H/4, W/4], positive for true ones, and the features on the way."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers, inputs = [], 3
        for index in range(3):
            outputs, stride = width << index, 2 if index < 2 else 1
            # spectral norm instead of batch norm: no statistics that true and drawn pictures would share
            conv = nn.utils.parametrizations.spectral_norm(nn.Conv2d(inputs, outputs, 4 - index // 2, stride, 1))
            layers.append(nn.Sequential(conv, nn.LeakyReLU(0.2)))
            inputs = outputs
        self.layers = nn.ModuleList(layers)
        self.score = nn.Conv2d(inputs, 1, 3, padding=1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        for layer in self.layers:
            pixels = layer(pixels)
            features.append(pixels)
        return self.score(pixels), features


def fooling_loss(judge: PatchDiscriminator, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Losses of the coder: (minus the score of its ``output``, L1 between the features of both).

    No gradient reaches the discriminator.
    """
    judge.requires_grad_(False)
    score, features = judge(output)
    with torch.no_grad():
        wanted = judge(target)[1]
    judge.requires_grad_(True)
    matched = torch.stack([F.l1_loss(a.float(), b.float()) for a, b in zip(features, wanted, strict=True)]).mean()
    return -score.float().mean(), matched


def telling_loss(judge: PatchDiscriminator, output: Tensor, target: Tensor) -> Tensor:
    """The discriminator's own hinge loss; no gradient reaches the coder."""
    drawn, true = (judge(pixels)[0].float() for pixels in (output.detach(), target))
    return (F.relu(1 + drawn).mean() + F.relu(1 - true).mean()) / 2


def edge_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 weighted by how much the ``target`` changes around each pixel: outlines and eyes count, flat skies do not."""
    rows, columns = target.diff(dim=2).abs().mean(1, keepdim=True), target.diff(dim=3).abs().mean(1, keepdim=True)
    change = F.pad(rows, (0, 0, 0, 1)) + F.pad(rows, (0, 0, 1, 0)) + F.pad(columns, (0, 1)) + F.pad(columns, (1, 0))
    weight = change / change.mean((2, 3), keepdim=True).clamp(min=1e-6)
    return (weight * (output.float() - target).abs()).mean()
