"""Train the corrector's autoencoder: ``python -m acdc.bench.storyworld.train.vae --data DIR --out DIR``.

A diffusers AutoencoderKL to 4 x 16 x 16 latents (f=4 for 64 px, f=8 for 128 px), with a tiny KL weight as in
latent diffusion (arXiv 2112.10752, section 3.1). `scaling_factor` is 1 / std of the latents, as in Stable Diffusion.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from .budget import Budget, budget_options, coder_optimizers, numbers
from .fast_coder import speed_up
from .pictures import Frames, picture_loss, psnr
from .precision import autocast

CHANNELS = {64: (16, 32, 64), 128: (8, 24, 64, 96)}  # by the pictures' size; 4 x 16 x 16 latents in both
GROUPS = 8
KL_WEIGHT = 1e-5  # per element of the latents
SEED = 2


def make_vae(size: int, channels: tuple[int, ...] | None = None) -> AutoencoderKL:
    """An untrained AutoencoderKL for pictures of `size` px, by default of the `CHANNELS` for that size."""
    channels = channels or CHANNELS[size]
    return AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=GROUPS,
        sample_size=size,
        mid_block_add_attention=False,
    )


def make_step(vae: AutoencoderKL, frames: Frames, batch: int, device: str) -> Callable[[int], dict[str, Tensor]]:
    """The step of `fit`."""

    def step_fn(step: int) -> dict[str, Tensor]:
        pixels = frames.batch(SEED, step, batch).to(device)
        with autocast(device):
            mean, logvar = vae.quant_conv(vae.encoder(pixels)).float().chunk(2, dim=1)
            logvar = logvar.clamp(-30.0, 20.0)
            latents = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
            output = vae.decoder(vae.post_quant_conv(latents))
        kl = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()
        picture = picture_loss(output, pixels)
        return {"loss": picture + KL_WEIGHT * kl, "picture": picture, "kl": kl}

    return step_fn


@torch.no_grad()
def latent_std(vae: AutoencoderKL, pixels: Tensor) -> float:
    """Standard deviation over all elements of the latents' means."""
    return float(torch.cat([vae.encode(part).latent_dist.mean for part in pixels.split(32)]).std())


@torch.no_grad()
def measure(folder: Path, pixels: Tensor) -> dict[str, float]:
    """PSNR of the exported files on held-out `pixels`, and the standard deviation of the scaled latents."""
    vae = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32)
    output = torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample for part in pixels.split(32)])
    scaled = latent_std(vae, pixels) * vae.config.scaling_factor
    return {"psnr": psnr(output.clamp(-1, 1), pixels), "scaled_std": scaled}


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run directory; OUT/vae is exported.")
@click.option("--channels", callback=numbers, help="Such as 32,64,128; by default by the pictures' size.")
@click.option("--muon/--adamw", default=False, show_default=True)
@budget_options(steps=1600, decay=400, batch=16, lr=2e-3)
def main(data: Path, out: Path, channels: tuple[int, ...] | None, muon: bool, budget: Budget) -> None:
    """Train, export and measure the autoencoder."""
    budget.begin(SEED)
    frames = Frames(data)
    vae = make_vae(frames.size, channels).to(budget.device)
    speed_up(vae)
    step_fn = make_step(vae, frames, budget.batch, budget.device)
    done = budget.fit(step_fn, {"vae": vae}, coder_optimizers(vae, budget.lr, muon), out, SEED)
    vae = vae.cpu().eval()
    vae.register_to_config(scaling_factor=1.0 / latent_std(vae, frames.heldout()))
    vae.half().save_pretrained(out / "vae")
    report = {"steps": done, "batch": budget.batch, "parameters": sum(p.numel() for p in vae.parameters())}
    report |= measure(out / "vae", frames.heldout())
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    click.echo(json.dumps(report))


if __name__ == "__main__":
    main()
