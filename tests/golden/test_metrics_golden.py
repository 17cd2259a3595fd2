"""Every metric against figures that the reference packages gave at weights and pictures of a formula (metrics.json)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from acdc.bench.quality.frechet import frechet_distance
from acdc.bench.quality.items import Clip
from acdc.bench.quality.metrics.consistency import next_and_first
from acdc.bench.quality.metrics.distances import kernel_interval
from acdc.bench.quality.networks import clip, dino, musiq_scores
from acdc.bench.quality.networks.aesthetic import aesthetic
from acdc.bench.quality.networks.amt import AMT
from acdc.bench.quality.networks.clips import padded, smooth_row
from acdc.bench.quality.networks.efficientnet import (
    PACKAGE,
    EfficientNetFeatures,
    EfficientNetLite0,
    load_efficientnet,
)
from acdc.bench.quality.networks.image_reward import RULES, ImageReward
from acdc.bench.quality.networks.inception import Inception2015
from acdc.bench.quality.networks.inception_features import classic
from acdc.bench.quality.networks.musiq import MUSIQ
from acdc.bench.quality.networks.raft import RAFT
from acdc.bench.quality.networks.renaming import renamed
from tests.helpers.analytic import analytic, picture, uniform
from tests.helpers.small_blip import SMALL_TEXT, SMALL_VISION, original_parts

GOLDEN = json.loads((Path(__file__).parent / "metrics.json").read_text())
AMT_NORM = (0.25, 0.05)
SAME = {"rel": 1e-4, "abs": 1e-4}


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.inference_mode():
        yield


def filled(model: nn.Module, norm: tuple[float, float] = (1.0, 0.1)) -> nn.Module:
    model.load_state_dict(analytic(model.state_dict(), norm))
    return model.eval()


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return [(picture(256, 256, 3 * i)[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy() for i in range(8)]


@pytest.fixture(scope="module")
def musiq() -> nn.Module:
    return filled(MUSIQ())


@pytest.fixture(scope="module")
def amt() -> nn.Module:
    return filled(AMT(), AMT_NORM)


@pytest.mark.long
@pytest.mark.parametrize(
    "size", ["256x256", *(pytest.param(s, marks=pytest.mark.slow) for s in ("200x300", "333x517"))]
)
def test_musiq(size, musiq):
    height, width = map(int, size.split("x"))
    assert float(musiq(picture(height, width).float())) == pytest.approx(GOLDEN["musiq"][size], abs=2e-5)


def test_amt(amt):
    made = amt(picture(128, 160).float(), picture(128, 160, 3).float())
    assert float(made.mean()) == pytest.approx(GOLDEN["amt"]["mean"], abs=1e-5)
    assert float(made.std()) == pytest.approx(GOLDEN["amt"]["std"], abs=1e-5)


@pytest.mark.parametrize(("updates", "bound"), [(1, 1e-4), (2, 1e-4), pytest.param(20, 5e-3, marks=pytest.mark.slow)])
def test_raft(updates, bound):
    first, second = (2 * picture(128, 160, dx).float() - 1 for dx in (0, 3))
    flow = filled(RAFT())(first, second, updates)[0]
    largest = flow.norm(dim=0).flatten().topk(int(0.05 * 128 * 160)).values.mean()
    found = [float(largest), *flow[:, 10, 20].tolist()]
    assert found == pytest.approx(GOLDEN["raft"][str(updates)], rel=bound, abs=bound)


def test_inception_and_the_classic_resize():
    pixels = (picture(64, 80)[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    found, golden = filled(Inception2015())((classic(pixels) - 128) / 128)[0], GOLDEN["inception"]
    assert float(found.mean()) == pytest.approx(golden["mean"], rel=1e-4)
    assert float(found.std()) == pytest.approx(golden["std"], rel=1e-4)
    assert found[:4].tolist() == pytest.approx(golden["first"], rel=1e-4)


@pytest.fixture(scope="module")
def waves() -> torch.Tensor:
    return (4 * picture(224, 224) - 2).float()


def test_efficientnet(waves):
    model, golden = filled(EfficientNetLite0()), GOLDEN["efficientnet"]["formula"]
    features, logits = model.features(waves)[0], model(waves)[0]
    assert [float(features.mean()), float(features.std())] == pytest.approx(golden["features"], rel=1e-4)
    assert features[:4].tolist() == pytest.approx(golden["first"], **SAME)
    assert [float(logits.mean()), float(logits.std())] == pytest.approx(golden["logits"], **SAME)


def test_efficientnet_of_its_published_weights(waves):
    pytest.importorskip(PACKAGE, reason="the package of weights, an extra of tests")
    (path,) = EfficientNetFeatures(None).files().values()
    model, golden = load_efficientnet(path), GOLDEN["efficientnet"]["published"]
    features, best = model.features(waves), model(waves)[0].topk(3)
    assert [float(features.mean()), float(features.std())] == pytest.approx(golden["features"], rel=1e-4)
    assert best.indices.tolist() == golden["classes"]
    assert best.values.tolist() == pytest.approx(golden["scores"], rel=1e-4)


def test_image_reward():
    model, golden = ImageReward(SMALL_VISION, SMALL_TEXT).eval(), GOLDEN["image_reward"]
    weights = {f"{part}.{name}": value for part, one in original_parts().items() for name, value in one.items()}
    model.load_state_dict(renamed(weights, RULES))
    pixels, ids = 4 * picture(32, 32).float() - 2, torch.tensor([[2, 17, 33, 99, 150, 3, 0, 0]])
    seen = model.vision(pixel_values=pixels).last_hidden_state
    assert seen[0, 0, :3].tolist() == pytest.approx(golden["image"], **SAME)
    assert float(model(pixels, ids, (ids > 0).long())) == pytest.approx(golden["reward"], **SAME)


def test_the_distances():
    a, b = uniform(0, (60, 16)).numpy(), 1.1 * uniform(1, (60, 16)).numpy() + 0.2
    golden, stories = GOLDEN["distances"], (np.split(a, 10), np.split(b, 12))
    assert frechet_distance(a, b) == pytest.approx(golden["fid"], abs=1e-6)
    assert kernel_interval(*stories, "kid").value == pytest.approx(golden["kid"], abs=1e-6)
    assert kernel_interval(*stories, "cmmd").value == pytest.approx(golden["cmmd"], abs=1e-6)


class Convolved(nn.Module):
    """The network in whose place VBench's own are for a golden: a convolution, tanh, the mean over places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 16, 16)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.conv(pixels)).mean((2, 3))


