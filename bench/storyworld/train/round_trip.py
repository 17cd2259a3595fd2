"""True renders after the coders: ``python -m acdc.bench.storyworld.train.round_trip --data DIR --out NAME``.

Writes NAME.json (PSNR, share of right labels and of kept individuals after each coder's round trip) and NAME.png, a
contact sheet to look at: each picture true, after the tokenizer and after the autoencoder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ....engine.models.tokenizers.vqgan import VQGAN
from ..judge.data import COLUMNS
from ..judge.identity import IdentityJudge, load_identity
from ..judge.judge import Judge
from ..judge.judge import load as load_judge
from .corrector import load_vae
from .pictures import psnr, to_pixels

BATCH = 32
Trip = Callable[[Tensor], Tensor]


def tokenizer_trip(folder: Path) -> Trip:
    """Pixels [B, 3, H, W] to codes and back."""
    model = VQGAN.from_directory(folder)
    return lambda pixels: model.decode(model.encode(pixels))


def vae_trip(folder: Path) -> Trip:
    """Pixels [B, 3, H, W] to the latents' means and back."""
    vae = load_vae(folder, "cpu")
    return lambda pixels: vae.decode(vae.encode(pixels).latent_dist.mean).sample


@torch.inference_mode()
def travel(trip: Trip, frames: np.ndarray) -> tuple[np.ndarray, float]:
    """uint8 [N, H, W, 3] after ``trip``, rounded to uint8 again, and the PSNR before that rounding."""
    pixels = to_pixels(frames)
    back = torch.cat([trip(part) for part in pixels.split(BATCH)]).clamp(-1, 1)
    rounded = ((back + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return rounded, psnr(back, pixels)


def right(judge: Judge, frames: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Share of right verdicts by label; ``labels`` [N, 4 or more] as in labels.npy."""
    chances = judge.predict(frames)
    return {
        name: round(float((chances[name].argmax(-1).numpy() == labels[:, i]).mean()), 4)
        for i, name in enumerate(COLUMNS)
    }


def individual_distance(judge: IdentityJudge, frames: np.ndarray, true: np.ndarray) -> float:
    """Mean distance of the individuals seen in ``frames`` from those seen in the true pictures."""
    return round(float(judge.distance(judge.traits(frames), judge.traits(true)).mean()), 4)


def sheet(columns: list[np.ndarray], count: int) -> Image.Image:
    """``count`` pictures spread over the arrays, each twice as large with its round trips below it."""
    picked = np.linspace(0, len(columns[0]) - 1, count).round().astype(int)
    page = np.concatenate([np.concatenate(list(column[picked]), axis=1) for column in columns])
    return Image.fromarray(page).resize((page.shape[1] * 2, page.shape[0] * 2), Image.Resampling.NEAREST)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="A held-out data set.")
@click.option("--stories", default=50, show_default=True)
@click.option("--tokenizer", type=click.Path(path_type=Path))
@click.option("--vae", type=click.Path(path_type=Path))
@click.option("--judge", "judge_path", type=click.Path(path_type=Path), help="Judge of labels; the packaged one.")
@click.option("--identity", type=click.Path(path_type=Path), help="Judge of individuals, if any.")
@click.option("--shown", default=10, show_default=True, help="Pictures on the sheet.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Path of both files without an ending.")
def main(
    data: Path, stories: int, tokenizer: Path | None, vae: Path | None, judge_path: Path | None, identity: Path | None,
    shown: int, out: Path,
) -> None:  # fmt: skip
    """Measure round trips and show them."""
    if not (data / "frames.npy").is_file():
        raise click.UsageError(f"{data / 'frames.npy'}: no such file; write it with train.dataset")
    frames = np.array(np.load(data / "frames.npy", mmap_mode="r")[:stories])
    frames = frames.reshape(-1, *frames.shape[2:])
    labels = np.load(data / "labels.npy")[:stories].reshape(len(frames), -1)
    judge = load_judge(judge_path)
    people = None if identity is None else load_identity(identity)
    result: dict[str, Any] = {"pictures": len(frames), "truth": right(judge, frames, labels)}
    columns = [frames]
    for name, folder, make in (("tokenizer", tokenizer, tokenizer_trip), ("vae", vae, vae_trip)):
        if folder is not None:
            back, decibels = travel(make(folder), frames)
            result[name] = {"psnr": round(decibels, 3), **right(judge, back, labels)}
            if people is not None:
                result[name]["individual_distance"] = individual_distance(people, back, frames)
            columns.append(back)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sheet(columns, min(shown, len(frames))).save(out.with_suffix(".png"), optimize=True)
    click.echo(json.dumps(result))


if __name__ == "__main__":
    main()
