"""Which individual does a picture show? Coat colour, build and markings, which no sentence of the world names.

Apart from the judge of labels, since that one must be blind to colour and this one must see it. For measuring only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor, nn

from ..world.kinds import FACE_MARKS, TRUNK_MARKS
from .input import Pictures, as_batches, shrink
from .judge import conv_layer

WEIGHTS = Path(__file__).parent / "weights" / "identity"
COLOUR, BUILD = 3, 4  # numbers of the coat (red, green, blue in 0..1, by day) and of the build


@dataclass(frozen=True)
class Traits:
    """Features of N pictures: ``coat`` [N, 3], ``build`` [N, 4], and the probabilities ``trunk`` [N, 3] and ``face``
    [N, 2]."""

    coat: Tensor
    build: Tensor
    trunk: Tensor
    face: Tensor

    def __getitem__(self, index: slice | Tensor) -> Traits:
        return Traits(self.coat[index], self.build[index], self.trunk[index], self.face[index])


class IdentityJudge(nn.Module):
    """A seven-layer CNN on colour pictures; ``centre`` and ``spread`` [7] are those of the population's numbers."""

    centre: Tensor
    spread: Tensor

    def __init__(self, size: int = 64, dim: int = 96) -> None:
        super().__init__()
        self.size, self.dim = size, dim
        self.body = nn.Sequential(
            conv_layer(3, 32, 2, 5),
            conv_layer(32, 48, 2),
            conv_layer(48, 64, 1),
            conv_layer(64, 96, 2),
            conv_layer(96, 96, 1),
            conv_layer(96, 160, 2),
            conv_layer(160, 160, 1),
            nn.Flatten(),
            nn.Linear(160 * (size // 16) ** 2, dim),
            nn.BatchNorm1d(dim),
            nn.ReLU(),
        )
        self.numbers = nn.Linear(dim, COLOUR + BUILD)
        self.trunk = nn.Linear(dim, len(TRUNK_MARKS))
        self.face = nn.Linear(dim, len(FACE_MARKS))
        self.register_buffer("centre", torch.zeros(COLOUR + BUILD))
        self.register_buffer("spread", torch.ones(COLOUR + BUILD))

    def forward(self, colours: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures in 0..1 [N, 3, size, size] -> numbers in units of their spread [N, 7], logits [N, 3] and [N, 2]."""
        features = self.body((2 * colours - 1).contiguous(memory_format=torch.channels_last))
        return self.numbers(features), self.trunk(features), self.face(features)

    @torch.inference_mode()
    def traits(self, images: Pictures) -> Traits:
        """Traits in uint8 ``[N, H, W, 3]`` or PIL pictures of any size. ValueError for none."""
        parts = []
        for batch in as_batches(images):
            colours = shrink(batch.to(self.centre.device).permute(0, 3, 1, 2).float(), self.size) / 255
            numbers, trunk, face = self(colours)
            numbers = numbers.float() * self.spread + self.centre
            parts.append(torch.cat([numbers, trunk.float().softmax(-1), face.float().softmax(-1)], -1).cpu())
        if not parts:
            raise ValueError("images is empty; give at least one picture")
        return Traits(*torch.cat(parts).split([COLOUR, BUILD, len(TRUNK_MARKS), len(FACE_MARKS)], -1))

    def distance(self, a: Traits, b: Traits) -> Tensor:
        """Distance of two individuals [N]: 0 for the same, about 1 for two independent ones.

        The mean of four parts, each divided by its expectation for independent individuals: squared differences of
        coat and build, and the total variation between the probabilities of each marking.
        """
        scale = self.spread.cpu()
        coat = ((a.coat - b.coat) / scale[:COLOUR]).square().mean(-1) / 2
        build = ((a.build - b.build) / scale[COLOUR:]).square().mean(-1) / 2
        marks = [(p - q).abs().sum(-1) / 2 / (1 - 1 / p.shape[-1]) for p, q in ((a.trunk, b.trunk), (a.face, b.face))]
        return torch.stack([coat, build, *marks]).mean(0)


def load_identity(directory: str | Path | None = None, device: str = "cpu") -> IdentityJudge:
    """The judge saved in ``directory`` (the packaged one by default), float32, ready to measure.

    FileNotFoundError if there is none; ValueError for a format this version does not know.
    """
    folder = Path(directory) if directory is not None else WEIGHTS
    config = json.loads((folder / "config.json").read_text())
    if config.get("format") != 1:
        raise ValueError(f"{folder}: format {config.get('format')!r} is not known; this version reads 1")
    judge = IdentityJudge(config["size"], config["dim"])
    judge.load_state_dict({k: v.float() for k, v in load_file(folder / "identity.safetensors").items()})
    return judge.eval().requires_grad_(False).to(device)


def save_identity(judge: IdentityJudge, directory: str | Path) -> None:
    """Write ``config.json`` and ``identity.safetensors``: fp16, statistics float32."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    config = {"format": 1, "size": judge.size, "dim": judge.dim}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    kept = ("running", "centre", "spread")
    tensors = {
        name: (t.float() if any(part in name for part in kept) else t.half()).cpu().contiguous()
        for name, t in judge.state_dict().items()
    }
    (folder / "identity.safetensors").write_bytes(serialise(tensors))
