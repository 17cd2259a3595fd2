"""Teach the ARM moving clips: ``python -m acdc.bench.storyworld train_video --init DIR --stories DIR --clips DIR ...``.

A share of what is learned in a step are codes of stories, exactly as `arm` draws them, so that stories stay near what
they were; the rest are frames of clips after the frames that they follow (`video_rows`). INIT is an exported arm/
directory, STORIES and CLIPS are data directories (`dataset` with `encode`, `video_data`). OUT/arm is exported.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import click
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from ....engine.models.causal.stream import StreamConfig
from ....engine.models.lwm.model import LWM, LWMConfig
from ....engine.utils.weights import load_into, read_json
from .arm import MICRO_TOKENS, export, hidden_states, losses, predicted
from .arm_data import CODE_LOSS, Batch, Layout, Row, Stories, read_stories, sample, window
from .loop import fit, make_optimizers, step_rng
from .video_rows import ROW_FRAMES, ClipBatch, batches, disturbed, frame_row, sample_clips

WINDOWS = 0.75  # share of the stories' learned frames that are in windows
LEARNED = 2.5  # frames of a clip's row, on average
HELDOUT = 64  # stories and clips that are measured
LATER = (1, 2, 4, 8, 16, 31)  # frames of a held-out clip that are measured


def load(folder: Path) -> tuple[LWM, Layout, Tokenizer]:
    """The model of an exported arm/ directory in float32, trainable, with its layout and its tokenizer."""
    config = read_json(folder / "config.json")
    model = LWM(LWMConfig.from_dict(config["transformer"]))
    load_into(model, folder / "model.safetensors", torch.float32)
    stream = StreamConfig(**config["stream"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return model.requires_grad_(True), Layout(stream.codes_per_frame, stream.codebook_size), tokenizer


@torch.no_grad()
def own_logits(model: LWM, clips: ClipBatch, layout: Layout, device: str) -> Tensor:
    """Logits [R, F, n, codebook_size] of a clip's codes, each given the true ones before it; on the CPU."""
    batch = clips.batch
    hidden = hidden_states(model, batch.ids.to(device), batch.is_vision.to(device))
    rows = torch.arange(len(batch.ids), device=device)[:, None]
    before = hidden[rows, clips.codes.flatten(1).to(device) - 1]
    logits = F.linear(before, model.vision_head.weight.to(hidden.dtype)).float().cpu()
    return logits[..., : layout.codebook_size].unflatten(1, clips.codes.shape[1:])


def clip_losses(model: LWM, clips: ClipBatch, shown: Batch, device: str) -> Tensor:
    """Cross-entropy of every learned code of a clip, in nats, where the model reads the codes of ``shown``."""
    hidden = hidden_states(model, shown.ids.to(device), shown.is_vision.to(device))
    wanted = Batch(clips.batch.ids.to(device), shown.is_vision.to(device), shown.loss.to(device))
    return predicted(hidden, wanted, CODE_LOSS, model.vision_head)


def train_step(
    model: LWM, stories: Stories, clips: Stories, layout: Layout, frames: int, share: float, device: str, seed: int
) -> Callable[[int], Mapping[str, Tensor]]:
    """The step of `fit`: ``loss`` = ``share`` of stories' + (1 - ``share``) of clips', of ``frames`` learned frames."""

    def step_fn(step: int) -> Mapping[str, Tensor]:
        rng, generator = step_rng(seed, step), torch.Generator().manual_seed(seed * 1_000_003 + step)
        still = losses(model, sample(stories, layout, rng, max(4, round(frames * share)), WINDOWS), device)
        rows = sample_clips(clips, layout, rng, max(1, round(frames * (1 - share) / LEARNED)))
        parts = []
        for part in batches(rows, MICRO_TOKENS, ROW_FRAMES, layout.codes_per_frame):
            shown = disturbed(part, own_logits(model, part, layout, device), generator)
            parts.append(clip_losses(model, part, shown, device))
        clip = torch.cat(parts).mean()
        loss = share * still["loss"] + (1 - share) * clip
        return {"loss": loss, "story": still["code"], "text": still["text"], "clip": clip}

    return step_fn


