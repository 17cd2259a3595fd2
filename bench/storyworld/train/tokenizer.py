"""Train the storyworld's VQGAN: ``python -m acdc.bench.storyworld.train.tokenizer --data DIR --out DIR``.

1,024 codes: a grid of 8x8 for pictures of 64 px (f=8) and 128 px (f=16), or with ``--grid 16`` of 16x16 for 64 px
(f=4). First a plain autoencoder, then k-means on its latents starts the codebook, which follows by moving averages. No
adversarial term: the pictures are flat drawings and the budget is a CPU core.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import torch
from safetensors.torch import save_file
from torch import Tensor

from ....engine.models.tokenizers.vqgan import VQGAN, VQGANConfig
from .budget import Budget, budget_options, coder_optimizers
from .codebook import CodebookEma, usage
from .fast_coder import speed_up
from .pictures import Frames, picture_loss, psnr
from .precision import autocast

CONFIGS = {  # by the pictures' size and the side of the grid of codes
    (64, 16): VQGANConfig(64, 32, (1, 2, 4), num_res_blocks=1, z_channels=8, codebook_size=1024, num_groups=8),
    (64, 8): VQGANConfig(64, 16, (1, 2, 4, 8), num_res_blocks=1, z_channels=8, codebook_size=1024, num_groups=8),
    (128, 8): VQGANConfig(128, 8, (1, 2, 6, 16, 16), num_res_blocks=1, z_channels=16, codebook_size=1024, num_groups=8),
}
COMMITMENT = 0.25
SEED = 1


def make_step(
    model: VQGAN, book: CodebookEma, frames: Frames, batch: int, device: str, start: int, restarts: int
) -> Callable[[int], dict[str, Tensor]]:
    """The step of `fit`: continuous before step `start`, then quantised; dead codes are revived until `restarts`."""

    def start_book(step: int) -> None:
        parts = [frames.batch(SEED + part, step, batch).to(device) for part in range(1, 9)]
        with torch.no_grad(), autocast(device):
            book.start(torch.cat([rows(model.latents(pixels).float()) for pixels in parts]))

    def step_fn(step: int) -> dict[str, Tensor]:
        if step == start:
            start_book(step)
        pixels = frames.batch(SEED, step, batch).to(device)
        with autocast(device):
            z = model.latents(pixels).float()
        commitment, vectors = z.new_zeros(()), z
        if step >= start:
            codes = model.quantise(z.detach())
            found = model.lookup(codes)
            commitment = (z - found).square().mean()
            vectors = z + (found - z).detach()  # straight-through gradient
            book.update(rows(z.detach()), codes.flatten(), restart=step % 10 == 0 and step < restarts)
        with autocast(device):
            output = model.reconstruct(vectors)
        picture = picture_loss(output, pixels)
        return {"loss": picture + COMMITMENT * commitment, "picture": picture, "commitment": commitment}

    return step_fn


def rows(latents: Tensor) -> Tensor:
    """[B, z, h, w] to [B*h*w, z]."""
    return latents.permute(0, 2, 3, 1).flatten(0, 2)


def export(model: VQGAN, folder: Path) -> None:
    """Write config.json and the fp16 model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(model.config.to_dict(), indent=2) + "\n")
    state = {name: value.detach().half().contiguous().cpu() for name, value in model.state_dict().items()}
    save_file(state, str(folder / "model.safetensors"))


def measure(folder: Path, pixels: Tensor) -> dict[str, float]:
    """PSNR and codebook use of the exported files on held-out `pixels`, and how many codes survive a round trip."""
    model = VQGAN.from_directory(folder)
    codes = torch.cat([model.encode(part) for part in pixels.split(32)])
    output = torch.cat([model.decode(part) for part in codes.split(32)])
    again = torch.cat([model.encode(part) for part in output.split(32)])
    used, perplexity = usage(codes, model.config.codebook_size)
    kept = float((again == codes).float().mean())
    return {"psnr": psnr(output, pixels), "codes_used": used, "perplexity": perplexity, "codes_kept": kept}


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run directory; OUT/tokenizer is exported.")
@click.option("--grid", default=8, show_default=True, help="Side of the grid of codes.")
@click.option("--muon/--adamw", default=False, show_default=True)
@budget_options(steps=2000, decay=500, batch=16, lr=2e-3)
def main(data: Path, out: Path, grid: int, muon: bool, budget: Budget) -> None:
    """Train, export and measure the tokenizer."""
    budget.begin(SEED)
    frames = Frames(data)
    if (frames.size, grid) not in CONFIGS:
        known = ", ".join(f"{side} px with a grid of {codes}" for side, codes in CONFIGS)
        raise click.UsageError(f"no tokenizer for {frames.size} px with a grid of {grid}; choose one of {known}")
    model = VQGAN(CONFIGS[frames.size, grid]).to(budget.device)
    book = CodebookEma(model.codebook).to(budget.device)
    start = min(300, budget.steps // 10)
    speed_up(model)
    step_fn = make_step(model, book, frames, budget.batch, budget.device, start, budget.steps - budget.decay)
    modules = {"model": model, "codebook": book}
    done = budget.fit(step_fn, modules, coder_optimizers(model, budget.lr, muon), out, SEED)
    export(model, out / "tokenizer")
    report: dict[str, float] = {"steps": done, "batch": budget.batch}
    report["parameters"] = sum(p.numel() for p in model.parameters())
    report |= measure(out / "tokenizer", frames.heldout())
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    click.echo(json.dumps(report))


if __name__ == "__main__":
    main()
