"""Losses beyond pixels: who gets a gradient, and what each of them rewards."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from acdc.bench.storyworld.train.adversary import PatchDiscriminator, edge_loss, fooling_loss, telling_loss
from acdc.bench.storyworld.train.decoder import main
from acdc.bench.storyworld.train.tokenizer import export
from acdc.engine.models.tokenizers.vqgan import VQGAN, VQGANConfig

pytestmark = pytest.mark.training


def pictures(seed: int) -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_gradients_reach_the_one_who_learns_and_nobody_else():
    torch.manual_seed(0)
    judge, output = PatchDiscriminator(8), pictures(0).requires_grad_()
    fooled, matched = fooling_loss(judge, output, pictures(1))
    (fooled + matched).backward()
    assert output.grad is not None
    assert float(output.grad.abs().sum()) > 0
    assert all(value.grad is None for value in judge.parameters())
    output.grad = None
    telling_loss(judge, output, pictures(1)).backward()
    assert output.grad is None
    assert all(value.grad is not None for value in judge.parameters())


def test_the_discriminator_learns_to_tell_and_equal_pictures_match():
    torch.manual_seed(0)
    judge = PatchDiscriminator(8)
    drawn, true = pictures(0) * 0.2, pictures(1)
    optimizer = torch.optim.Adam(judge.parameters(), 1e-2)
    before = float(telling_loss(judge, drawn, true))
    for _ in range(30):
        optimizer.zero_grad()
        telling_loss(judge, drawn, true).backward()
        optimizer.step()
    assert float(telling_loss(judge, drawn, true)) < 0.5 * before
    judge.eval()  # spectral norm's power iteration stops
    assert float(fooling_loss(judge, true, true)[1]) == 0
    assert float(fooling_loss(judge, drawn, true)[0]) > float(fooling_loss(judge, true, true)[0])


def test_an_error_on_an_edge_costs_more_than_one_on_a_flat_place():
    target = torch.zeros(1, 3, 16, 16)
    target[..., 8:] = 1.0
    on_edge, on_flat = target.clone(), target.clone()
    on_edge[..., 4, 8] += 0.5
    on_flat[..., 4, 2] += 0.5
    assert float(edge_loss(target, target)) == 0
    assert float(edge_loss(on_edge, target)) > 5 * float(edge_loss(on_flat, target))
    flat = torch.zeros(1, 3, 8, 8)
    assert torch.isfinite(edge_loss(flat + 0.1, flat))


def test_a_decoder_trains_under_every_term_and_its_codes_stay(tmp_path: Path):
    torch.manual_seed(0)
    config = VQGANConfig(64, 8, (1, 1, 1), num_res_blocks=1, z_channels=4, codebook_size=16, num_groups=4)
    model = VQGAN(config)
    export(model, tmp_path / "tokenizer")
    frames = np.random.default_rng(0).integers(0, 256, (34, 2, 64, 64, 3), dtype=np.uint8)
    np.save(tmp_path / "frames.npy", frames)
    np.save(tmp_path / "codes.npy", np.random.default_rng(1).integers(0, 16, (34, 2, 256)).astype(np.int16))
    words = (
        "--coder", tmp_path / "tokenizer", "--data", tmp_path, "--out", tmp_path / "run", "--steps", 2, "--decay", 1,
        "--batch", 2, "--edges", 0.5, "--adversarial", 0.1, "--features", 1.0, "--muon",
    )  # fmt: skip
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert {"picture", "edges", "fooled", "features", "judge"} <= set(last)
    before, after = (VQGAN.from_directory(tmp_path / name) for name in ("tokenizer", "run/tokenizer"))
    pixels = pictures(3).repeat(1, 1, 2, 2)
    assert torch.equal(before.encode(pixels), after.encode(pixels))
    assert not torch.equal(before.decode(before.encode(pixels)), after.decode(after.encode(pixels)))
