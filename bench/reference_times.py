"""SDXL-Lightning of random weights draws a picture from noise: seconds and needs of its networks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..engine.text_to_image import TextToImage
from .module_runs import Runs, now
from .overhead.floors import Operations, weight_bytes
from .roofline import Cost

SENTENCE = "Benny the beagle sat in a vibrant garden."


def make_reference(device: str, dtype: str, steps: int) -> TextToImage:
    """Networks of the published sizes; ``steps`` is Euler's number."""
    return TextToImage.from_pretrained(random_weights=True, steps=steps, device=device, dtype=dtype)


@torch.no_grad()  # in inference mode a linear layer is not taken apart into products that are counted
def draw_reference(painter: TextToImage, size: int, count: Callable[[], float] = now) -> dict[str, list[float]]:
    """Draw a picture of ``size`` pixels a side; by network, what ``count`` grew by in each run: seconds."""
    vae = painter.model.vae
    side = painter.check_size(size) // vae.downscale
    noise = torch.randn(1, vae.config.latent_channels, side, side, generator=torch.Generator().manual_seed(0))
    before = count()
    prompts = painter.model.embed([SENTENCE])
    text = count() - before
    runs = {name: Runs(network, count) for name, network in (("unet", painter.model.unet), ("decode", vae.decoder))}
    painter.paint(noise.to(prompts.states), prompts.states, prompts.pooled)
    for run in runs.values():
        run.remove()
    return {"text": [text], **{name: run.amounts for name, run in runs.items()}}


def reference_needs(painter: TextToImage, size: int) -> dict[str, Cost]:
    """Needs of one run of each network: operations of its products, bytes of its weights."""
    model = painter.model
    networks: dict[str, list[nn.Module]] = {
        "text": [model.text_encoder, model.text_encoder_2],
        "unet": [model.unet],
        "decode": [model.vae.decoder],
    }
    with Operations() as counter:
        flops = draw_reference(painter, size, lambda: counter.flops)
    weights = {name: sum(weight_bytes(m) for part in parts for m in part.modules()) for name, parts in networks.items()}
    return {name: Cost(int(flops[name][0]), weights[name]) for name in networks}
