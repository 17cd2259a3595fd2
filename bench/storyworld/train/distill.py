"""Distil a few-step corrector: ``python -m acdc.bench.storyworld distill --bundle NAME --data DIR --out DIR``.

LCM's way (arXiv 2310.04378; as a LoRA, arXiv 2311.05556): the bundle's own diffusion model, guided as the bundle says,
is the teacher and stays as it is; what learns is a LoRA of its UNet, which then needs 1 to 8 passes without guidance.
Reads latents.npy (and latents_flip.npy, drafts.npy) and texts.json of the data directory, as the corrector's training
does. Writes checkpoints, log.jsonl, evaluation.jsonl and report.json, and OUT/lcm_lora.safetensors of the EMA weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.func import functional_call
from transformers import CLIPTextModel

from ....engine.loading.bundle import find_bundle
from ....engine.models.diffusion.schedule import guide
from ....engine.utils.atomic import write_json
from ....engine.utils.file_digest import file_digest
from .assemble import assemble_few_steps
from .budget import Budget, budget_options
from .caption_tokenizer import build_tokenizer, load_merges
from .consistency import STRIDE, Network, consistent, distance, mean_square, stratified_points, teacher_step
from .corrector import takes_draft
from .corrector_data import CaptionedLatents
from .corrector_model import prepare_for_training
from .diffusion_schedule import alphas_cumprod
from .loop import Ema, fit, make_optimizers, restore, step_rng
from .lora_factors import Factors
from .precision import compute_dtype

SEED = 9
LORA = "lcm_lora.safetensors"
UNET = "unet/diffusion_pytorch_model.safetensors"
MEASURED = 96  # held-back frames
MEASURED_FROM = 499  # t' = 0.5


class Distillation:
    """The frozen teacher, the LoRA that learns and its moving average, which is the target network."""

    def __init__(self, corrector: Path, guidance_scale: float, rank: int, ema_decay: float, device: str) -> None:
        """``corrector`` is a Stable Diffusion directory as the corrector's training exports it."""
        unet: Any = UNet2DConditionModel.from_pretrained(corrector / "unet", torch_dtype=torch.float32)
        text: Any = CLIPTextModel.from_pretrained(
            corrector / "text_encoder", torch_dtype=torch.float32, attn_implementation="eager"
        )
        prepare_for_training(unet)
        self.unet, self.text = unet.to(device).requires_grad_(False), text.to(device).requires_grad_(False)
        self.guidance_scale, self.device, self.dtype = guidance_scale, device, compute_dtype(device)
        self.alphas = alphas_cumprod().to(device)
        self.weights = dict(self.unet.named_parameters())
        self.frozen = {name: value.to(self.dtype) for name, value in self.weights.items()}
        self.factors = Factors(self.unet, rank)
        self.ema = Ema(self.factors, ema_decay)

    @torch.no_grad()
    def states(self, ids: Tensor) -> Tensor:
        """Text states [B, 77, C] of caption ids."""
        states: Tensor = self.text(ids.to(self.device)).last_hidden_state
        return states.to(self.dtype)

    def run(self, weights: Mapping[str, Tensor], latents: Tensor, timesteps: Tensor, states: Tensor) -> Tensor:
        """v [B, 4, h, w] in float32 of the UNet with these low-precision weights."""
        x = latents.to(self.dtype, memory_format=torch.channels_last)
        v: Tensor = functional_call(self.unet, dict(weights), (x, timesteps, states), {"return_dict": False})[0]
        return v.float()

    def network(self, weights: Mapping[str, Tensor], states: Tensor) -> Network:
        """The UNet with these weights under these captions."""
        return lambda latents, timesteps: self.run(weights, latents, timesteps, states)

    def both(self, states: Tensor, null: Tensor) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The teacher with the captions and without, in one pass."""
        rows = torch.cat([states, null.expand_as(states)])

        def predict(latents: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
            first, second = self.run(self.frozen, latents.repeat(2, 1, 1, 1), timesteps.repeat(2), rows).chunk(2)
            return first, second

        return predict

    @torch.no_grad()
    def target(self, noisy: Tensor, timesteps: Tensor, states: Tensor, null: Tensor) -> Tensor:
        """The student's target at ``timesteps``: the moving average's answer one step of the teacher further."""
        after, following = teacher_step(self.both(states, null), noisy, timesteps, self.alphas, self.guidance_scale)
        averaged = self.factors.merged(self.weights, self.dtype, self.ema.state_dict())
        return consistent(self.network(averaged, states), after, following, self.alphas)

    def student(self, noisy: Tensor, timesteps: Tensor, states: Tensor) -> Tensor:
        """f of the LoRA as it is now, with gradients."""
        changed = self.factors.merged(self.weights, self.dtype)
        return consistent(self.network(changed, states), noisy, timesteps, self.alphas)

    @torch.no_grad()
    def endpoints(self, noisy: Tensor, states: Tensor, null: Tensor, start: int) -> Tensor:
        """End of the teacher's path from timestep ``start`` of the list: one step of DDIM for each point."""
        for timestep in range(start, 0, -STRIDE):
            timesteps = torch.full((len(noisy),), timestep, device=noisy.device)
            noisy, _ = teacher_step(self.both(states, null), noisy, timesteps, self.alphas, self.guidance_scale)
        return noisy


