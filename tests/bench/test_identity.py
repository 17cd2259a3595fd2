"""The judge of individuals: it learns traits from true renders, sees colour, and measures distances."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from acdc.bench.storyworld.judge.identity import IdentityJudge, Traits, load_identity, save_identity
from acdc.bench.storyworld.judge.train_identity import Individuals, main, pairs
from acdc.bench.storyworld.train.dataset import TRAITS, build_dataset

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("individuals")
    build_dataset(folder, 8, size=64, edition=2)
    return folder


def traits(coat: float = 0.5, build: float = 1.0, trunk: int = 0, face: int = 0) -> Traits:
    marks = torch.eye(3)[trunk : trunk + 1], torch.eye(2)[face : face + 1]
    return Traits(torch.full((1, 3), coat), torch.full((1, 4), build), *marks)


def test_distance_is_zero_for_the_same_and_grows_with_each_trait():
    judge = IdentityJudge()
    assert float(judge.distance(traits(), traits())) == 0
    for near, far in ((traits(coat=0.6), traits(coat=0.7)), (traits(build=1.1), traits(build=1.2))):
        assert 0 < float(judge.distance(traits(), near)) < float(judge.distance(traits(), far))
    assert float(judge.distance(traits(), traits(trunk=1, face=1))) == pytest.approx((1.5 + 2) / 4)


def test_independent_individuals_lie_one_apart_on_average():
    rng = torch.Generator().manual_seed(0)

    def crowd() -> Traits:
        marks = [torch.eye(n)[torch.randint(n, (20_000,), generator=rng)] for n in (3, 2)]
        return Traits(torch.randn(20_000, 3, generator=rng), torch.randn(20_000, 4, generator=rng), *marks)

    assert float(IdentityJudge().distance(crowd(), crowd()).mean()) == pytest.approx(1, abs=0.02)


def test_saved_and_loaded_it_says_the_same_and_it_sees_colour(tmp_path: Path):
    torch.manual_seed(0)
    judge = IdentityJudge().eval()
    pictures = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    pictures[..., 0] //= 2
    save_identity(judge, tmp_path)
    before, after = judge.traits(pictures), load_identity(tmp_path).traits(pictures)
    for name in ("coat", "build", "trunk", "face"):
        assert torch.allclose(getattr(before, name), getattr(after, name), atol=5e-3)
    assert not torch.allclose(before.coat, judge.traits(np.ascontiguousarray(pictures[..., ::-1])).coat, atol=1e-4)


def test_unknown_formats_and_empty_input_are_named(tmp_path: Path):
    save_identity(IdentityJudge(), tmp_path)
    (tmp_path / "config.json").write_text('{"format": 2}')
    with pytest.raises(ValueError, match="format 2"):
        load_identity(tmp_path)
    with pytest.raises(ValueError, match="at least one picture"):
        IdentityJudge().eval().traits(np.zeros((0, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match=r"frames\.npy"):
        Individuals(tmp_path)


def test_batches_carry_the_traits_of_their_stories(data: Path):
    individuals = Individuals(data)
    assert individuals.traits.shape == (48, len(TRAITS))
    pixels, labels = individuals.batch(torch.Generator().manual_seed(1), 5)
    again, same = individuals.batch(torch.Generator().manual_seed(1), 5)
    assert torch.equal(pixels, again)
    assert torch.equal(labels, same)
    assert pixels.shape == (5, 3, 64, 64)


def test_pairs_join_each_later_frame_with_its_first():
    numbers = torch.arange(12.0)[:, None]
    first, later = pairs(Traits(numbers, numbers, numbers, numbers), 4)
    assert first.coat.flatten().tolist() == [0, 0, 0, 4, 4, 4, 8, 8, 8]
    assert later.coat.flatten().tolist() == [1, 2, 3, 5, 6, 7, 9, 10, 11]


def test_training_writes_weights_and_a_report(data: Path, tmp_path: Path):
    words = ("--data", data, "--heldout", data, "--out", tmp_path, "--steps", 3, "--decay", 1, "--batch", 8)
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert load_identity(tmp_path / "weights").spread.min() > 0
    assert "other_kept" in (tmp_path / "report.json").read_text()
    before = (tmp_path / "weights" / "identity.safetensors").read_bytes()
    result = CliRunner().invoke(main, [str(word) for word in (*words, "--export-only")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "weights" / "identity.safetensors").read_bytes() == before
    result = CliRunner().invoke(main, [str(word) for word in (*words[:5], tmp_path / "new", "--export-only")])
    assert "no checkpoint yet" in str(result.exception)
