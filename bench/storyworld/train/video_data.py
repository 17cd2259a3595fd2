"""Render and encode clips: ``python -m acdc.bench.storyworld clip_data --clips 1000 --tokenizer DIR --out DIR``.

Writes into OUT, for N clips of 32 frames:

    codes.npy       int16 [N, 32, n], with --flip also codes_flip.npy of the mirrored clips
    latents.npy     float16 [N, 32, 4, h, w], with --vae: VAE means times `scaling_factor`
    labels.npy      int64 [N, 6], of each clip's first scene, in the order of `dataset.LABELS`
    texts.json      {"sentences": [[s]], "refined": [[s]], "names": [s]}: a clip reads as a story of one sentence

The pictures themselves are not kept: 0.4 MB a clip, and 6 ms a frame to draw again. Finished parts stay on disk under
OUT/parts until all are done, so that a stopped run goes on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import numpy as np
import torch

from ....engine.memory.rules import Rules
from ..draw.scene import render
from ..world.clips import FRAMES, ClipSample, sample_clip
from ..world.grammar import SPLITS
from .dataset import scene_labels
from .encode import Encoder, tokenizer_encoder, vae_encoder
from .pictures import to_pixels

PART = 25  # clips
Arrays = dict[str, np.ndarray]


def draw_clip(clip: ClipSample, size: int) -> np.ndarray:
    """The clip's pictures, uint8 [F, size, size, 3]."""
    return np.stack([np.asarray(render(scene, size, motion)) for scene, motion in clip.moments])


def clip_texts(clips: list[ClipSample]) -> dict[str, list[list[str]] | list[str]]:
    """The sentences as written and as the diffusion model reads them, and the names."""
    memory = Rules()
    sentences = [[clip.sentence] for clip in clips]
    refined = [memory.refine_story(story) for story in sentences]
    return {"sentences": sentences, "refined": refined, "names": [clip.name for clip in clips]}


@torch.inference_mode()
def encode_clip(pictures: np.ndarray, encoders: Mapping[str, Encoder], device: str) -> Arrays:
    """One clip's entries of the arrays that ``encoders`` name; "..._flip" encodes the mirrored pictures."""
    pixels = to_pixels(pictures).to(device, memory_format=torch.channels_last)
    made = {}
    for name, encode in encoders.items():
        found = encode(pixels.flip(3) if name.endswith("_flip") else pixels).cpu().numpy()
        made[name] = found.astype(np.int16 if name.startswith("codes") else np.float16)
    return made


def parts(count: int) -> Iterator[range]:
    """The clips' numbers, `PART` at a time."""
    return (range(start, min(start + PART, count)) for start in range(0, count, PART))


def build_clips(
    out: Path, count: int, encoders: Mapping[str, Encoder], split: str = "train", frames: int = FRAMES,
    size: int = 64, device: str = "cpu", first_seed: int = 0, edition: int = 1,
) -> None:  # fmt: skip
    """Write the data directory; clip i has seed ``first_seed + i``. What OUT/parts holds already is not made again.

    Raises:
        ValueError: fewer than one clip, no encoder, or an unknown split or edition.
    """
    if count < 1 or not encoders or split not in SPLITS:
        known = ", ".join(SPLITS)
        raise ValueError(f"need clips >= 1, a tokenizer or a VAE and a split of {known}; got {count}, {split!r}")
    folder = out / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    plan = {"split": split, "frames": frames, "size": size, "first_seed": first_seed, "edition": edition}
    _check_plan(folder / "plan.json", plan | {"arrays": sorted(encoders)})
    clips = [sample_clip(first_seed + i, split, frames, edition=edition) for i in range(count)]
    for part in parts(count):
        path = folder / f"{part.start:06d}_{part.stop:06d}.npz"
        if not path.is_file():
            rows = [encode_clip(draw_clip(clips[i], size), encoders, device) for i in part]
            _save(path, {name: np.stack([row[name] for row in rows]) for name in encoders})
    _join(out, folder, count, list(encoders))
    np.save(out / "labels.npy", np.array([scene_labels(clip.scenes[0]) for clip in clips]))
    (out / "texts.json").write_text(json.dumps(clip_texts(clips)), encoding="utf-8")
    shutil.rmtree(folder)


def _check_plan(path: Path, plan: Mapping[str, object]) -> None:
    """``ValueError`` if the parts there were made by other settings."""
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != plan:
        raise ValueError(f"{path.parent}: parts of another run ({path.read_text(encoding='utf-8')}); remove them")
    path.write_text(json.dumps(plan), encoding="utf-8")


def _save(path: Path, arrays: Arrays) -> None:
    part = path.with_suffix(".part.npz")
    np.savez(part, **arrays)  # type: ignore[arg-type]  # the stubs take the first array for allow_pickle
    os.replace(part, path)


def _join(out: Path, folder: Path, count: int, names: list[str]) -> None:
    for name in names:
        found = []
        for part in parts(count):
            with np.load(folder / f"{part.start:06d}_{part.stop:06d}.npz") as arrays:
                found.append(arrays[name])
        with open(out / f"{name}.npy.part", "wb") as file:
            np.save(file, np.concatenate(found))
        os.replace(out / f"{name}.npy.part", out / f"{name}.npy")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--clips", default=1000, show_default=True)
@click.option("--tokenizer", type=click.Path(path_type=Path, exists=True), help="Directory of the VQGAN: codes.")
@click.option("--vae", type=click.Path(path_type=Path, exists=True), help="Directory of the AutoencoderKL: latents.")
@click.option("--flip", is_flag=True, help="Write the mirrored clips' codes, too.")
@click.option("--split", type=click.Choice(SPLITS), default="train", show_default=True)
@click.option("--frames", default=FRAMES, show_default=True)
@click.option("--size", default=64, show_default=True)
@click.option("--first-seed", default=0, show_default=True)
@click.option("--edition", default=1, show_default=True, help="Edition of the world.")
@click.option("--threads", default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True)
def main(
    out: Path, clips: int, tokenizer: Path | None, vae: Path | None, flip: bool, split: str, frames: int, size: int,
    first_seed: int, edition: int, threads: int, device: str,
) -> None:  # fmt: skip
    """Render clips and encode them with the tokenizer, the VAE or both."""
    torch.set_num_threads(threads)
    encoders: dict[str, Encoder] = {}
    if tokenizer is not None:
        encoders["codes"] = tokenizer_encoder(tokenizer, device)
        if flip:
            encoders["codes_flip"] = encoders["codes"]
    if vae is not None:
        encoders["latents"] = vae_encoder(vae, device)
    build_clips(out, clips, encoders, split, frames, size, device, first_seed, edition)


if __name__ == "__main__":
    main()
