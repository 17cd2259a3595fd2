"""Drafts of an ARM in place of true frames: ``python -m acdc.bench.storyworld.train.drafts --data DIR ...``.

SDEdit starts from the ARM's drafts, which are blurred by the tokenizer and partly wrong; a diffusion model that saw
only clean renders takes their faults for content. So a random share of each frame's codes is drawn again by the ARM
(given the true story up to each code: one parallel pass), decoded and encoded with the corrector's VAE. Writes
drafts.npy float16 [M, 6, 4, h, w] of the last M stories into the data directory, aligned with latents.npy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from tokenizers import Tokenizer as TextTokenizer
from torch import Tensor

from ....engine.models.lwm.family import Arm
from ....engine.models.lwm.model import LWM
from ....engine.models.tokenizers.vqgan import VQGAN
from .arm import code_logits, hidden_states
from .arm_data import CODE_LOSS, Layout, Row, Stories, collate, read_stories, whole
from .encode import vae_encoder
from .precision import autocast

SEED = 6
ROWS = 8  # stories in one pass of the ARM


def redraw(model: LWM, rows: list[Row], layout: Layout, generator: torch.Generator, device: str) -> Tensor:
    """Codes int64 [rows, F, n]: each frame keeps a random share of its codes, the ARM draws the others again."""
    batch = collate(rows)
    hidden = hidden_states(model, batch.ids.to(device), batch.is_vision.to(device))
    chosen = batch.loss[:, 1:] == CODE_LOSS
    logits = code_logits(model, hidden[:, :-1][chosen.to(device)], layout)
    drawn = torch.multinomial(logits.softmax(-1), 1, generator=generator).view(len(rows), -1, layout.codes_per_frame)
    true = batch.ids[:, 1:][chosen].view_as(drawn)
    share = torch.rand(*drawn.shape[:2], 1, generator=generator)
    return torch.where(torch.rand(drawn.shape, generator=generator) < share, drawn, true)


def redraw_all(model: LWM, stories: Stories, layout: Layout, device: str) -> Tensor:
    """Redrawn codes [M, F, n] of all of ``stories``, rows of similar length together."""
    rows = [whole(stories.texts[0][i], stories.codes[0][i], layout) for i in range(stories.first, stories.end)]
    generator = torch.Generator().manual_seed(SEED)
    result = torch.empty(len(rows), stories.codes[0].shape[1], layout.codes_per_frame, dtype=torch.int64)
    order = torch.tensor([len(row.ids) for row in rows]).argsort()
    for part in order.split(ROWS):
        result[part] = redraw(model, [rows[index] for index in part], layout, generator, device)
    return result


def to_latents(tokenizer: VQGAN, encode: Callable[[Tensor], Tensor], codes: Tensor, device: str) -> np.ndarray:
    """Codes [M, F, n] as the VAE's latents of the pictures they decode to: float16 [M, F, 4, h, w]."""
    parts = []
    for part in codes.flatten(0, 1).split(64):
        with autocast(device):
            pixels = tokenizer.decode(part.to(device))
        parts.append(encode(pixels.float()).cpu().numpy().astype(np.float16))
    latents = np.concatenate(parts)
    return latents.reshape(*codes.shape[:2], *latents.shape[1:])


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Directory with codes.npy and texts.json.")
@click.option("--arm", type=click.Path(path_type=Path), required=True)
@click.option("--tokenizer", type=click.Path(path_type=Path), required=True, help="Directory of the VQGAN.")
@click.option("--vae", type=click.Path(path_type=Path), required=True, help="The corrector's AutoencoderKL.")
@click.option("--stories", default=4500, help="Number of stories, from the end of the data set.")
@click.option("--threads", default=1)
@click.option("--device", default="cpu")
@torch.inference_mode()
def main(data: Path, arm: Path, tokenizer: Path, vae: Path, stories: int, threads: int, device: str) -> None:
    """Redraw frames with the ARM and write their latents."""
    torch.set_num_threads(threads)
    stream = Arm.from_directory(arm, device)
    layout = Layout(stream.stream.codes_per_frame, stream.stream.codebook_size)
    every = read_stories(data, TextTokenizer.from_file(str(arm / "tokenizer.json")))
    last = Stories(every.codes, every.texts, max(0, every.end - stories), every.end)
    codes = redraw_all(stream.model, last, layout, device)
    changed = (codes != torch.from_numpy(every.codes[0][last.first : last.end].astype(np.int64))).float()
    click.echo(f"{len(codes)} stories, {changed.mean():.0%} of the codes changed")
    latents = to_latents(VQGAN.from_directory(tokenizer, device), vae_encoder(vae, device), codes, device)
    np.save(data / "drafts.npy", latents)


if __name__ == "__main__":
    main()
