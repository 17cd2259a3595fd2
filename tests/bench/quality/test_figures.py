"""Statistics and definitions: intervals over stories, distances by two ways, controls that order as they must."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from acdc.bench.quality.evaluate import available, evaluate
from acdc.bench.quality.frechet import frechet_distance, moments, moments_distance
from acdc.bench.quality.kernel_distance import cubic, gaussian, grouped, kernel_sums
from acdc.bench.quality.metric import Context
from acdc.bench.quality.metrics.consistency import Consistency, shuffled
from acdc.bench.quality.metrics.distances import Frechet, KernelDistance, kernel_interval
from acdc.bench.quality.network import Clip, Looker
from acdc.bench.quality.networks.clips import dynamic_row, padded, smooth_row
from acdc.bench.quality.networks.inception_features import classic, clean
from acdc.bench.quality.progress import Rate, Silent
from acdc.bench.quality.row_cache import RowCache
from acdc.bench.quality.sets.listing import list_stories
from acdc.bench.quality.sets.story_set import StorySet
from acdc.bench.quality.sets.survey import survey
from acdc.bench.quality.statistics import mean_interval, paired_interval, spread_interval, weighted_interval
from acdc.bench.quality.statistics_file import Statistics, read_statistics, write_statistics
from tests.helpers.quality_folders import Means, noise, pictures


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_an_interval_holds_the_mean_as_often_as_it_says():
    held = 0
    for seed in range(100):
        found = mean_interval(random(seed, 30), samples=200, seed=seed)
        held += found.low <= 0 <= found.high
    assert 88 <= held <= 99  # 95 % of 100, a little less for a bootstrap of 30


def test_one_story_has_no_interval_and_none_is_refused():
    assert mean_interval([0.5]).low is None
    assert weighted_interval([0.5], [3]).high is None
    for wrong in ([], [np.nan], [[1.0]]):
        with pytest.raises(ValueError, match="one finite value a story"):
            mean_interval(wrong)


def test_paired_stories_have_a_narrower_interval():
    stories, gain = random(0, 40), 0.1 + 0.01 * random(1, 40)
    paired = paired_interval(stories + gain, stories)
    alone = mean_interval(stories)
    assert paired.low > 0
    assert paired.high - paired.low < (alone.high - alone.low) / 10
    with pytest.raises(ValueError, match="got 2 and 3"):
        paired_interval([1, 2], [1, 2, 3])


def test_pairs_count_in_a_weighted_mean():
    assert weighted_interval([1.0, 0.0], [3, 1]).value == 0.75


@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 20), st.integers(0, 99))
def test_few_samples_and_covariances_give_one_distance(n, m, width, seed):
    a, b = random(seed, n, width), 1.5 * random(seed + 1, m, width) + 0.3
    wanted = moments_distance(moments(a), moments(b))
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-5, abs=1e-5)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


@settings(max_examples=25)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=5), st.lists(st.integers(0, 2), min_size=5, max_size=5))
def test_weighing_sums_is_drawing_stories_again(counts, times):
    own = [random(n, count, 6) for n, count in enumerate(counts)]
    others = [random(50 + n, 3, 6) for n in range(3)]
    weights = np.array(times[: len(own)], dtype=float)
    drawn = [rows for rows, count in zip(own, times, strict=False) for _ in range(count)]
    if sum(map(len, drawn)) < 2:
        return
    for kernel in (cubic, gaussian):
        sums, again = kernel_sums(own, others, kernel), kernel_sums(drawn, others, kernel)
        for unbiased in (True, False):
            assert sums.distance(unbiased, weights) == pytest.approx(again.distance(unbiased), rel=1e-9, abs=1e-9)


def test_many_stories_are_drawn_again_in_groups():
    stories = [random(n, 2, 3) for n in range(300)]
    groups = grouped(stories, 256)
    assert len(groups) == 150
    assert np.array_equal(np.concatenate(groups), np.concatenate(stories))
    assert grouped(stories[:5], 256)[4] is not None
    found = kernel_interval(stories, stories[:10], "kid")
    assert found.value == pytest.approx(kernel_sums(stories, stories[:10], cubic).distance(True))


def test_kid_is_the_mean_over_all_pairs():
    a, b = random(0, 7, 4), random(1, 5, 4)

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return (x @ y / 4 + 1) ** 3

    within = [np.mean([k(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j]) for x in (a, b)]
    wanted = sum(within) - 2 * np.mean([k(x, y) for x in a for y in b])
    assert kernel_sums([a], [b], cubic).distance(True) == pytest.approx(wanted)


def test_a_spread_is_symmetric():
    found = spread_interval(2.0, lambda rng: rng.normal(), 2000)
    assert found.high - found.value == pytest.approx(found.value - found.low)
    assert found.high - found.value == pytest.approx(1.96, rel=0.1)


def test_shuffled_frames_follow_frames_of_other_stories():
    rows = [np.full((4, 1), story) + 10 * np.arange(4)[:, None] for story in range(3)]
    for one in shuffled(rows):
        assert (np.diff(one[:, 0] % 10) != 0).all()
        assert (one[:, 0] // 10 == np.arange(4)).all()


@pytest.fixture
def context(tmp_path):
    with RowCache(tmp_path / "rows.sqlite3") as cache:
        yield Context(Looker(cache, torch.device("cpu"), Silent()))


@pytest.fixture
def network(tmp_path):
    (tmp_path / "means.bin").write_bytes(b"weights")
    return Means(tmp_path / "means.bin")


def stories(folder: Path, count: int, frames: int, spread: int = 20) -> StorySet:
    """Stories of one colour each, with a little noise."""
    for number in range(count):
        colour = np.random.default_rng(number).integers(0, 255 - spread, 3)
        made = [(frame % spread + colour).astype(np.uint8) for frame in noise(number, frames)]
        pictures(folder / f"s{number}", made)
    with RowCache() as cache:
        return survey(str(folder), list_stories(folder), cache)


def test_controls_order_as_they_must(tmp_path, context, network):
    drawn, other = stories(tmp_path / "a", 5, 4), stories(tmp_path / "b", 4, 3)
    metric = Consistency("consistency", "", network)
    figure = metric.measure(drawn, Context(context.looker, other))
    assert figure.controls["same frame"] == pytest.approx(1)
    assert figure.controls["shuffled"] < figure.value < 1
    assert figure.controls["true pairs"] == pytest.approx(metric.measure(other, context).value)
    assert (figure.stories, figure.frames, len(figure.by_frame)) == (5, 20, 3)
    assert figure.low < figure.value < figure.high


def test_stories_of_one_frame_have_no_pairs(tmp_path, context, network):
    pictures(tmp_path / "set" / "a", noise(0, 1))
    pictures(tmp_path / "set" / "b", noise(1, 3))
    with RowCache() as cache:
        both = survey("set", list_stories(tmp_path / "set"), cache)
    figure = Consistency("consistency", "", network).measure(both, context)
    assert (figure.stories, figure.low, figure.controls["shuffled"]) == (1, None, None)
    assert figure.remarks[0] == "1 stories of one frame have no pairs"
    assert figure.remarks[1].startswith("one story: it has no interval")
    alone = StorySet("a", both.stories[:1])
    assert Consistency("consistency", "", network).measure(alone, context).value is None


def test_unequal_numbers_of_frames_are_not_compared(tmp_path, context, network):
    few, many = stories(tmp_path / "few", 2, 2), stories(tmp_path / "many", 3, 2)
    metrics = [Frechet("fd", "", network), KernelDistance("kid", "", network), Consistency("c", "", network)]
    found = evaluate([few, many], metrics, Context(context.looker, stories(tmp_path / "reference", 3, 2)))
    for name, row in found.figures.items():
        assert row["fd"].value is None, name
        assert row["fd"].remarks[0].startswith("refused: it falls with the number of frames")
        assert row["kid"].value is not None
    assert found.differences[many.name]["c"]["stories"] == 2  # those that both have
    assert found.figures[few.name]["kid"].details == {"reference_frames": 6}


def test_a_distance_says_its_numbers_of_frames(tmp_path, context, network):
    own, reference = stories(tmp_path / "a", 3, 2), stories(tmp_path / "b", 4, 3)
    figure = Frechet("fd", "", network).measure(own, Context(context.looker, reference))
    assert any("6 frames against 12" in remark for remark in figure.remarks)
    assert figure.low < figure.value < figure.high
    alone = Frechet("fd", "", network).measure(reference, Context(context.looker, reference))
    assert alone.value == pytest.approx(0, abs=1e-6)


def test_statistics_of_a_file_take_the_references_place(tmp_path, context, network):
    own, reference = stories(tmp_path / "a", 3, 2), stories(tmp_path / "b", 3, 2)
    rows = network.load(None)([frame for n in range(3) for frame in _frames(tmp_path / "b" / f"s{n}")])
    weights = hashlib.sha256(b"weights").hexdigest()
    write_statistics(tmp_path / "b.npz", Statistics(moments(rows), "none", weights))
    metric = Frechet("fd", "", network, read_statistics(tmp_path / "b.npz"))
    assert not metric.needs_reference
    wanted = Frechet("fd", "", network).measure(own, Context(context.looker, reference))
    assert metric.measure(own, context).value == pytest.approx(wanted.value, abs=1e-6)
    write_statistics(tmp_path / "c.npz", Statistics(moments(rows), "another resize", weights))
    with pytest.raises(ValueError, match="statistics are of resize 'another resize', here it is 'none'"):
        Frechet("fd", "", network, read_statistics(tmp_path / "c.npz")).measure(own, context)


def _frames(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]


@pytest.mark.parametrize("content", [b"", b"PK", b"not an archive"])
def test_a_damaged_file_of_statistics_is_one_line(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.npz: not a file of statistics"):
        read_statistics(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", mu=np.zeros(3))
    with pytest.raises(ValueError, match=r"b.npz: key .*sigma.* is missing"):
        read_statistics(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", mu=np.zeros(3), sigma=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"c.npz: not a file of statistics"):
        read_statistics(tmp_path / "c.npz")


def test_what_is_missing_names_file_and_source(tmp_path, network):
    there, missing = available([Frechet("fd", "", network), Consistency("c", "", network)], has_reference=False)
    assert [metric.name for metric in there] == ["c"]
    assert (missing[0].metric, missing[0].file) == ("fd", "--reference")


def moving(step: float, count: int = 16, fps: float | None = None) -> Clip:
    frame = np.zeros((128, 128, 3), np.uint8)
    return Clip(lambda number: np.full_like(frame, round(number * step)), count, fps)


@pytest.mark.parametrize(
    ("fps", "frames", "moves", "dynamic", "looked"),
    [
        (None, 16, 4, 1, 16),  # four of sixteen
        (None, 16, 3, 0, 16),
        (24.0, 32, 2, 0, 11),  # every third: three of eleven
        (24.0, 32, 3, 1, 11),
        (8.0, 32, 7, 0, 32),
        (8.0, 32, 8, 1, 32),
        (None, 2, 0, 1, 2),  # round(.5) is 0: two frames are always dynamic, so that three are asked for
    ],
)
def test_the_rate_decides_what_is_dynamic(fps, frames, moves, dynamic, looked):
    pairs = iter([7.0 if number < moves else 1.0 for number in range(frames)])

    def flow(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        made = torch.zeros(1, 2, 64, 64)
        made[0, 0, :4] = 2 * next(pairs)  # of 64 rows these are more than the largest 5 %
        return made

    row = dynamic_row(moving(1, frames, fps), flow)
    assert row.tolist() == [dynamic, moves, looked - 1, looked]


def test_frames_of_a_clip_are_read_once_and_in_order():
    """A movie is decoded forwards; a step back would decode it again."""
    read, clip = [], moving(3, 8)
    watched = clip._replace(frame=lambda number: read.append(number) or clip.frame(number))
    smooth_row(watched, lambda first, second: first)
    assert read == list(range(7))
    read.clear()
    dynamic_row(watched, lambda first, second: torch.zeros(1, 2, 16, 16))
    assert read == list(range(8))


def test_a_clip_that_moves_evenly_is_smooth():
    def middle(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return (first + second) / 2

    assert smooth_row(moving(3, 7), middle).tolist() == [1, 3]
    jerky = smooth_row(moving(3, 7), lambda first, second: first)
    assert jerky.tolist() == pytest.approx([(255 - 3) / 255, 3])


@pytest.mark.parametrize(("height", "width"), [(128, 160), (129, 130), (135, 143)])
def test_borders_are_repeated_and_cut_off(height, width):
    seen = []

    def run(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        seen.append(first.shape[-2:])
        return first

    frame = torch.rand(1, 3, height, width)
    assert torch.equal(padded(run, 16, keep=False)(frame, frame), frame)
    assert all(side % 16 == 0 for side in seen[0])
    assert padded(run, 8, keep=True)(frame, frame).shape[-2] == -(-height // 8) * 8


def test_the_two_resizes_differ_and_keep_flat_pictures():
    flat = np.full((40, 50, 3), 77, np.uint8)
    for resize in (classic, clean):
        assert resize(flat).shape == (1, 3, 299, 299)
        assert torch.allclose(resize(flat), torch.full((1, 3, 299, 299), 77.0), atol=1e-3)
    fine = noise(0, 1, 600, 600)[0]
    assert classic(fine).std() > 1.5 * clean(fine).std()  # one takes every second pixel, the other means


def test_time_left():
    clock = iter([0.0, 2.0, 4.0])
    rate = Rate(10, 2, lambda: next(clock))
    assert rate.text == "2/10, ? left"
    rate.done += 4
    assert rate.text == "6/10, 0:00:04 left"
