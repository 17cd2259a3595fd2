"""ACDiT at toy sizes with every kind of its weights drawn, its published files, and its training pass restated."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from acdc.engine.models.acdit.config import ACDiTConfig
from acdc.engine.models.acdit.network import ACDiT
from acdc.engine.models.diffusion.vae import VAE, VAEConfig

PICTURE = ACDiTConfig(2, 128, num_classes=5, latent_size=8, block_tokens=16)
CLIP = ACDiTConfig(
    3, 64, num_classes=3, num_frames=6, latent_size=8, patch_size=2, block_tokens=32, rotary_split=(2, 3, 3)
)
KINDS = {"picture": PICTURE, "clip": CLIP}
VAE_CONFIG: dict[str, Any] = {
    "block_out_channels": [8, 16],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "norm_num_groups": 4,
}


def drawn(module: torch.nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Weights for ``module``: norms near 1, biases near 0, matrices that keep the size of what they multiply."""
    generator, state = torch.Generator().manual_seed(seed), {}
    for name, value in module.state_dict().items():
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        if value.ndim > 1:
            state[name] = noise * value[0].numel() ** -0.5
        else:
            state[name] = 0.1 * noise + ("norm" in name and name.endswith("weight"))
    return {name: value.float() for name, value in state.items()}


def small_acdit(config: ACDiTConfig, dtype: torch.dtype = torch.float64) -> ACDiT:
    model = ACDiT(config)
    model.load_state_dict(drawn(model))
    return model.to(dtype).eval().requires_grad_(False)


def small_vae(dtype: torch.dtype = torch.float64) -> VAE:
    vae = VAE(VAEConfig.from_dict(VAE_CONFIG))
    vae.load_state_dict(drawn(vae, 1))
    return vae.to(dtype).eval().requires_grad_(False)


def arguments(config: ACDiTConfig, **changes: Any) -> Namespace:
    """The training script's, of which some are read."""
    split = None if config.rotary_split in ((1, 1), (2, 3, 3)) else "_".join(map(str, config.rotary_split))
    read = {
        "model": "ACDiT-S",
        "vae_latent_size": config.latent_channels,
        "patch_size": config.patch_size,
        "block_size": config.block_tokens,
        "ar_len": config.num_blocks,
        "num_frames": config.num_frames,
        "image_size": 8 * config.latent_size,
        "vae_patch_pixels": 8,
        "nd_split": split,
        "lr": 3e-4,
        "results_dir": None,
    }
    return Namespace(**{**read, **changes})


def write_acdit(path: Path, config: ACDiTConfig, **changes: Any) -> Path:
    """A file as the authors' training writes it."""
    model = drawn(ACDiT(config))
    extra = {"ema": model, "opt": {"state": {}, "param_groups": [{"lr": 1e-4}]}, "lrs": [1e-4]}
    torch.save({"model": model, **extra, "args": arguments(config, **changes)}, path)
    return path


