"""Train the bundle's diffusion model: ``python -m acdc.bench.storyworld.train.corrector --data DIR --out DIR``.

Reads latents.npy (and latents_flip.npy) and texts.json of the data directory; writes checkpoints, log.jsonl, sample
sheets and, at the end or with --export-only, the Stable Diffusion directory `OUT/corrector` of the EMA weights.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from ....engine.utils.malloc import keep_freed_memory
from .budget import numbers
from .caption_tokenizer import Pair, build_tokenizer, learn_merges, load_merges, save_tokenizer
from .corrector_data import CaptionedLatents, read_texts
from .corrector_export import export
from .corrector_model import Corrector, CorrectorSize, load_weights
from .diffusion_schedule import alphas_cumprod, min_snr_weights, noised, stratified_timesteps
from .loop import Ema, fit, step_rng
from .matrix_muon import corrector_optimizers

SEED = 4
MERGES = 1486  # with 512 byte tokens, start and end: a vocabulary of 2,000
EVALUATION = 256  # held-back frames
DRAFT_TIMESTEPS = (200, 700)  # where a draft takes the frame's place: about what SDEdit's strengths start from


def takes_draft(timesteps: Tensor) -> Tensor:
    """May a draft be at the timestep: bool [B, 1, 1, 1]."""
    first, end = DRAFT_TIMESTEPS
    return ((timesteps >= first) & (timesteps < end))[:, None, None, None]


def make_step(
    model: Corrector, data: CaptionedLatents, batch: int, gamma: float, device: str
) -> Callable[[int], dict[str, Tensor]]:
    """The step of `fit`: the v-prediction loss of a random batch, of which some frames are drafts to be corrected."""
    alphas = alphas_cumprod().to(device)

    def step_fn(step: int) -> dict[str, Tensor]:
        latents, ids, drafts = (value.to(device) for value in data.batch(step_rng(SEED, step), batch))
        timesteps = stratified_timesteps(batch, device)
        starts = torch.where(takes_draft(timesteps), drafts, latents)
        noisy, target = noised(latents, torch.randn_like(latents), timesteps, alphas, starts)
        error = (model.low_precision(noisy, timesteps, ids) - target).square().mean((1, 2, 3))
        loss = (error * min_snr_weights(timesteps, alphas, gamma)).mean()
        return {"loss": loss, "v_mse": error.mean()}

    return step_fn


class Watch:
    """Logs the held-out v-MSE of the EMA weights and writes sample sheets, between the steps."""

    def __init__(
        self, model: Corrector, ema: Ema, data: CaptionedLatents, vae: Path | None, out: Path, device: str
    ) -> None:
        self.model, self.ema, self.out, self.device = model, ema, out, device
        self.alphas = alphas_cumprod().to(device)
        latents, ids, drafts = data.evaluation(EVALUATION)
        self.latents, self.ids, self.drafts = latents.to(device), ids.to(device), drafts.to(device)
        self.empty = torch.from_numpy(data.empty).long().to(device)
        self.noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(SEED)).to(device)
        count = len(latents)
        self.timesteps = ((torch.arange(count) + 0.5) * 1000 / count).long().to(device)
        self.vae = None if vae is None else load_vae(vae, device)

    @torch.inference_mode()
    def errors(self, weights: dict[str, Tensor], starts: Tensor) -> Tensor:
        """v-MSE [B] of each held-back frame, with fixed noise and timesteps."""
        noisy, target = noised(self.latents, self.noise, self.timesteps, self.alphas, starts)
        parts = [
            self.model.low_precision(*part, weights)
            for part in zip(noisy.split(64), self.timesteps.split(64), self.ids.split(64), strict=True)
        ]
        return (torch.cat(parts) - target).square().mean((1, 2, 3))

    def held_out(self, weights: dict[str, Tensor]) -> dict[str, float]:
        """v-MSE over the full range, in the four quarters of it, and of drafts in the timesteps that take them."""
        error = self.errors(weights, self.latents)
        quarters = {f"held_out_q{i}": round(float(error[self.timesteps // 250 == i].mean()), 4) for i in range(4)}
        drafted = takes_draft(self.timesteps).flatten()
        of_drafts = float(self.errors(weights, self.drafts)[drafted].mean())
        of_frames = float(error[drafted].mean())
        return {
            "held_out": round(float(error.mean()), 5),
            **quarters,
            "held_out_drafts": round(of_drafts, 4),
            "held_out_frames": round(of_frames, 4),
        }

    def report(self, step: int, sheet: bool) -> None:
        """One line of evaluation.jsonl; with `sheet` also a PNG."""
        began = time.perf_counter()
        names = {name for name, _ in self.model.named_parameters()}
        weights = {name: value for name, value in self.ema.state_dict().items() if name in names}
        entry = {"step": step, **self.held_out(weights)}
        if sheet and self.vae is not None:
            from .corrector_samples import sample_sheet

            path = self.out / f"samples-{step:06d}.png"
            sample_sheet(self.model, weights, self.vae, self.latents[:12], self.ids[:12], self.empty, path)
        entry["took"] = round(time.perf_counter() - began, 1)
        with (self.out / "evaluation.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def load_vae(folder: Path, device: str) -> Any:
    """The AutoencoderKL of a diffusers directory, in evaluation mode."""
    from diffusers import AutoencoderKL

    vae: Any = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32).to(device).eval()
    return vae


def export_checkpoint(out: Path, vae: Path) -> Path:
    """The newest checkpoint's EMA weights as `out/corrector`; a running training is not disturbed."""
    path = out / "checkpoint.pt"
    if not path.is_file():
        raise ValueError(f"{path}: no checkpoint yet")
    settings: dict[str, Any] = json.loads((out / "size.json").read_text(encoding="utf-8"))
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    size = CorrectorSize(**fields)
    weights = torch.load(path, map_location="cpu", weights_only=True)["ema"]
    export(size, weights, load_merges(out / "tokenizer"), vae, out / "corrector")
    return out / "corrector"