def test_vbench_subject(frames):
    rows = filled(Convolved(8))(torch.cat([dino.prepared(frame) for frame in frames])).double().numpy()
    assert next_and_first(rows).mean() == pytest.approx(GOLDEN["clip"]["subject"], abs=1e-6)


def test_vbench_background(frames):
    rows = filled(Convolved(8))(clip.prepared(frames, 224, "tensor")).double().numpy()
    assert next_and_first(rows).mean() == pytest.approx(GOLDEN["clip"]["background"], abs=1e-6)


def test_vbench_aesthetic(frames):
    found = filled(Convolved(768))(clip.prepared(frames, 224, "tensor"))
    score = aesthetic(filled(nn.Linear(768, 1)), found).mean()
    assert float(score) == pytest.approx(GOLDEN["clip"]["aesthetic"], abs=1e-6)


def test_negative_cosines_count_as_none():
    rows = np.array([[1, 0, 0], [0.8, 0.6, 0], [0, 1, 0], [-1, 0.1, 0]])
    assert next_and_first(rows).mean() == pytest.approx(GOLDEN["next_and_first"], abs=1e-6)


@pytest.mark.slow
def test_vbench_imaging(frames, musiq):
    score = np.mean([float(musiq(musiq_scores.prepared(frame))) for frame in frames]) / 100
    assert score == pytest.approx(GOLDEN["clip"]["imaging"], abs=1e-6)


@pytest.mark.slow
def test_vbench_smoothness(frames, amt):
    run = padded(lambda first, second: amt(first / 255, second / 255) * 255, 16, keep=False)
    row = smooth_row(Clip(lambda number: frames[number], len(frames), None), run)
    assert float(row[0]) == pytest.approx(GOLDEN["clip"]["smoothness"], abs=1e-4)
    assert row[1] == 3
