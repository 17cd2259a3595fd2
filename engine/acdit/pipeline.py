"""ACDiT as a library call: pictures or clips of a class, block by block.

pipeline = ACDiTPipeline.from_pretrained("ACDiT-XL-img.pt", vae="path/to/DiT-XL-2-256")
(picture,) = pipeline(207, seed=7)
for block in pipeline.stream(ClassRequest(207, seed=7)):
    ...  # block.latents; of a clip, block.frames
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..loading.acdit import VAE_REPOSITORY, acdit_fingerprint, load_acdit, load_vae, make_acdit
from ..loading.bundle import parse_device, parse_dtype
from ..loading.fingerprint import NOISE
from ..models.acdit.config import ACDiTConfig
from ..models.acdit.network import ACDiT
from ..models.acdit.sampler import BlockSampler
from ..models.diffusion.vae import VAE
from ..models.layers.products import choose_products
from ..options import EngineOptions
from ..runtime.float32 import exact_float32
from ..scheduler.executor import Slot
from ..scheduler.policy import SchedulerConfig
from .loop import BlockLoop, in_turn
from .phases import BlockPhases
from .request import STEPS, BlockDone, ClassRequest, Event

PICTURE_GUIDANCE, CLIP_GUIDANCE = 1.5, 2.5  # of the paper's figures


class ACDiTPipeline:
    """One network with Stable Diffusion's autoencoder."""

    def __init__(self, model: ACDiT, vae: VAE, weights: str = NOISE) -> None:
        """Use :meth:`from_pretrained`."""
        self.model, self.vae, self.weights = model, vae, weights

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | None = None,
        *,
        vae: str | Path | None = None,
        random_weights: str | None = None,
        device: str = EngineOptions.device,
        dtype: str = EngineOptions.dtype,
    ) -> ACDiTPipeline:
        """Load a published file (``ACDiT-XL-img.pt``), converted once in ``converted`` next to it, and the autoencoder
        in ``vae`` or its folder of that name.

        ``random_weights`` names a model (``XL-img``, ``H-vid``, ...) that is made at its published size without any
        file. Raises ``ValueError`` (one line) that names what is unknown, or the file and the key that is wrong.
        """
        where, kind = parse_device(device), parse_dtype(dtype)
        if random_weights is not None:
            for name, value in (("a model", model), ("an autoencoder", vae)):
                if value is not None:
                    raise ValueError(f"{name} and random weights are given together; choose one of them")
            network, autoencoder, weights = *make_acdit(random_weights, where, kind), NOISE
        else:
            if model is None:
                raise ValueError("no model given; give a published file, such as ACDiT-XL-img.pt")
            if vae is None:
                raise ValueError(f"no autoencoder given; give the directory of {VAE_REPOSITORY}")
            network, autoencoder = load_acdit(Path(model), where, kind), load_vae(Path(vae), where, kind)
            weights = acdit_fingerprint(Path(model), Path(vae), kind)
        check_fit(network.config, autoencoder)
        exact_float32(where)
        choose_products(where, kind, [network, autoencoder], [network, autoencoder.decoder])
        return cls(network, autoencoder, weights)

    @property
    def config(self) -> ACDiTConfig:
        """The network's sizes."""
        return self.model.config

    def __call__(
        self, label: int, *, seed: int = 0, steps: int = STEPS, guidance_scale: float | None = None
    ) -> list[Image.Image]:
        """One picture of class ``label``, or the frames of a clip. Its noise depends on ``seed`` alone.

        ``steps`` are those of DPM-Solver++ in each block, ``guidance_scale`` (up to 1: none) is the model's own where
        None. Raises ``ValueError`` for a class that is not there.
        """
        request = ClassRequest(label, seed)
        done = self.stream(request, steps=steps, guidance_scale=guidance_scale)
        return [Image.fromarray(frame) for block in done for frame in block.frames]

    def stream(
        self, request: ClassRequest, *, steps: int = STEPS, guidance_scale: float | None = None
    ) -> Iterator[BlockDone]:
        """The blocks of one request as they are finished, from the first that is not done."""
        return in_turn(self._phases(steps, guidance_scale), request)

    def generate_many(
        self,
        requests: Iterable[ClassRequest],
        *,
        steps: int = STEPS,
        guidance_scale: float | None = None,
        concurrency: int = 4,
    ) -> Generator[Event, None, None]:
        """The blocks of many requests, of which ``concurrency`` are computed side by side, whichever block each has
        come to. A request that fails ends as ``RequestFailed``, and the others go on. ``ValueError`` for an impossible
        setting."""
        config = SchedulerConfig(
            slots=1, stories=concurrency, waiting=0, draw_batch=concurrency, correct_batch=concurrency,
            prompt_lookahead=0,
        )  # fmt: skip
        slots = [Slot(self.model.device, torch.get_num_threads())]
        return BlockLoop(slots, self._phases(steps, guidance_scale), config, requests).events()

    def settings(self, steps: int = STEPS, guidance_scale: float | None = None) -> dict[str, Any]:
        """Everything that decides a picture besides class and seed, ready for JSON. ``ValueError`` for an impossible
        setting."""
        sampler = self._phases(steps, guidance_scale).sampler
        return {
            "weights": self.weights,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": str(self.model.device),
            "threads": torch.get_num_threads(),
            "steps": len(sampler.schedule.steps),
            "guidance_scale": sampler.guidance_scale,
            "layers": self.config.num_layers,
            "frames": self.config.num_frames,
            "blocks": self.config.num_blocks,
        }

    def guidance(self, scale: float | None) -> float:
        """``scale``, or the paper's for pictures or clips where it is None; ``ValueError`` for an impossible one."""
        found = (CLIP_GUIDANCE if self.config.is_clip else PICTURE_GUIDANCE) if scale is None else scale
        if not math.isfinite(found) or found < 0:
            raise ValueError(f"guidance_scale {found} is out of range; choose 0 or more")
        return float(found)

    def _phases(self, steps: int, guidance_scale: float | None) -> BlockPhases:
        return BlockPhases(BlockSampler(self.model, steps, self.guidance(guidance_scale)), self.vae)


def check_fit(config: ACDiTConfig, vae: VAE) -> None:
    """``ValueError`` where the autoencoder's latents are not the network's."""
    if vae.config.latent_channels != config.latent_channels:
        found = f"{vae.config.latent_channels} channels, but the network draws {config.latent_channels}"
        raise ValueError(f"the autoencoder's latents have {found}; give that of {VAE_REPOSITORY}")