def write_vae(folder: Path) -> Path:
    """``folder``/vae as diffusers writes it."""
    (folder / "vae").mkdir(parents=True)
    (folder / "vae" / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL", **VAE_CONFIG}))
    save_file(drawn(VAE(VAEConfig.from_dict(VAE_CONFIG)), 1), folder / "vae" / "diffusion_pytorch_model.safetensors")
    return folder


def skip_causal_mask(blocks: int, size: int) -> Tensor:
    """The visible pairs at training, clean blocks before noisy ones: bool [2 N size, 2 N size]."""
    number = torch.arange(2 * blocks * size) // size
    clean, number = number < blocks, number % blocks
    sees, seen = (clean[:, None], number[:, None]), (clean[None], number[None])
    by_clean = sees[0] & seen[0] & (seen[1] <= sees[1])
    by_noisy = ~sees[0] & ((seen[0] & (seen[1] < sees[1])) | (~seen[0] & (seen[1] == sees[1])))
    return by_clean | by_noisy


def places(config: ACDiTConfig) -> list[tuple[int, ...]]:
    """Coordinates of each token in the order of blocks, by loops."""
    side = config.grid[-1]
    if config.is_clip:
        return [(t, h, w) for t in range(config.num_frames) for h in range(side) for w in range(side)]
    tile = math.isqrt(config.block_tokens)
    tiles = range(0, side, tile)
    return [(top + h, left + w) for top in tiles for left in tiles for h in range(tile) for w in range(tile)]


def angles(config: ACDiTConfig) -> Tensor:
    """[num_tokens, 64], number by number."""
    unit, rows = 32 // sum(config.rotary_split), []
    for place in places(config):
        row: list[float] = []
        for at, share, length in zip(place, config.rotary_split, config.grid, strict=True):
            base, count = 100 * (int(8 * length / math.pi) // 100 + 1), share * unit
            row += 2 * [at * base ** (-j / (count - 1)) for j in range(count)]
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def training_pass(model: ACDiT, clean: Tensor, noisy: Tensor, timesteps: Tensor, labels: Tensor) -> Tensor:
    """Predicted noise of all blocks together: ``clean`` and ``noisy`` [B, N, T, D], ``timesteps`` [B, N], ``labels``
    [B] -> [B, N, T, D]. Restated from the description of the model, on its weights alone."""
    config, w = model.config, model.state_dict()
    batch, count, size, _ = clean.shape
    mask = skip_causal_mask(count, size)
    turned = angles(config).repeat(2, 1).to(clean)
    cos, sin = turned.cos(), turned.sin()

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def norm(name: str, x: Tensor) -> Tensor:
        return w[f"{name}.weight"] * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    def rotated(x: Tensor) -> Tensor:
        return x * cos + torch.cat((-x[..., 32:], x[..., :32]), -1) * sin

    frequencies = torch.exp(-math.log(10000) * torch.arange(128.0) / 128)
    waves = timesteps.float()[..., None] * frequencies
    wave = torch.cat((waves.cos(), waves.sin()), -1).to(clean)
    time = linear("t_embedder.mlp.2", F.silu(linear("t_embedder.mlp.0", wave)))
    c = F.silu(time + w["y_embedder.embedding_table.weight"][labels][:, None])
    half = count * size

    def parts(name: str, number: int) -> list[Tensor]:
        made = linear(f"{name}.adaLN_modulation.1", c).repeat_interleave(size, 1)
        return list(made.chunk(number, -1))

    def noisy_only(x: Tensor, change: Any) -> Tensor:
        return torch.cat((x[:, :half], change(x[:, half:])), 1)

    x = linear("x_embedder", torch.cat((clean.flatten(1, 2), noisy.flatten(1, 2)), 1))
    for number in range(config.num_layers):
        own = f"blocks.{number}"
        shift, scale, gate, shift2, scale2, gate2 = parts(own, 6)
        y = noisy_only(norm(f"{own}.norm1", x), lambda z, a=scale, b=shift: z * (1 + a) + b)
        q, k, v = linear(f"{own}.attn.qkv", y).view(batch, 2 * half, 3, -1, 64).permute(2, 0, 3, 1, 4)
        q, k = rotated(norm(f"{own}.attn.q_norm", q)), rotated(norm(f"{own}.attn.k_norm", k))
        scores = (q @ k.transpose(-1, -2) / 8).masked_fill(~mask, -torch.inf)
        attended = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, 2 * half, -1)
        x = x + noisy_only(linear(f"{own}.attn.proj", attended), lambda z, g=gate: g * z)
        y = noisy_only(norm(f"{own}.norm2", x), lambda z, a=scale2, b=shift2: z * (1 + a) + b)
        y = linear(f"{own}.mlp.fc2", F.gelu(linear(f"{own}.mlp.fc1", y), approximate="tanh"))
        x = x + noisy_only(y, lambda z, g=gate2: g * z)
    shift, scale = parts("final_layer", 2)
    out = linear("final_layer.linear", norm("final_layer.norm_final", x[:, half:]) * (1 + scale) + shift)
    return out.view(batch, count, size, -1)