def caption_merges(data: Path) -> list[Pair]:
    """The BPE merges of all captions of a data directory."""
    texts = read_texts(data)
    stories = (*texts["sentences"], *texts["refined"])
    return learn_merges((text for story in stories for text in story), MERGES)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Directory with latents.npy and texts.json.")
@click.option("--vae", type=click.Path(path_type=Path), help="diffusers AutoencoderKL: for sheets and the export.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--init", type=click.Path(path_type=Path, exists=True), help="Continue from an exported corrector.")
@click.option("--steps", default=12000)
@click.option("--decay", default=1000)
@click.option("--batch", default=64)
@click.option("--lr", default=5e-3)
@click.option("--muon/--adamw", default=True)
@click.option("--min-snr", default=0.0, help="gamma of arXiv 2303.09556; 0 weighs all timesteps alike.")
@click.option("--channels", default="64,128", callback=numbers)
@click.option("--text-hidden", default=128)
@click.option("--seconds", type=float, help="Begin the decay in time to end within this number of seconds.")
@click.option("--evaluate-every", default=500)
@click.option("--sheet-every", default=2000, help="Steps between two sheets of samples, 0 for none.")
@click.option("--threads", default=1)
@click.option("--device", default="cpu")
@click.option("--export-only", is_flag=True, help="Only write OUT/corrector from the newest checkpoint.")
def main(
    data: Path | None,
    vae: Path | None,
    out: Path,
    init: Path | None,
    steps: int,
    decay: int,
    batch: int,
    lr: float,
    muon: bool,
    min_snr: float,
    channels: tuple[int, ...],
    text_hidden: int,
    seconds: float | None,
    evaluate_every: int,
    sheet_every: int,
    threads: int,
    device: str,
    export_only: bool,
) -> None:
    """Train, resuming from OUT, and export."""
    torch.set_num_threads(threads)
    if export_only:
        if vae is None:
            raise click.UsageError("--export-only needs --vae")
        click.echo(export_checkpoint(out, vae))
        return
    if data is None:
        raise click.UsageError("training needs --data")
    keep_freed_memory()
    torch.manual_seed(SEED)
    attends = tuple(index > 0 for index in range(len(channels)))
    size = CorrectorSize(
        channels=channels,
        attention_levels=attends,
        text_hidden=text_hidden,
        norm_num_groups=32 if all(width % 32 == 0 for width in channels) else 16,
    )
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "tokenizer" / "merges.txt").is_file():
        merges = caption_merges(data) if init is None else load_merges(init / "tokenizer")
        save_tokenizer(merges, out / "tokenizer")
        (out / "size.json").write_text(json.dumps(asdict(size)) + "\n", encoding="utf-8")
    tokenizer = build_tokenizer(load_merges(out / "tokenizer"))
    pairs = CaptionedLatents.load(data, tokenizer)
    model = Corrector(size, tokenizer.get_vocab_size()).to(device)
    if init is not None:
        load_weights(model, init)
    parameters = sum(value.numel() for value in model.parameters())
    click.echo(
        f"{parameters / 1e6:.2f} M parameters, vocabulary {tokenizer.get_vocab_size()}, {len(pairs.latents)} stories"
    )
    ema = Ema(model, 0.999)
    watch = Watch(model, ema, pairs, vae, out, device)

    def after_step(step: int) -> None:
        if (step + 1) % evaluate_every == 0:
            watch.report(step + 1, sheet_every > 0 and (step + 1) % sheet_every == 0)

    done = fit(
        make_step(model, pairs, batch, min_snr, device),
        {"corrector": model},
        corrector_optimizers(model, lr, muon),
        steps=steps,
        decay=decay,
        run_dir=out,
        ema=ema,
        after_step=after_step,
        seed=SEED,
        time_limit=seconds,
    )
    watch.report(done, sheet_every > 0)
    if vae is not None:
        click.echo(export_checkpoint(out, vae))


if __name__ == "__main__":
    main()
