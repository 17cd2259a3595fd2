"""Code and latents of a rendered data set: ``python -m acdc.bench.storyworld.train.encode --data DIR --tokenizer DIR``.

Writes codes.npy int16 [N, 6, h*w] and latents.npy float16 [N, 6, 4, h, w] (VAE means times `scaling_factor`) into
the data directory, with --flip also codes_flip.npy and latents_flip.npy of the mirrored frames.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from ....engine.models.tokenizers.vqgan import VQGAN
from ....engine.utils.malloc import keep_freed_memory
from .fast_coder import speed_up
from .pictures import to_pixels
from .precision import autocast

Encoder = Callable[[Tensor], Tensor]


def tokenizer_encoder(folder: Path, device: str) -> Encoder:
    """Pixels [B, 3, H, W] to codes [B, h*w]; the convolutions in bf16 where that is fast, the nearest code in fp32."""
    model = VQGAN.from_directory(folder, device)
    speed_up(model)

    def encode(pixels: Tensor) -> Tensor:
        with autocast(device):
            latents = model.latents(pixels)
        return model.quantise(latents)

    return encode


def vae_encoder(folder: Path, device: str) -> Encoder:
    """Pixels [B, 3, H, W] to scaled latent means [B, 4, h, w]."""
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32)
    vae = vae.to(device, memory_format=torch.channels_last).eval()
    if not any(type(module).__name__ == "Attention" for module in vae.modules()):  # its group norm has no SiLU
        speed_up(vae)

    def encode(pixels: Tensor) -> Tensor:
        with autocast(device):
            mean = vae.encode(pixels).latent_dist.mean
        return mean.float() * vae.config.scaling_factor  # type: ignore[no-any-return]

    return encode


@torch.inference_mode()
def encode_all(frames: np.ndarray, encode: Encoder, dtype: type, flip: bool, batch: int, device: str) -> np.ndarray:
    """`encode` of all frames [N, F, H, W, 3] (mirrored with `flip`) as an array [N, F, ...] of `dtype`."""
    count, length = frames.shape[:2]
    flat = frames.reshape(-1, *frames.shape[2:])
    parts: list[np.ndarray] = []
    for start in range(0, len(flat), batch):
        pixels = to_pixels(flat[start : start + batch]).to(device, memory_format=torch.channels_last)
        parts.append(encode(pixels.flip(3) if flip else pixels).cpu().numpy().astype(dtype))
    result = np.concatenate(parts)
    return result.reshape(count, length, *result.shape[1:])


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--tokenizer", type=click.Path(path_type=Path), help="Directory of the VQGAN; writes the codes.")
@click.option("--vae", type=click.Path(path_type=Path), help="Directory of the AutoencoderKL; writes the latents.")
@click.option("--flip", is_flag=True, help="Encode the mirrored frames too.")
@click.option("--batch", default=32)
@click.option("--threads", default=1)
@click.option("--device", default="cpu")
def main(
    data: Path, tokenizer: Path | None, vae: Path | None, flip: bool, batch: int, threads: int, device: str
) -> None:
    """Encode every frame with the tokenizer, the VAE or both."""
    if tokenizer is None and vae is None:
        raise click.UsageError("give --tokenizer, --vae or both")
    keep_freed_memory()
    torch.set_num_threads(threads)
    if not (data / "frames.npy").is_file():
        raise ValueError(
            f"{data / 'frames.npy'}: no such file; write it with python -m acdc.bench.storyworld.train.dataset"
        )
    frames = np.load(data / "frames.npy", mmap_mode="r")
    jobs: list[tuple[str, Encoder, type]] = []
    if tokenizer is not None:
        jobs.append(("codes", tokenizer_encoder(tokenizer, device), np.int16))
    if vae is not None:
        jobs.append(("latents", vae_encoder(vae, device), np.float16))
    for name, encode, dtype in jobs:
        for suffix, mirrored in (("", False), ("_flip", True))[: 1 + flip]:
            np.save(data / f"{name}{suffix}.npy", encode_all(frames, encode, dtype, mirrored, batch, device))


if __name__ == "__main__":
    main()