@torch.no_grad()
def evaluate(
    model: LWM, stories: Stories, clips: Stories, layout: Layout, device: str, count: int
) -> dict[str, float | dict[str, float]]:
    """Nats a code over the first ``count`` stories and clips: ``story`` in the window, ``clip`` by frame.

    ``clip`` maps a frame's number to its loss after true frames; ``clip_kept`` is how many of its codes a frame
    shares with the one before it, which is what a frozen clip would get right.
    """

    def mean(rows: list[Row]) -> float:
        return round(float(losses(model, rows, device)["code"]), 4)

    length, frames = stories.codes[0].shape[1], clips.codes[0].shape[1]
    numbers = range(stories.first, min(stories.end, stories.first + count))
    shot = range(clips.first, min(clips.end, clips.first + count))
    rows = [window(stories.texts[0][i], stories.codes[0][i], layout, 1 + i % (length - 1)) for i in numbers]
    later = {0, *(frame for frame in LATER if frame < frames)}
    by_frame = {
        str(k): mean([frame_row(clips.texts[0][i][0], clips.codes[0][i], layout, k) for i in shot])
        for k in sorted(later)
    }
    codes = clips.codes[0][shot.start : shot.stop]
    kept = float((codes[:, 1:] == codes[:, :-1]).mean())
    return {"story": mean(rows), "clip": by_frame, "clip_kept": round(kept, 4)}


@click.command()
@click.option("--init", type=click.Path(path_type=Path, exists=True), required=True, help="An exported arm/ directory.")
@click.option("--stories", type=click.Path(path_type=Path), required=True)
@click.option("--clips", type=click.Path(path_type=Path), required=True)
@click.option("--heldout", type=click.Path(path_type=Path), required=True, help="Clips of the held-out split.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run directory; OUT/arm is exported.")
@click.option("--steps", default=3000, show_default=True)
@click.option("--decay", default=800, show_default=True)
@click.option("--frames", default=48, show_default=True, help="Learned frames a step.")
@click.option("--share", default=0.5, show_default=True, help="Share of stories among what is learned.")
@click.option("--lr", default=1e-3, show_default=True)
@click.option("--muon-lr", default=0.004, show_default=True)
@click.option("--every", default=100, show_default=True, help="Steps between two checkpoints, and two evaluations.")
@click.option("--threads", default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--minutes", type=float, help="Start the decay so that training ends within this time.")
@click.option("--seed", default=0, show_default=True)
def main(
    init: Path, stories: Path, clips: Path, heldout: Path, out: Path, steps: int, decay: int, frames: int, share: float,
    lr: float, muon_lr: float, every: int, threads: int, device: str, minutes: float | None, seed: int,
) -> None:  # fmt: skip
    """Fine-tune the shipped ARM, with the losses of stories and clips kept apart in OUT/evaluation.jsonl."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    model, layout, tokenizer = load(init)
    model.to(device)
    read, moving, apart = (read_stories(folder, tokenizer, n) for folder, n in ((stories, 2), (clips, 2), (heldout, 1)))
    _check_frames(clips, moving)
    train, kept = held_back(stories, read)
    out.mkdir(parents=True, exist_ok=True)

    def report(step: int) -> None:
        if step % every == 0 or step == steps:
            found = {"step": step, **evaluate(model, kept, apart, layout, device, HELDOUT)}
            with (out / "evaluation.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")

    if not (out / "checkpoint.pt").is_file():
        report(0)
    done = fit(
        train_step(model, train, moving, layout, frames, share, device, seed), {"arm": model},
        make_optimizers(model, lr=lr, muon_lr=muon_lr), steps=steps, decay=decay, run_dir=out, warmup=50, every=every,
        after_step=lambda step: report(step + 1), seed=seed, time_limit=None if minutes is None else minutes * 60,
    )  # fmt: skip
    export(model, tokenizer, layout, out / "arm")
    shutil.copy(init / "config.json", out / "arm" / "config.json")  # with what was measured of the drawing
    click.echo(f"{done} steps, {out / 'arm'}")


def held_back(folder: Path, read: Stories) -> tuple[Stories, Stories]:
    """The stories of ``folder`` to learn from, and a tenth of them, at most `HELDOUT`, to measure."""
    validation = min(HELDOUT, len(read) // 10)
    if not validation:
        raise ValueError(f"{folder}: {len(read)} stories; training takes 10 or more, a tenth of which is measured")
    end = read.end - validation
    return replace(read, end=end), replace(read, first=end)


def _check_frames(folder: Path, clips: Stories) -> None:
    frames = clips.codes[0].shape[1]
    if frames < ROW_FRAMES:
        raise ValueError(f"{folder}: clips of {frames} frames; training takes {ROW_FRAMES} or more")


if __name__ == "__main__":
    main()
