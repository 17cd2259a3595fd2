"""Train the judge of individuals on true renders alone: ``python -m acdc.bench.storyworld.judge.train_identity``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional

from ..train.budget import Budget, budget_options
from ..train.loop import make_optimizers
from ..train.precision import autocast
from .augment import blocks, blur, noise
from .identity import BUILD, COLOUR, IdentityJudge, Traits, load_identity, save_identity

BUILD_SHARE = 0.5  # the build is seen worst; it must not crowd out the rest
CHANGES = ((blur, 0.4), (noise, 0.4), (blocks, 0.2))  # what coders do; none of them touches size or colour
SEED = 11
NUMBERS = COLOUR + BUILD


class Individuals:
    """Frames uint8 [N, H, W, 3] of a data set with the traits [N, 9] of the animal that each shows."""

    def __init__(self, folder: Path) -> None:
        for name in ("frames.npy", "individuals.npy"):
            if not (folder / name).is_file():
                raise ValueError(f"{folder / name}: no such file; write it with train.dataset --edition 2")
        stories = np.load(folder / "frames.npy", mmap_mode="r")
        self.frames = stories.reshape(-1, *stories.shape[2:])
        self.traits = torch.from_numpy(np.load(folder / "individuals.npy").repeat(stories.shape[1], axis=0))

    def batch(self, rng: Generator, size: int) -> tuple[Tensor, Tensor]:
        """Random pictures 0..1 [size, 3, H, W], half of them mirrored, each changed as a coder would; their traits."""
        chosen = torch.randint(len(self.frames), (size,), generator=rng).sort().values
        pixels = torch.from_numpy(np.array(self.frames[chosen.numpy()])).permute(0, 3, 1, 2).float() / 255
        mirrored = torch.rand(size, generator=rng)[:, None, None, None] < 0.5
        pixels = torch.where(mirrored, pixels.flip(3), pixels).contiguous()
        for change, share in CHANGES:
            picked = torch.rand(size, generator=rng) < share
            if picked.any():
                part = pixels[picked]
                pixels[picked] = change(part.flatten(0, 1).unsqueeze(1), rng).view_as(part)
        return pixels, self.traits[chosen]


def make_step(judge: IdentityJudge, data: Individuals, budget: Budget) -> Callable[[int], dict[str, Tensor]]:
    """The step of `fit`: squared errors of the numbers, cross entropies of the markings."""

    def step(number: int) -> dict[str, Tensor]:
        judge.train()
        pixels, traits = data.batch(Generator().manual_seed(1_000_003 * SEED + number), budget.batch)
        pixels, traits = pixels.to(budget.device), traits.to(budget.device)
        with autocast(budget.device):
            numbers, trunk, face = judge(pixels)
        target = (traits[:, :NUMBERS] - judge.centre) / judge.spread
        error = (numbers.float() - target).square().mean(0)
        coat, build = error[:COLOUR].mean(), error[COLOUR:].mean()
        trunk_loss = functional.cross_entropy(trunk.float(), traits[:, NUMBERS].long(), label_smoothing=0.02)
        face_loss = functional.cross_entropy(face.float(), traits[:, NUMBERS + 1].long(), label_smoothing=0.02)
        loss = coat + BUILD_SHARE * build + trunk_loss + face_loss
        return {"loss": loss, "coat": coat, "build": build, "trunk": trunk_loss, "face": face_loss}

    return step


def report(judge: IdentityJudge, data: Individuals, length: int) -> dict[str, object]:
    """On true renders of stories of ``length`` frames: what of each trait is explained, and how well individuals part.

    ``same`` and ``other``: mean distances of a story's later frames to its first one and to another story's. ``kept``
    is the distance within which 95 % of the former lie, ``other_kept`` the share of the latter within it.
    """
    found = judge.traits(np.array(data.frames))
    truth = data.traits
    numbers = torch.cat([found.coat, found.build], -1)
    error = (numbers - truth[:, :NUMBERS]).square().mean(0) / truth[:, :NUMBERS].var(0)
    explained = (1 - error).tolist()
    first, later = pairs(found, length)
    same = judge.distance(first, later)
    other = judge.distance(first, later[torch.arange(len(same)).roll(7 * (length - 1))])
    kept = float(same.quantile(0.95))
    return {
        "coat_explained": [round(v, 4) for v in explained[:COLOUR]],
        "build_explained": [round(v, 4) for v in explained[COLOUR:]],
        "trunk": round(float((found.trunk.argmax(-1) == truth[:, NUMBERS]).float().mean()), 4),
        "face": round(float((found.face.argmax(-1) == truth[:, NUMBERS + 1]).float().mean()), 4),
        "same": round(float(same.mean()), 4),
        "other": round(float(other.mean()), 4),
        "kept": round(kept, 4),
        "other_kept": round(float((other <= kept).float().mean()), 4),
    }


def pairs(found: Traits, length: int) -> tuple[Traits, Traits]:
    """The traits of each story's first frame, repeated, and those of its later frames."""
    index = torch.arange(len(found.coat)).view(-1, length)
    return found[index[:, :1].expand(-1, length - 1).flatten()], found[index[:, 1:].flatten()]


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Data set to train on.")
@click.option("--heldout", required=True, type=click.Path(path_type=Path), help="Data set to report on.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run directory; OUT/weights is exported.")
@budget_options(steps=2400, decay=800, batch=96, lr=2e-3)
def main(data: Path, heldout: Path, out: Path, budget: Budget) -> None:
    """Train, export and measure the judge of individuals."""
    budget.begin(SEED)
    train, test = Individuals(data), Individuals(heldout)
    judge = IdentityJudge(train.frames.shape[1]).to(budget.device)
    numbers = train.traits[:, :NUMBERS]
    judge.centre.copy_(numbers.mean(0))
    judge.spread.copy_(numbers.std(0))
    step = make_step(judge, train, budget)
    done = budget.fit(step, {"judge": judge}, make_optimizers(judge, budget.lr, weight_decay=0.02), out, SEED)
    save_identity(judge, out / "weights")
    length = len(test.frames) // len(np.load(heldout / "individuals.npy", mmap_mode="r"))
    result: dict[str, object] = {"steps": done, "batch": budget.batch}
    result["parameters"] = sum(p.numel() for p in judge.parameters())
    result |= report(load_identity(out / "weights"), test, length)
    (out / "report.json").write_text(json.dumps(result, indent=1) + "\n")
    click.echo(json.dumps(result))


if __name__ == "__main__":
    main()
