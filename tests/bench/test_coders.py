"""Training the picture coders: the codebook's averages, the batches and the fused norms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from acdc.bench.storyworld.train.codebook import CodebookEma, usage
from acdc.bench.storyworld.train.fast_coder import speed_up
from acdc.bench.storyworld.train.fused_norm import FusedGroupNorm
from acdc.bench.storyworld.train.pictures import Frames, picture_loss, psnr
from acdc.bench.storyworld.train.winograd import WinogradConv2d, library
from acdc.engine.models.tokenizers.vqgan import VQGAN, VQGANConfig

pytestmark = pytest.mark.training


@pytest.fixture
def frames(tmp_path: Path) -> Frames:
    values = np.random.default_rng(0).integers(0, 256, (5, 6, 64, 64, 3), dtype=np.uint8)
    np.save(tmp_path / "frames.npy", values)
    return Frames(tmp_path, heldout=2)


def test_k_means_finds_separate_clusters() -> None:
    torch.manual_seed(0)
    centres = torch.eye(4) * 10
    book = CodebookEma(nn.Embedding(4, 4))
    book.start(centres.repeat(50, 1) + 0.01 * torch.randn(200, 4), rounds=5)
    distance = torch.cdist(book.weight, centres).min(1).values
    assert float(distance.median()) < 1.0


def test_dead_codes_restart_at_seen_vectors_and_live_ones_follow() -> None:
    torch.manual_seed(0)
    embedding = nn.Embedding(3, 2)
    book = CodebookEma(embedding)
    vectors = torch.randn(64, 2)
    for _ in range(600):
        book.update(vectors, torch.zeros(64, dtype=torch.int64), restart=False)
    assert torch.allclose(embedding.weight[0], vectors.mean(0), atol=0.05)
    book.update(vectors, torch.zeros(64, dtype=torch.int64), restart=True)
    assert all((vectors == row).all(1).any() for row in embedding.weight[1:])


def test_usage_of_even_codes() -> None:
    share, perplexity = usage(torch.arange(4).repeat(5), 8)
    assert share == 0.5
    assert perplexity == pytest.approx(4.0)


def test_batches_depend_on_the_step_alone(frames: Frames) -> None:
    assert torch.equal(frames.batch(1, 7, 4), frames.batch(1, 7, 4))
    assert not torch.equal(frames.batch(1, 7, 4), frames.batch(1, 8, 4))
    assert frames.heldout().shape == (12, 3, 64, 64)
    assert float(frames.heldout().abs().max()) <= 1.0


def test_missing_frames_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"frames.npy: no such file"):
        Frames(tmp_path)


def test_too_few_stories(frames: Frames, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="5 stories, expected more than the 5 held out"):
        Frames(tmp_path, heldout=5)


def test_loss_and_psnr() -> None:
    pixels = torch.zeros(1, 3, 8, 8)
    assert float(picture_loss(pixels, pixels)) == 0.0
    assert psnr(pixels + 0.2, pixels) == pytest.approx(20.0, abs=1e-3)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 8, 8, 4, 4), (3, 32, 16, 8, 12), (2, 24, 40, 20, 4), (5, 8, 64, 16, 16)])
def test_winograds_convolution_and_its_gradients_are_the_sums(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(sum(shape))
    batch, inputs, outputs, height, width = shape
    conv = WinogradConv2d(inputs, outputs, 3, padding=1, bias=bias)
    x, dy = torch.randn(batch, inputs, height, width, requires_grad=True), torch.randn(batch, outputs, height, width)
    ours = conv(x)
    assert type(ours.grad_fn).__name__.startswith("_Convolution") == (library() is not None)
    wide = [value.detach().double().requires_grad_() for value in (x, *conv.parameters())]
    theirs = functional.conv2d(*wide, padding=1)
    found = (ours, *torch.autograd.grad(ours, (x, *conv.parameters()), dy))
    wanted = (theirs, *torch.autograd.grad(theirs, wide, dy.double()))
    for mine, other in zip(found, wanted, strict=True):
        assert (mine.double() - other).norm() < 1e-5 * other.norm()


def test_what_winograd_does_not_serve_is_torchs_own() -> None:
    torch.manual_seed(0)
    for conv, side in (
        (WinogradConv2d(8, 8, 3, padding=1), 6),  # no whole tiles
        (WinogradConv2d(8, 8, 3, padding=1, stride=2), 8),
        (WinogradConv2d(8, 8, 1), 8),
        (WinogradConv2d(3, 8, 3, padding=1), 8),  # no whole vector of channels
        (WinogradConv2d(8, 8, 3, padding=1).double(), 8),
    ):
        x = torch.randn(1, conv.in_channels, side, side, dtype=conv.weight.dtype)
        wanted = functional.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding)
        assert torch.equal(conv(x), wanted)


def test_a_coder_that_is_sped_up_keeps_weights_and_result() -> None:
    torch.manual_seed(0)
    config = VQGANConfig(16, 8, (1, 2), num_res_blocks=1, z_channels=4, codebook_size=8, num_groups=4)
    model = VQGAN(config)
    pixels = torch.rand(2, 3, 16, 16) * 2 - 1
    keys, before = list(model.state_dict()), model.latents(pixels)
    speed_up(model)
    assert list(model.state_dict()) == keys
    assert {type(module) for module in model.modules() if isinstance(module, nn.GroupNorm)} == {FusedGroupNorm}
    assert torch.allclose(model.latents(pixels), before, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        low = model.latents(pixels)
    assert torch.allclose(low.float(), before, atol=0.05)
