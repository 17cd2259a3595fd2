"""Train the storyworld ARM: ``python -m acdc.bench.storyworld.train.arm --data DIR --out DIR --steps N --decay D``.

DIR holds codes.npy, texts.json and perhaps codes_flip.npy. One set of weights learns both contexts: whole stories and
two-segment windows, whose share rises (--windows) while the learning rate decays. OUT/arm is the exported model.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import click
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from ....engine.models.causal.stream import StreamConfig
from ....engine.models.lwm.model import LWM, LWMConfig
from ....engine.utils.malloc import keep_freed_memory
from ....engine.utils.weights import load_into
from .arm_data import (
    CODE_LOSS,
    TEXT_LOSS,
    Batch,
    Layout,
    Row,
    Stories,
    buckets,
    read_stories,
    sample,
    whole,
    window,
)
from .arm_pass import fast_hidden
from .arm_text import BOS, VISION, train_tokenizer
from .loop import fit, make_optimizers, step_rng
from .precision import autocast, compute_dtype

TEXT_WEIGHT = 0.05
MICRO_TOKENS = 4096  # larger ones leave the cache, smaller ones the matrix units idle
MAX_TEXT_TOKENS = 96
MAX_POSITION = 2048


def hidden_states(model: LWM, ids: Tensor, is_vision: Tensor) -> Tensor:
    """[R, T, D] in the compute dtype, by the pass that suits the device."""
    dtype = compute_dtype(ids.device.type)
    if ids.device.type == "cpu":
        return fast_hidden(model, ids, is_vision, dtype)
    with autocast(ids.device.type):
        return model(ids, is_vision).to(dtype)


def code_logits(model: LWM, hidden: Tensor, layout: Layout) -> Tensor:
    """Logits of the codes from `hidden_states` [..., D]: float32 [..., codebook_size], on the CPU.

    The product is float32 whatever the pass computed in: a draw sees differences that bfloat16 would round away.
    """
    return F.linear(hidden.float(), model.vision_head.weight.float())[..., : layout.codebook_size].cpu()


def predicted(hidden: Tensor, batch: Batch, kind: int, head: torch.nn.Linear) -> Tensor:
    """Cross-entropy of every id of loss kind ``kind``: [count], nats."""
    chosen = batch.loss[:, 1:] == kind
    logits = F.linear(hidden[:, :-1][chosen], head.weight.to(hidden.dtype)).float()
    return F.cross_entropy(logits, batch.ids[:, 1:][chosen], reduction="none")


def batch_losses(model: LWM, batch: Batch, device: str) -> tuple[Tensor, Tensor]:
    """Cross-entropies of the learned codes and of the text: two vectors."""
    batch = Batch(batch.ids.to(device), batch.is_vision.to(device), batch.loss.to(device))
    hidden = hidden_states(model, batch.ids, batch.is_vision)
    codes = predicted(hidden, batch, CODE_LOSS, model.vision_head)
    return codes, predicted(hidden, batch, TEXT_LOSS, model.lm_head)


def losses(model: LWM, rows: list[Row], device: str) -> dict[str, Tensor]:
    """Mean losses over all rows: ``loss`` = ``code`` + 0.05 ``text``."""
    parts = [batch_losses(model, batch, device) for batch in buckets(rows, MICRO_TOKENS)]
    code = torch.cat([part[0] for part in parts]).mean()
    text = torch.cat([part[1] for part in parts])
    text = text.mean() if len(text) else code.new_zeros(())
    return {"loss": code + TEXT_WEIGHT * text, "code": code, "text": text}


@torch.no_grad()
def evaluate(model: LWM, stories: Stories, layout: Layout, device: str, count: int) -> dict[str, list[float]]:
    """Cross-entropy per code of each frame in both contexts, over the first ``count`` stories."""
    chosen = range(stories.first, min(stories.end, stories.first + count))
    pairs = [(stories.texts[0][i], stories.codes[0][i]) for i in chosen]
    length = stories.codes[0].shape[1]

    def mean(rows: list[Row]) -> float:
        return round(float(losses(model, rows, device)["code"]), 4)

    def only(row: Row, frame: int) -> Row:
        place = (row.loss == CODE_LOSS).cumsum() - 1
        kept = (row.loss == CODE_LOSS) & (place // layout.codes_per_frame == frame)
        return replace(row, loss=kept * CODE_LOSS)

    return {
        "full": [mean([only(whole(*one, layout), k) for one in pairs]) for k in range(length)],
        "window": [mean([window(*one, layout, k) for one in pairs]) for k in range(length)],
    }


def export(model: LWM, tokenizer: Tokenizer, layout: Layout, folder: Path) -> None:
    """Write the directory that ``Arm.from_directory`` reads, weights in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    stream = StreamConfig(
        layout.codes_per_frame, layout.codebook_size, layout.eof, (BOS,), (VISION,), MAX_TEXT_TOKENS, "window"
    )
    config = {"format": 1, "family": "lwm", "transformer": asdict(model.config), "stream": asdict(stream)}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokenizer.save(str(folder / "tokenizer.json"))
    state = {name: value.detach().half().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors")


def make_model(layers: int, hidden: int, heads: int, text_vocab: int, layout: Layout) -> LWM:
    """Small random weights: embeddings 0.02, matrices by fan-in, the outputs of each layer scaled down by depth."""
    ffn = -(-hidden * 8 // 3 // 32) * 32
    config = LWMConfig(
        layers, hidden, ffn, heads, text_vocab, layout.vision_vocab, rope_theta=1e4, max_position=MAX_POSITION
    )
    model = LWM(config)
    for name, value in model.named_parameters():
        if value.dim() == 2:
            std = 0.02 if "te." in name else value.shape[1] ** -0.5
            torch.nn.init.normal_(value, std=std * (0.5 / layers**0.5 if "wo" in name or "w2" in name else 1.0))
    return model


def learn_tokenizer(data: Path) -> Tokenizer:
    """The byte-level BPE of all sentences of a data directory."""
    sentences = json.loads((data / "texts.json").read_text(encoding="utf-8"))["sentences"]
    return train_tokenizer(line for story in sentences for line in story)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run directory; OUT/arm is exported.")
@click.option("--init", type=click.Path(path_type=Path, exists=True), help="Continue from an exported arm/ directory.")
@click.option("--heldout", type=click.Path(path_type=Path), help="Another data directory to evaluate on.")
@click.option("--codebook-size", default=1024)
@click.option("--steps", default=3000)
@click.option("--decay", default=900)
@click.option("--frames", default=48, help="Learned frames a step.")
@click.option("--layers", default=6)
@click.option("--hidden", default=192)
@click.option("--heads", default=3)
@click.option("--lr", default=2e-3)
@click.option("--muon-lr", default=0.007)
@click.option(
    "--windows",
    default=(0.3, 0.7),
    type=(float, float),
    show_default=True,
    help="Share of the learned frames that lie in windows, before the decay and at its end.",
)
@click.option("--every", default=200, show_default=True, help="Steps from one checkpoint to the next.")
@click.option("--threads", default=1)
@click.option("--device", default="cpu")
@click.option("--minutes", type=float, help="Start the decay so that training ends within this time.")
@click.option("--seed", default=0)
def main(
    data: Path, out: Path, init: Path | None, heldout: Path | None, codebook_size: int, steps: int, decay: int,
    frames: int, layers: int, hidden: int, heads: int, lr: float, muon_lr: float, windows: tuple[float, float],
    every: int, threads: int, device: str, minutes: float | None, seed: int,
) -> None:  # fmt: skip
    """Train, evaluate on stories kept apart, export."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    if not (data / "texts.json").is_file():
        raise ValueError(f"{data / 'texts.json'}: no such file; write it with dataset")
    tokenizer = learn_tokenizer(data) if init is None else Tokenizer.from_file(str(init / "tokenizer.json"))
    stories = read_stories(data, tokenizer, spellings=2)
    apart = min(128, len(stories) // 10)
    train, validation = replace(stories, end=stories.end - apart), replace(stories, first=stories.end - apart)
    layout = Layout(int(stories.codes[0].shape[2]), codebook_size)
    model = make_model(layers, hidden, heads, tokenizer.get_vocab_size(), layout).to(device)
    if init is not None:
        load_into(model, init / "model.safetensors", torch.float32)
        model.to(device)
    optimizers = make_optimizers(model, lr=lr, muon_lr=muon_lr)
    warmup, group = 100, optimizers[0].param_groups[0]

    def step_fn(step: int) -> dict[str, Tensor]:
        decayed = 0.0 if step < warmup else 1.0 - group["lr"] / group["initial_lr"]
        share = windows[0] + (windows[1] - windows[0]) * decayed
        return losses(model, sample(train, layout, step_rng(seed, step), frames, share), device)

    fit(
        step_fn, {"arm": model}, optimizers, steps=steps, decay=decay, run_dir=out, warmup=warmup, every=every,
        seed=seed, time_limit=None if minutes is None else minutes * 60,
    )  # fmt: skip
    export(model, tokenizer, layout, out / "arm")
    report = {"validation": evaluate(model, validation, layout, device, 128)}
    if heldout is not None:
        report["heldout"] = evaluate(model, read_stories(heldout, tokenizer), layout, device, 128)
    (out / "evaluation.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    click.echo(json.dumps(report))


if __name__ == "__main__":
    main()
