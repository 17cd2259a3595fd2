"""Figures of folders: controls that order as they must, numbers of frames, files of statistics."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from acdc.bench.quality.evaluate import available, evaluate
from acdc.bench.quality.extractor import Extractor
from acdc.bench.quality.frechet import moments
from acdc.bench.quality.metric import Context
from acdc.bench.quality.metrics.consistency import Consistency
from acdc.bench.quality.metrics.distances import Frechet, KernelDistance
from acdc.bench.quality.progress import Silent
from acdc.bench.quality.row_cache import RowCache
from acdc.bench.quality.sets.listing import list_stories
from acdc.bench.quality.sets.story_set import StorySet
from acdc.bench.quality.sets.survey import survey
from acdc.bench.quality.statistics_file import Statistics, read_statistics, write_statistics
from tests.helpers.quality_folders import Means, noise, pictures


@pytest.fixture
def context(tmp_path):
    with RowCache(tmp_path / "rows.sqlite3") as cache:
        yield Context(Extractor(cache, torch.device("cpu"), Silent()))


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
    figure = metric.measure(drawn, Context(context.extractor, other))
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
    found = evaluate([few, many], metrics, Context(context.extractor, stories(tmp_path / "reference", 3, 2)))
    for name, row in found.figures.items():
        assert row["fd"].value is None, name
        assert row["fd"].remarks[0].startswith("refused: it falls with the number of frames")
        assert row["kid"].value is not None
    assert found.differences[many.name]["c"]["stories"] == 2  # those that both have
    assert found.figures[few.name]["kid"].details == {"reference_frames": 6}


def test_a_distance_says_its_numbers_of_frames(tmp_path, context, network):
    own, reference = stories(tmp_path / "a", 3, 2), stories(tmp_path / "b", 4, 3)
    figure = Frechet("fd", "", network).measure(own, Context(context.extractor, reference))
    assert any("6 frames against 12" in remark for remark in figure.remarks)
    assert figure.low < figure.value < figure.high
    alone = Frechet("fd", "", network).measure(reference, Context(context.extractor, reference))
    assert alone.value == pytest.approx(0, abs=1e-6)


def test_statistics_of_a_file_take_the_references_place(tmp_path, context, network):
    own, reference = stories(tmp_path / "a", 3, 2), stories(tmp_path / "b", 3, 2)
    rows = network.load(None)([frame for n in range(3) for frame in _frames(tmp_path / "b" / f"s{n}")])
    weights = hashlib.sha256(b"weights").hexdigest()
    write_statistics(tmp_path / "b.npz", Statistics(moments(rows), "none", weights))
    metric = Frechet("fd", "", network, read_statistics(tmp_path / "b.npz"))
    assert not metric.needs_reference
    wanted = Frechet("fd", "", network).measure(own, Context(context.extractor, reference))
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
