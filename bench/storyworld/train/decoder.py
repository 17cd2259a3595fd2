"""More training for a coder's decoder alone: ``python -m acdc.bench.storyworld.train.decoder --coder DIR ...``.

The encoder and the codebook stay, so codes.npy and latents.npy (from `encode`, --flip used where present) keep their
meaning, and models trained on them can train at the same time. Costs a third of a step of the whole coder. The terms
of `adversary` make outlines and eyes crisp; the discriminator starts with the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor, nn

from ....engine.models.tokenizers.vqgan import VQGAN
from . import tokenizer, vae
from .adversary import PatchDiscriminator, edge_loss, fooling_loss, telling_loss
from .budget import Budget, budget_options, coder_optimizers
from .fast_coder import speed_up
from .loop import make_optimizers, step_rng
from .pictures import Frames, picture_loss, to_pixels
from .precision import autocast

SEED = 3
Decode = Callable[[Tensor], Tensor]


def load_coder(folder: Path) -> tuple[nn.Module, list[nn.Module], Decode, str]:
    """The coder in `folder`, its trainable parts, its decoding of stored codes or latents, and their file's name."""
    if "codebook_size" in json.loads((folder / "config.json").read_text()):
        model = VQGAN.from_directory(folder)
        return model, [model.post_quant_conv, model.decoder], lambda x: model.reconstruct(model.lookup(x)), "codes"
    from diffusers import AutoencoderKL

    kl = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32).requires_grad_(False)
    scale = kl.config.scaling_factor
    return kl, [kl.post_quant_conv, kl.decoder], lambda x: kl.decoder(kl.post_quant_conv(x / scale)), "latents"


class Encoded:
    """Frames with their stored codes or latents; the same stories are held out as in `Frames`."""

    def __init__(self, data: Path, name: str) -> None:
        self.frames = Frames(data)
        paths = [path for path in (data / f"{name}.npy", data / f"{name}_flip.npy") if path.is_file()]
        if not paths:
            raise ValueError(
                f"{data / name}.npy: no such file; write it with python -m acdc.bench.storyworld.train.encode"
            )
        arrays = [np.load(path, mmap_mode="r") for path in paths]
        self.sides = [array.reshape(-1, *array.shape[2:]) for array in arrays]

    def batch(self, step: int, size: int) -> tuple[Tensor, Tensor]:
        """Stored inputs of random training frames, and their pixels [size, 3, H, W]; all mirrored or none."""
        rng = step_rng(SEED, step)
        side = int(rng.integers(len(self.sides)))
        chosen = np.sort(rng.integers(0, self.frames.trained, size))
        pixels = to_pixels(self.frames.flat[chosen])
        stored = torch.from_numpy(np.array(self.sides[side][chosen]))
        return stored.float() if stored.is_floating_point() else stored.long(), pixels.flip(3) if side else pixels


@click.command()
@click.option("--coder", type=click.Path(path_type=Path), required=True, help="Directory of a VQGAN or AutoencoderKL.")
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="OUT/tokenizer or OUT/vae is exported.")
@click.option("--edges", default=0.0, show_default=True, help="Weight of the edge-weighted L1.")
@click.option("--adversarial", default=0.0, show_default=True, help="Weight of a patch discriminator's verdict.")
@click.option("--features", default=0.0, show_default=True, help="Weight of the distance of its features.")
@click.option("--muon/--adamw", default=False, show_default=True)
@budget_options(steps=3000, decay=1000, batch=8, lr=1e-3)
def main(
    coder: Path, data: Path, out: Path, edges: float, adversarial: float, features: float, muon: bool, budget: Budget
) -> None:
    """Train the decoder of --coder on, export the coder and measure it."""
    budget.begin(SEED)
    model, parts, decode, name = load_coder(coder)
    encoded = Encoded(data, name)
    model.to(budget.device)
    for part in parts:
        part.requires_grad_(True)
    speed_up(model)
    modules: dict[str, nn.Module] = {"model": model}
    optimizers = coder_optimizers(model, budget.lr, muon)
    judge = None
    if adversarial or features:
        modules["discriminator"] = judge = PatchDiscriminator().to(budget.device)
        optimizers += make_optimizers(judge, budget.lr / 2)

    def step_fn(step: int) -> dict[str, Tensor]:
        stored, pixels = (part.to(budget.device) for part in encoded.batch(step, budget.batch))
        with autocast(budget.device):
            output = decode(stored)
        parts = {"picture": picture_loss(output, pixels)}
        loss = parts["picture"]
        if edges:
            parts["edges"] = edge_loss(output, pixels)
            loss = loss + edges * parts["edges"]
        if judge is not None:
            with autocast(budget.device):
                fooled, matched = fooling_loss(judge, output, pixels)
                parts |= {"fooled": fooled, "features": matched, "judge": telling_loss(judge, output, pixels)}
            loss = loss + adversarial * fooled + features * matched + parts["judge"]
        return {"loss": loss, **parts}

    done = budget.fit(step_fn, modules, optimizers, out, SEED)
    heldout = encoded.frames.heldout()
    if isinstance(model, VQGAN):
        tokenizer.export(model, out / "tokenizer")
        report = tokenizer.measure(out / "tokenizer", heldout)
    else:
        model.cpu().half().save_pretrained(out / "vae")  # type: ignore[operator]
        report = vae.measure(out / "vae", heldout)
    (out / "report.json").write_text(json.dumps({"steps": done, **report}, indent=2) + "\n")
    click.echo(json.dumps(report))


if __name__ == "__main__":
    main()
