"""Train the bundle's motion adapter: ``python -m acdc.bench.storyworld train_motion --base DIR --clips DIR ...``.

BASE is the corrector's Stable Diffusion directory and stays as it is; what learns are the motion modules between its
UNet's layers (AnimateDiff, arXiv 2307.04725, section 4.2), on the VAE latents of clips (`video_data --vae`). Their
outputs begin at zero: at step 0 the UNet of clips is the UNet of frames. OUT/motion_adapter is the exported adapter; it
brings the base's own noise schedule, since published adapters, which bring none, mean another one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import click
import torch
from safetensors.torch import save_file
from torch import Tensor

from ....engine.models.diffusion.motion import POSITIONS, MotionAdapter, MotionConfig
from ....engine.models.diffusion.motion_unet import MotionUNet
from ....engine.models.diffusion.stable_diffusion import StableDiffusion
from ....engine.models.diffusion.unet import UNet
from ....engine.utils.malloc import keep_freed_memory
from .budget import Budget, budget_options
from .corrector import takes_draft
from .diffusion_schedule import alphas_cumprod, noised, stratified_timesteps
from .loop import fit, make_optimizers, step_rng
from .motion_data import CaptionedClips
from .precision import autocast

SEED = 7
HELDOUT = 24  # clips that are measured
HEAD_DIM = 32


def make_adapter(unet: UNet) -> MotionAdapter:
    """An untrained adapter for ``unet`` whose modules change nothing yet; torch's seed decides its weights."""
    widths = unet.config.block_out_channels
    config = MotionConfig(
        block_out_channels=widths,
        motion_layers_per_block=unet.config.layers_per_block,
        motion_num_attention_heads=tuple(max(1, width // HEAD_DIM) for width in widths),
        motion_norm_num_groups=unet.config.norm_num_groups,
    )
    adapter = MotionAdapter(config)
    for name, value in adapter.named_parameters():
        if "proj_out" in name:
            torch.nn.init.zeros_(value)
    return adapter


def join(unet: UNet, adapter: MotionAdapter) -> MotionUNet:
    """The UNet of clips; its motion modules learn, all else is frozen."""
    joint = MotionUNet.of(unet, adapter)
    for name, value in joint.named_parameters():
        value.requires_grad_(".motion_modules." in name)
    return joint


def errors(
    model: Callable[..., Tensor], latents: Tensor, starts: Tensor, noise: Tensor, timesteps: Tensor, contexts: Tensor
) -> Tensor:
    """v-MSE [B] of clips [B, L, 4, h, w] at timesteps [B]; drafts are used where a correction would begin with them."""
    length = latents.shape[1]
    each = timesteps.repeat_interleave(length)
    flat = [value.flatten(0, 1) for value in (latents, noise, starts)]
    begun = torch.where(takes_draft(each), flat[2], flat[0])
    noisy, target = noised(flat[0], flat[1], each, alphas_cumprod().to(latents.device), begun)
    predicted = model(noisy.unflatten(0, (-1, length)), timesteps, contexts).float()
    return (predicted - target.unflatten(0, (-1, length))).square().flatten(1).mean(1)


def by_frames(unet: UNet) -> Callable[..., Tensor]:
    """The UNet of frames applied to clips, each frame by itself: what the adapter is measured against."""

    def predict(latents: Tensor, timesteps: Tensor, contexts: Tensor) -> Tensor:
        length = latents.shape[1]
        rows = (value.repeat_interleave(length, dim=0) for value in (timesteps, contexts))
        return unet(latents.flatten(0, 1), *rows).unflatten(0, (-1, length))

    return predict


def train_step(
    model: MotionUNet, clips: CaptionedClips, batch: int, device: str
) -> Callable[[int], Mapping[str, Tensor]]:
    """The step of `fit`: the v-prediction loss of random stretches."""

    def step_fn(step: int) -> Mapping[str, Tensor]:
        latents, starts, contexts = (value.to(device) for value in clips.batch(step_rng(SEED, step), batch))
        timesteps = stratified_timesteps(batch, device)
        with autocast(device):
            found = errors(model, latents, starts, torch.randn_like(latents), timesteps, contexts)
        return {"loss": found.mean()}

    return step_fn


@torch.no_grad()
def evaluate(model: Callable[..., Tensor], clips: CaptionedClips, count: int, device: str) -> dict[str, float]:
    """Held-out v-MSE with fixed noise: of all timesteps, and of those at which corrections begin."""
    latents, starts, contexts = (value.to(device) for value in clips.first(count))
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(SEED)).to(device)
    timesteps = ((torch.arange(len(latents)) + 0.5) * 1000 / len(latents)).long().to(device)
    parts = zip(*(value.split(2) for value in (latents, starts, noise, timesteps, contexts)), strict=True)
    found = torch.cat([errors(model, *part) for part in parts])
    begun = takes_draft(timesteps).flatten()
    return {"v_mse": round(float(found.mean()), 5), "v_mse_begun": round(float(found[begun].mean()), 5)}


def export(joint: MotionUNet, base: Path, folder: Path) -> None:
    """Write the directory that `MotionAdapter.from_directory` reads, weights in float16, with the base's schedule.

    The tables of positions are left out: they follow from the shapes, and float16 would round them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {"_class_name": "MotionAdapter", **asdict(joint.motion)}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    learned = {name: value for name, value in joint.adapter_state().items() if not name.endswith(POSITIONS)}
    state = {name: value.detach().half().cpu().contiguous() for name, value in learned.items()}
    save_file(state, folder / "diffusion_pytorch_model.safetensors")
    shutil.copytree(base / "scheduler", folder / "scheduler", dirs_exist_ok=True)


@click.command()
@click.option("--base", type=click.Path(path_type=Path, exists=True), required=True, help="The corrector's directory.")
@click.option("--clips", type=click.Path(path_type=Path), required=True)
@click.option("--heldout", type=click.Path(path_type=Path), required=True, help="Clips of the held-out split.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run directory; OUT/motion_adapter.")
@click.option("--every", default=100, show_default=True, help="Steps between two evaluations.")
@budget_options(steps=1500, decay=600, batch=3, lr=1e-3)
def main(base: Path, clips: Path, heldout: Path, out: Path, every: int, budget: Budget) -> None:
    """Train the motion modules, compared with the frozen UNet alone in OUT/evaluation.jsonl."""
    keep_freed_memory()
    budget.begin(SEED)
    networks = StableDiffusion.from_directory(base)
    unet = networks.unet
    assert isinstance(unet, UNet), "a directory of Stable Diffusion has one"
    trained, apart = (CaptionedClips.load(f, lambda captions: networks.embed(captions)[0]) for f in (clips, heldout))
    joint = join(unet, make_adapter(unet)).to(budget.device)
    out.mkdir(parents=True, exist_ok=True)

    def report(step: int) -> None:
        if step % every == 0:
            found = {"step": step, **evaluate(joint, apart, HELDOUT, budget.device)}
            with (out / "evaluation.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")

    if not (out / "checkpoint.pt").is_file():
        alone = evaluate(by_frames(unet.to(budget.device)), apart, HELDOUT, budget.device)
        (out / "alone.json").write_text(json.dumps(alone) + "\n", encoding="utf-8")
        report(0)
    done = fit(
        train_step(joint, trained, budget.batch, budget.device), {"joint": joint}, make_optimizers(joint, budget.lr),
        steps=budget.steps, decay=budget.decay, run_dir=out, warmup=50, every=every, seed=SEED,
        after_step=lambda step: report(step + 1),
        time_limit=None if budget.minutes is None else 60 * budget.minutes,
    )  # fmt: skip
    export(joint, base, out / "motion_adapter")
    figures = {"steps": done, **evaluate(joint, apart, HELDOUT, budget.device)}
    figures |= {"alone": json.loads((out / "alone.json").read_text(encoding="utf-8"))}
    figures |= {"parameters": sum(value.numel() for value in joint.parameters() if value.requires_grad)}
    (out / "report.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    click.echo(json.dumps(figures))


if __name__ == "__main__":
    main()
