"""Train the storyworld's judge on true renders alone: ``python -m acdc.bench.storyworld.judge.train``.

Neither a drawn frame nor a reconstruction is ever shown to it, so it cannot learn to forgive a system's habits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
from torch import Generator, Tensor
from torch.nn import functional

from ..train.loop import fit, make_optimizers
from ..train.precision import autocast
from .augment import CHANGES, augment, luma, mix_channels
from .data import COLUMNS, Renders, load_renders
from .judge import Judge, load, save
from .text import pack

WORDS_DROPPED = 0.15
TEXT_SHARE = 0.2  # weight of the contrastive loss next to the four cross entropies
PROP_SHARE = 0.5  # props are often only a few pixels large; they must not crowd out the action


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, labels: Tensor) -> Tensor:
    """CLIP's symmetric loss where every pair with the same labels is a match (UniCL, arXiv 2204.03610)."""
    logits = images @ texts.T * scale
    same = (labels[:, None] == labels[None]).all(-1).float()  # [B, B]
    target = same / same.sum(1, keepdim=True)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def losses(judge: Judge, gray: Tensor, labels: Tensor, captions: list[str], rng: Generator) -> dict[str, Tensor]:
    """The mean cross entropy of each head, the contrastive loss and their weighted sum "loss"."""
    with autocast(gray.device.type):
        _, logits, embedded = judge(gray)
    result = {
        name: functional.cross_entropy(logits[name].float(), labels[:, i], label_smoothing=0.02)
        for i, name in enumerate(COLUMNS)
    }
    numbers, owners = pack(captions, judge.buckets)
    kept = torch.rand(len(numbers), generator=rng) >= WORDS_DROPPED
    numbers = torch.where(kept, numbers, torch.zeros_like(numbers))
    texts = judge.text(numbers.to(gray.device), owners.to(gray.device), len(captions))
    scale = judge.log_scale.clamp(max=4.0).exp()
    result["text"] = contrastive_loss(embedded.float(), texts, scale, labels)
    result["loss"] = (
        result["animal"] + result["setting"] + result["action"] + PROP_SHARE * result["prop"]
    ) + TEXT_SHARE * result["text"]
    return result


def make_step(judge: Judge, data: Renders, batch: int, device: str) -> Callable[[int], dict[str, Tensor]]:
    """One training step; its pictures and their changes depend on the step's number alone."""

    def step(number: int) -> dict[str, Tensor]:
        rng = Generator().manual_seed(1_000_003 + number)
        judge.train()
        chosen = torch.randint(len(data), (batch,), generator=rng)
        gray = augment(data.images[chosen].float() / 255, rng)
        captions = [data.captions[i] for i in chosen.tolist()]
        return losses(judge, gray.to(device), data.labels[chosen].to(device), captions, rng)

    return step


@torch.inference_mode()
def accuracy(judge: Judge, data: Renders, change: str = "none", limit: int = 3000) -> dict[str, float]:
    """Share of right labels on up to ``limit`` pictures, all of them altered by the one named ``change``."""
    rng = Generator().manual_seed(5)
    to_gray = {"mix_channels": mix_channels, "all": augment}.get(change, luma)
    right = torch.zeros(len(COLUMNS))
    count = min(limit, len(data))
    for start in range(0, count, 250):
        gray = to_gray(data.images[start : min(start + 250, count)].float() / 255, rng)
        if change in CHANGES:
            gray = CHANGES[change][0](gray, rng)
        logits = judge(gray)[1]
        labels = data.labels[start : start + len(gray)]
        right += torch.stack([(logits[c].argmax(-1) == labels[:, i]).sum() for i, c in enumerate(COLUMNS)])
    return {name: round(float(x) / count, 4) for name, x in zip(COLUMNS, right, strict=True)}


@torch.inference_mode()
def text_match(judge: Judge, data: Renders, limit: int = 600) -> dict[str, float]:
    """Share of captions whose likeliest picture of ``limit`` has the same labels, and mean cosines."""
    gray = luma(data.images[:limit].float() / 255)
    cosine = judge.embed_text(data.captions[:limit]) @ judge(gray)[2].T  # [texts, images]
    labels = data.labels[: len(gray), :3]
    found = (labels[cosine.argmax(1)] == labels).all(-1).float().mean()
    other = cosine[~(labels[:, None] == labels[None]).all(-1)].mean()
    return {
        "retrieved": round(float(found), 4),
        "own": round(float(cosine.diagonal().mean()), 4),
        "other": round(float(other), 4),
    }


def report(judge: Judge, data: Renders) -> dict[str, object]:
    """Accuracy on pictures of ``data``: clean, under each change alone and under all of them as in training."""
    under = {change: accuracy(judge, data, change) for change in ("mix_channels", *CHANGES, "all")}
    return {"clean": accuracy(judge, data, limit=len(data)), "under": under, "text": text_match(judge, data)}


@click.command(help="Train the judge on true renders alone and write its weights and a report.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Data set to train on.")
@click.option("--heldout", required=True, type=click.Path(path_type=Path), help="Data set to report on.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run directory.")
@click.option("--export", "target", type=click.Path(path_type=Path), help="Weights go here (OUT/weights).")
@click.option("--steps", default=2400, show_default=True)
@click.option("--decay", default=800, show_default=True)
@click.option("--batch", default=128, show_default=True)
@click.option("--lr", default=2e-3, show_default=True)
@click.option("--stories", default=8000, show_default=True, help="Stories read at most (12 KB a frame).")
@click.option("--minutes", type=float, help="Start the decay in time to end within this time.")
@click.option("--threads", default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True)
def main(
    data: Path,
    heldout: Path,
    out: Path,
    target: Path | None,
    steps: int,
    decay: int,
    batch: int,
    lr: float,
    stories: int,
    minutes: float | None,
    threads: int,
    device: str,
) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    judge = Judge().to(device)
    try:
        train, test = load_renders(data, judge.size, stories), load_renders(heldout, judge.size, stories)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    began = time.perf_counter()
    done = fit(
        make_step(judge, train, batch, device),
        {"judge": judge},
        make_optimizers(judge, lr, weight_decay=0.02),
        steps=steps,
        decay=decay,
        run_dir=out,
        every=100,
        time_limit=None if minutes is None else 60 * minutes,
    )
    folder = target or out / "weights"
    save(judge, folder)
    result: dict[str, object] = {
        "steps": done,
        "batch": batch,
        "pictures": len(train),
        "seconds": round(time.perf_counter() - began, 1),
        "parameters": sum(p.numel() for p in judge.parameters()),
        "bytes": (folder / "judge.safetensors").stat().st_size,
        "heldout_pictures": len(test),
        **report(load(folder), test),
    }
    (out / "report.json").write_text(json.dumps(result, indent=1) + "\n")
    click.echo(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
