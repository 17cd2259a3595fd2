"""Plans on disk: built once, verified, rebuilt when damaged, bounded, safe among processes."""

import logging
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acdc.compile.cache import MANIFEST, PlanCache, default_root, intact

KEY = "0123abcd"


class Builder:
    """Writes a file of ``size`` bytes and counts how often it was asked."""

    def __init__(self, size: int = 10) -> None:
        self.size, self.built = size, 0

    def __call__(self, folder: Path) -> None:
        self.built += 1
        (folder / "plan.bin").write_bytes(b"x" * self.size)


@pytest.fixture
def plans(tmp_path):
    return PlanCache(tmp_path / "plans")


def test_a_plan_is_built_once(plans):
    build = Builder()
    first, second = (plans.entry(KEY, "stage", build) for _ in range(2))
    assert first == second
    assert (first / "plan.bin").read_bytes() == b"x" * 10
    assert build.built == 1
    assert [entry.what for entry in plans.entries()] == ["stage"]


def truncate(folder: Path) -> None:
    (folder / "plan.bin").write_bytes(b"x" * 9)


def flip(folder: Path) -> None:
    (folder / "plan.bin").write_bytes(b"x" * 9 + b"y")


def lose_file(folder: Path) -> None:
    (folder / "plan.bin").unlink()


def lose_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def foreign_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("[1, 2]")


def broken_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"\xff{")


@pytest.mark.parametrize("damage", [truncate, flip, lose_file, lose_manifest, foreign_manifest, broken_manifest])
def test_a_damaged_plan_is_built_again_with_one_line(plans, caplog, damage):
    build = Builder()
    damage(plans.entry(KEY, "stage", build))
    with caplog.at_level(logging.WARNING):
        folder = plans.entry(KEY, "stage", build)
    assert build.built == 2
    assert intact(folder)
    assert len(caplog.records) == 1
    assert "damaged" in caplog.text
    assert "\n" not in caplog.records[0].getMessage()


def test_a_build_that_fails_leaves_nothing(plans):
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        plans.entry(KEY, "stage", fail)
    assert list(plans.root.iterdir()) == []
    assert intact(plans.entry(KEY, "stage", Builder()))


def test_two_builders_of_one_plan_both_get_it(plans):
    """Both build, as two processes would that start at once; the one that comes second takes the first's."""
    together, found = threading.Barrier(2), []

    def build(folder: Path) -> None:
        (folder / "plan.bin").write_bytes(b"x")
        together.wait(10)

    threads = [threading.Thread(target=lambda: found.append(plans.entry(KEY, "stage", build))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [plans.root / KEY] * 2
    assert [path.name for path in plans.root.iterdir()] == [KEY]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(100, 400))
def test_what_was_used_longest_ago_makes_room(tmp_path_factory, sizes, limit):
    plans = PlanCache(tmp_path_factory.mktemp("plans"), limit)
    for number, size in enumerate(sizes):
        folder = plans.entry(f"{number:08x}", "stage", Builder(size))
        os.utime(folder, (number, number))
        assert folder.is_dir()  # the newest is never the one that goes
    kept = list(plans.entries())
    assert sum(entry.num_bytes for entry in kept) <= max(limit, kept[-1].num_bytes)
    names = sorted(entry.folder.name for entry in kept)
    assert names == [f"{number:08x}" for number in range(len(sizes) - len(names), len(sizes))]


def test_clear_and_the_folder_by_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ACDC_CACHE", str(tmp_path))
    plans = PlanCache()
    assert plans.root == default_root() == tmp_path / "plans"
    plans.entry(KEY, "stage", Builder())
    assert plans.clear() == 1
    assert list(plans.entries()) == []


def test_the_folder_follows_xdg(tmp_path, monkeypatch):
    monkeypatch.delenv("ACDC_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "acdc" / "plans"
