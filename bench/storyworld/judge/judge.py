"""The storyworld's judge: which animal, setting, action and prop does a picture show, seen in grayscale?

For measuring only. It never chooses weights, seeds or frames, so that its verdict stays independent of the system
it measures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor, nn
from torch.nn import functional

from ..world.kinds import ACTIONS, ANIMALS, PROPS, SETTINGS
from .input import Pictures, as_batches, grayscale, normalise, shrink
from .text import TextTower, pack

WEIGHTS = Path(__file__).parent / "weights"
LABELS: dict[str, tuple[str, ...]] = {
    "animal": ANIMALS,
    "setting": SETTINGS,
    "action": ACTIONS,
    "prop": PROPS,
}


def conv_layer(channels_in: int, channels: int, stride: int, kernel: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class Judge(nn.Module):
    """A seven-layer CNN with a 64-d feature, four heads and a text tower trained with it (as CLIP, arXiv 2103.00020).

    ``labels`` maps a head's name to its classes, in the order of the columns of probabilities.
    """

    def __init__(
        self,
        labels: Mapping[str, Sequence[str]] | None = None,
        size: int = 64,
        dim: int = 64,
        buckets: int = 2048,
    ) -> None:
        super().__init__()
        self.labels = {name: tuple(classes) for name, classes in (labels or LABELS).items()}
        self.size, self.dim, self.buckets = size, dim, buckets
        self.trunk = nn.Sequential(
            conv_layer(1, 24, 2, 5),
            conv_layer(24, 48, 2),
            conv_layer(48, 64, 1),
            conv_layer(64, 96, 2),
            conv_layer(96, 96, 1),
            conv_layer(96, 160, 2),
            conv_layer(160, 160, 1),
            nn.Flatten(),
            nn.Linear(160 * (size // 16) ** 2, dim),
            nn.BatchNorm1d(dim),
        )
        self.heads = nn.ModuleDict({name: nn.Linear(dim, len(c)) for name, c in self.labels.items()})
        self.projection = nn.Linear(dim, dim)
        self.text = TextTower(buckets, 64, dim)
        self.log_scale = nn.Parameter(torch.tensor(2.3))  # ln of the contrastive loss's 1 / temperature

    def forward(self, gray: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Gray pictures in 0..1 ``[N, 1, size, size]`` -> features ``[N, dim]``, logits by head, unit embeddings."""
        features = self.trunk(normalise(gray).contiguous(memory_format=torch.channels_last))
        logits = {name: head(functional.relu(features)) for name, head in self.heads.items()}
        return features, logits, functional.normalize(self.projection(features), dim=-1)

    def predict(self, images: Pictures) -> dict[str, Tensor]:
        """Probabilities ``[N, classes]`` by head. ``images``: uint8 ``[N, H, W, 3]`` or PIL pictures of any size."""
        rows = self._over(images, lambda gray: torch.cat([x.softmax(-1) for x in self(gray)[1].values()], -1))
        parts = rows.split([len(classes) for classes in self.labels.values()], dim=-1)
        return dict(zip(self.labels, parts, strict=True))

    def features(self, images: Pictures) -> Tensor:
        """The last feature before the heads ``[N, dim]``, for the Frechet distance."""
        return self._over(images, lambda gray: self(gray)[0])

    def embed(self, images: Pictures) -> Tensor:
        """Unit embeddings ``[N, dim]``, comparable with `embed_text` and with each other."""
        return self._over(images, lambda gray: self(gray)[2])

    @torch.inference_mode()
    def embed_text(self, sentences: Sequence[str]) -> Tensor:
        """Unit embeddings ``[N, dim]`` of free sentences."""
        if not sentences:
            return torch.zeros(0, self.dim)
        numbers, owners = (part.to(self.device) for part in pack(sentences, self.buckets))
        return self.text(numbers, owners, len(sentences)).float().cpu()

    @property
    def device(self) -> torch.device:
        return self.log_scale.device

    @torch.inference_mode()
    def _over(self, images: Pictures, function: Callable[[Tensor], Tensor]) -> Tensor:
        batches = as_batches(images)
        if not batches:
            raise ValueError("images is empty; give at least one picture")
        grays = (shrink(grayscale(batch.to(self.device)), self.size) / 255 for batch in batches)
        return torch.cat([function(gray).float().cpu() for gray in grays])


def load(directory: str | Path | None = None, device: str = "cpu") -> Judge:
    """The judge saved in ``directory`` (the packaged one by default), float32, ready to measure.

    FileNotFoundError if there is none; ValueError for a format this version does not know.
    """
    folder = Path(directory) if directory is not None else WEIGHTS
    config = json.loads((folder / "config.json").read_text())
    if config.get("format") != 1:
        raise ValueError(f"{folder}: judge format {config.get('format')!r} is not known; this version reads 1")
    judge = Judge(config["labels"], config["size"], config["dim"], config["buckets"])
    judge.load_state_dict({k: v.float() for k, v in load_file(folder / "judge.safetensors").items()})
    return judge.eval().requires_grad_(False).to(device)


def save(judge: Judge, directory: str | Path) -> None:
    """Write ``config.json`` and ``judge.safetensors``: fp16, running statistics float32 (a variance may be large)."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "format": 1,
        "size": judge.size,
        "dim": judge.dim,
        "buckets": judge.buckets,
        "labels": judge.labels,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    tensors = {
        name: (t.float() if "running" in name else t.half()).cpu().contiguous()
        for name, t in judge.state_dict().items()
    }
    (folder / "judge.safetensors").write_bytes(serialise(tensors))  # save_file would make it readable by its owner only
