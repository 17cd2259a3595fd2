"""Rows of networks: computed once, kept through kills, the same whichever way they came about."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.bench.quality.extractor import Extractor
from acdc.bench.quality.items import ClipItem, FrameItem, PairItem, TextItem
from acdc.bench.quality.progress import Silent
from acdc.bench.quality.row_cache import RowCache
from acdc.bench.quality.sets.listing import list_stories
from acdc.bench.quality.sets.survey import FileFacts, survey
from tests.helpers.quality_folders import Means, noise, pictures

CPU = torch.device("cpu")


class Killed(BaseException):
    """Ends a run where it is."""


@pytest.fixture
def items(tmp_path):
    pictures(tmp_path / "frames", [*noise(0, 10), noise(0)[0]])
    with RowCache() as cache:
        (story,) = survey("frames", list_stories(tmp_path / "frames"), cache).stories
    return [FrameItem(picture) for picture in story.pictures]


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "means.bin"
    path.write_bytes(b"weights")
    return path


def test_equal_pictures_are_computed_once_and_rows_keep_their_order(items, weights):
    network = Means(weights)
    with RowCache() as cache:
        rows = Extractor(cache, CPU, Silent()).rows(network, items)
    assert network.batches == 3  # of 10 different pictures
    assert np.array_equal(rows[0], rows[10])
    assert np.allclose(rows, [noise(0, 10)[n % 10].mean((0, 1)) / 255 for n in range(11)])


@pytest.mark.parametrize("stop", range(3))
def test_a_killed_run_continues_and_gives_the_same_rows(items, weights, tmp_path, stop):
    def kill(batch: int) -> None:
        if batch == stop:
            raise Killed

    path = tmp_path / "rows.sqlite3"
    with pytest.raises(Killed), RowCache(path) as cache:
        Extractor(cache, CPU, Silent()).rows(Means(weights, kill), items)
    resumed = Means(weights)
    with RowCache(path) as cache:
        rows = Extractor(cache, CPU, Silent()).rows(resumed, items)
    with RowCache() as cache:
        whole = Extractor(cache, CPU, Silent()).rows(Means(weights), items)
    assert np.array_equal(rows, whole)
    assert resumed.batches == 3 - stop
    with RowCache(path) as cache:
        again = Means(weights)
        assert np.array_equal(Extractor(cache, CPU, Silent()).rows(again, items), whole)
    assert (again.loads, again.batches) == (0, 0)


def test_other_weights_and_another_preprocessing_have_rows_of_their_own(items, weights, tmp_path):
    with RowCache(tmp_path / "rows.sqlite3") as cache:
        Extractor(cache, CPU, Silent()).rows(Means(weights), items)
        other = Means(weights)
        other.preprocessing = "upside down"
        Extractor(cache, CPU, Silent()).rows(other, items)
        weights.write_bytes(b"other weights")
        third = Means(weights)
        Extractor(cache, CPU, Silent()).rows(third, items)
    assert other.batches == third.batches == 3


def test_one_network_at_a_time_is_loaded(items, weights):
    first, second = Means(weights), Means(weights)
    second.name = "others"
    with RowCache() as cache:
        extractor = Extractor(cache, CPU, Silent())
        for network in (first, first, second):
            extractor.rows(network, items[:2])
        extractor.rows(first, items)
    assert (first.loads, second.loads) == (2, 1)


def test_a_number_that_is_not_finite_is_refused(items, weights, monkeypatch):
    network = Means(weights)
    monkeypatch.setattr(network, "load", lambda device: lambda frames: np.full((len(frames), 2), np.nan, np.float32))
    with RowCache() as cache, pytest.raises(ValueError, match="means gave a number that is not finite"):
        Extractor(cache, CPU, Silent()).rows(network, items)


def test_memory_that_runs_out_is_one_line(items, weights, monkeypatch):
    network = Means(weights)

    def compute(frames):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(network, "load", lambda device: compute)
    with RowCache() as cache, pytest.raises(ValueError, match="means ran out of memory; choose --device cpu"):
        Extractor(cache, CPU, Silent()).rows(network, items)


def test_a_cache_that_is_something_else_is_one_line(tmp_path):
    path = tmp_path / "rows.sqlite3"
    path.write_bytes(b"something else entirely, and long enough to be looked at" * 100)
    with pytest.raises(ValueError, match=r"rows.sqlite3: not a cache of evaluations .*delete it"):
        RowCache(path)


def test_a_row_that_is_there_does_not_change(tmp_path):
    with RowCache(tmp_path / "a") as cache:
        cache.put("net", {"x": np.array([1.0], np.float32)})
        cache.put("net", {"x": np.array([2.0], np.float32)})
        assert cache.get("net", ["x", "y"])["x"].tolist() == [1.0]
        cache.remember("d", FileFacts(2, 3, 1, None, "picture"))
        cache.save()
    assert sqlite3.connect(tmp_path / "a").execute("SELECT kind FROM files").fetchall() == [("picture",)]


@pytest.mark.long
@settings(max_examples=20)
@given(st.lists(st.text(max_size=5), max_size=3), st.lists(st.text(max_size=5), max_size=3))
def test_keys_of_texts_differ_where_texts_do(first, second):
    assert ([TextItem(text).key for text in first] == [TextItem(text).key for text in second]) == (first == second)


def test_keys_of_clips_know_order_and_rate(items):
    a, b = items[0].picture, items[1].picture
    keys = {ClipItem(pair, fps).key for pair in ((a, b), (b, a), (a,)) for fps in (None, 8.0, 24.0)}
    assert len(keys) == 9
    assert PairItem(a, "x").key != PairItem(a, "y").key