def make_step(model: Distillation, data: CaptionedLatents, batch: int) -> Callable[[int], dict[str, Tensor]]:
    """The step of `fit`. As in the corrector's training drafts are noised where SDEdit may start with them."""
    null = model.states(torch.from_numpy(data.empty).long()[None])

    def step_fn(step: int) -> dict[str, Tensor]:
        latents, ids, drafts = (value.to(model.device) for value in data.batch(step_rng(SEED, step), batch))
        timesteps, states = stratified_points(batch).to(model.device), model.states(ids)
        starts = torch.where(takes_draft(timesteps), drafts, latents)
        noisy = noised(model, starts, timesteps, torch.randn(latents.shape).to(model.device))
        target = model.target(noisy, timesteps, states, null)
        return {"loss": distance(model.student(noisy, timesteps, states), target)}

    return step_fn


def noised(model: Distillation, starts: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
    """sqrt(a) x + sqrt(1 - a) e at ``timesteps`` [B]."""
    alpha = model.alphas[timesteps][:, None, None, None]
    return alpha.sqrt() * starts + (1 - alpha).sqrt() * noise


class Watch:
    """Distance of one step from t' = 0.5 to the end of the teacher's 25 guided steps, on held-back frames."""

    def __init__(self, model: Distillation, data: CaptionedLatents, out: Path) -> None:
        self.model, self.out = model, out
        _, ids, drafts = data.evaluation(MEASURED)
        noise = torch.randn(drafts.shape, generator=torch.Generator().manual_seed(SEED))
        self.timesteps = torch.full((len(drafts),), MEASURED_FROM, device=model.device)
        self.noisy = noised(model, drafts.to(model.device), self.timesteps, noise.to(model.device))
        self.states = model.states(ids)
        null = model.states(torch.from_numpy(data.empty).long()[None])
        self.endpoints = model.endpoints(self.noisy, self.states, null, MEASURED_FROM)
        guided = model.both(self.states, null)

        def alone(latents: Tensor, timesteps: Tensor) -> Tensor:
            return guide(*guided(latents, timesteps), model.guidance_scale)

        with torch.no_grad():
            self.alone = mean_square(consistent(alone, self.noisy, self.timesteps, model.alphas), self.endpoints)

    @torch.no_grad()
    def error(self) -> float:
        """Mean square of the moving average's error, in latents of about unit variance."""
        model = self.model
        averaged = model.factors.merged(model.weights, model.dtype, model.ema.state_dict())
        found = consistent(model.network(averaged, self.states), self.noisy, self.timesteps, model.alphas)
        return mean_square(found, self.endpoints)

    def report(self, step: int) -> None:
        """One line of evaluation.jsonl."""
        entry = {"step": step, "endpoint_mse": self.error(), "teacher_one_step_mse": self.alone}
        with (self.out / "evaluation.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


@click.command()
@click.option("--bundle", default="storyworld", show_default=True, help="Name or directory of the teacher's bundle.")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Directory of latents and texts.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--rank", default=16, show_default=True, help="Rank of the LoRA.")
@click.option("--ema-decay", default=0.95, show_default=True, help="Decay of the average that is the target network.")
@click.option("--every", default=250, show_default=True, help="Steps between two checkpoints and measurements.")
@click.option("--assemble", type=click.Path(path_type=Path), help="Write the bundle that draws with the LoRA here.")
@budget_options(steps=800, decay=250, batch=32, lr=2e-3)
def main(
    bundle: str, data: Path, out: Path, rank: int, ema_decay: float, every: int, assemble: Path | None, budget: Budget
) -> None:
    """Distil the bundle's corrector into a LoRA for LCM's sampler, resuming from OUT."""
    budget.begin(SEED)
    found = find_bundle(bundle)
    corrector = found.parts["corrector"].folders["path"]
    model = Distillation(corrector, float(found.defaults["guidance_scale"]), rank, ema_decay, budget.device)
    pairs = CaptionedLatents.load(data, build_tokenizer(load_merges(corrector / "tokenizer")))
    out.mkdir(parents=True, exist_ok=True)
    modules = {"factors": model.factors}
    watch = Watch(model, pairs, out)

    def after_step(step: int) -> None:
        if (step + 1) % every == 0:
            watch.report(step + 1)

    if budget.export_only:
        done = restore(out, modules, model.ema)
    else:
        done = fit(
            make_step(model, pairs, budget.batch), modules, make_optimizers(model.factors, budget.lr, weight_decay=0.0),
            steps=budget.steps, decay=budget.decay, run_dir=out, warmup=50, every=every, ema=model.ema,
            after_step=after_step, seed=SEED, time_limit=None if budget.minutes is None else 60 * budget.minutes,
        )  # fmt: skip
    model.factors.save(out / LORA, model.ema.state_dict(), file_digest(corrector / UNET))
    figures = {
        "steps": done, "rank": rank, "guidance_scale": model.guidance_scale,
        "parameters": sum(value.numel() for value in model.factors.parameters()),
        "bytes": (out / LORA).stat().st_size,
        "endpoint_mse": watch.error(), "teacher_one_step_mse": watch.alone,
    }  # fmt: skip
    write_json(out / "report.json", figures)
    click.echo(json.dumps(figures))
    if assemble is not None:
        click.echo(assemble_few_steps(found, out / LORA, assemble))


if __name__ == "__main__":
    main()
