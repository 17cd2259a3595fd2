"""Clips as the ARM would have drawn them: ``python -m acdc.bench.storyworld clip_drafts --clips DIR --arm DIR ...``.

Corrections of clips begin with the ARM's drafts, which flicker; motion modules that saw only clean clips take flicker
for motion. So, as in `drafts`, a share of each frame's codes is drawn again by the ARM, given the true frames that it
sees and the true codes before each: one parallel pass a clip. Half of the clips keep one share throughout, in the
others each frame has its own. Writes drafts.npy float16 [N, 32, 4, h, w] next to latents.npy.
"""

from __future__ import annotations

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
from .arm_data import CODE_LOSS, Layout, Stories, buckets, read_stories
from .drafts import to_latents
from .encode import vae_encoder
from .video_rows import frame_row

SEED = 8
PASS_TOKENS = 4096


@torch.inference_mode()
def redraw_clip(
    model: LWM, text: list[int], clip: np.ndarray, layout: Layout, generator: torch.Generator, device: str
) -> Tensor:
    """``clip`` [F, n] with a share of its codes drawn again: int64 [F, n]."""
    rows = [frame_row(text, clip, layout, frame) for frame in range(len(clip))]
    drawn = torch.empty(clip.shape, dtype=torch.int64)
    done = 0
    for batch in buckets(rows, PASS_TOKENS):  # shorter rows first, which is the order of the frames
        hidden = hidden_states(model, batch.ids.to(device), batch.is_vision.to(device))
        before = hidden[:, :-1][(batch.loss[:, 1:] == CODE_LOSS).to(device)]
        logits = code_logits(model, before, layout)
        count = len(batch.ids)
        codes = torch.multinomial(logits.softmax(-1), 1, generator=generator).view(count, -1)
        drawn[done : done + count] = codes
        done += count
    shares = torch.rand(len(clip) if torch.rand(1, generator=generator) < 0.5 else 1, 1, generator=generator)
    true = torch.from_numpy(clip.astype(np.int64))
    return torch.where(torch.rand(true.shape, generator=generator) < shares, drawn, true)


def redraw_all(model: LWM, clips: Stories, layout: Layout, device: str) -> Tensor:
    """`redraw_clip` of all clips: int64 [N, F, n]."""
    generator = torch.Generator().manual_seed(SEED)
    chosen = range(clips.first, clips.end)
    return torch.stack(
        [redraw_clip(model, clips.texts[0][i][0], clips.codes[0][i], layout, generator, device) for i in chosen]
    )


@click.command()
@click.option(
    "--clips", type=click.Path(path_type=Path), required=True, help="Directory with codes.npy and texts.json."
)
@click.option("--arm", type=click.Path(path_type=Path), required=True)
@click.option("--tokenizer", type=click.Path(path_type=Path), required=True, help="Directory of the VQGAN.")
@click.option("--vae", type=click.Path(path_type=Path), required=True, help="The corrector's AutoencoderKL.")
@click.option("--threads", default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@torch.inference_mode()
def main(clips: Path, arm: Path, tokenizer: Path, vae: Path, threads: int, device: str) -> None:
    """Redraw clips with the ARM and write their latents."""
    torch.set_num_threads(threads)
    stream = Arm.from_directory(arm, device)
    layout = Layout(stream.stream.codes_per_frame, stream.stream.codebook_size)
    chosen = read_stories(clips, TextTokenizer.from_file(str(arm / "tokenizer.json")))
    codes = redraw_all(stream.model, chosen, layout, device)
    changed = (codes != torch.from_numpy(chosen.codes[0].astype(np.int64))).float()
    click.echo(f"{len(codes)} clips, {changed.mean():.0%} of the codes changed")
    latents = to_latents(VQGAN.from_directory(tokenizer, device), vae_encoder(vae, device), codes, device)
    np.save(clips / "drafts.npy", latents)


if __name__ == "__main__":
    main()
