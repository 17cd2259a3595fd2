"""Plans on disk: built once, verified, rebuilt when damaged, bounded, safe among processes."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acdc.compile.cache import DAY, PlanCache, default_root
from acdc.compile.entry import MANIFEST, find_adjacent, intact

KEY = "0123abcd"
PARENT = str(Path(__file__).parents[3])


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


@pytest.fixture
def homeless(monkeypatch):
    """A container's user: no HOME, and no entry for its number."""

    def unknown(_):
        raise KeyError("uid not found: 12345")

    for name in ("ACDC_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_a_user_without_a_home_gets_a_temporary_folder_and_one_warning(homeless, caplog):
    plans, build = PlanCache(), Builder()
    assert plans.root is None
    assert warnings_of(caplog) == [], "an engine that builds no plan need not know"
    first = plans.entry(KEY, "stage", build)
    assert plans.shallow_copy().entry(KEY, "stage", build) == first, "slots share it"
    plans.entry("4567", "other", build)
    assert build.built == 2
    (said,) = warnings_of(caplog)
    assert "this user has no home folder" in said
    assert "ACDC_CACHE" in said


def test_a_folder_where_none_can_be_made_is_said_once(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    plans = PlanCache(tmp_path / "file" / "plans")
    for key in (KEY, "4567"):
        assert intact(plans.entry(key, "stage", Builder()))
    assert len(warnings_of(caplog)) == 1
    with pytest.raises(ValueError, match=r"plans cannot be kept: .*set ACDC_CACHE"):
        plans.check_kept()


@pytest.fixture
def read_only(monkeypatch):
    """Makes everything below a folder refuse to be changed, also for a superuser."""

    def install(root: Path) -> None:
        def refusing(real):
            def call(path, *args, **kwargs):
                if Path(path).is_relative_to(root):
                    raise PermissionError(13, "Permission denied", str(path))
                return real(path, *args, **kwargs)

            return call

        for owner, name in ((os, "utime"), (os, "mkdir"), (os, "rmdir"), (os, "unlink"), (Path, "write_bytes")):
            monkeypatch.setattr(owner, name, refusing(getattr(owner, name)))
        make = tempfile.mkdtemp

        def mkdtemp(suffix=None, prefix=None, dir=None):
            return refusing(lambda _: make(suffix, prefix, dir))(dir or "")

        monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)

    return install


def test_a_folder_that_may_only_be_read_is_used(plans, read_only, caplog):
    build = Builder()
    folder = plans.entry(KEY, "stage", build)
    read_only(plans.root)
    assert PlanCache(plans.root).entry(KEY, "stage", build) == folder
    assert build.built == 1
    assert warnings_of(caplog) == []


def test_what_is_not_there_is_built_elsewhere_and_said_once(plans, read_only, caplog):
    plans.entry(KEY, "stage", Builder())
    read_only(plans.root)
    other = PlanCache(plans.root)
    for key in ("4567", "89ab"):
        assert intact(other.entry(key, "stage", Builder()))
    assert len(list(other.entries())) == 3
    (said,) = warnings_of(caplog)
    assert "Permission denied" in said


def test_a_damaged_plan_that_may_not_be_removed_is_built_elsewhere(plans, read_only):
    flip(plans.entry(KEY, "stage", Builder()))
    read_only(plans.root)
    other = PlanCache(plans.root)
    folder = other.entry(KEY, "stage", Builder())
    assert intact(folder)
    assert not folder.is_relative_to(plans.root)


def test_a_file_that_cannot_be_kept_next_to_the_plan_costs_one_line(plans, read_only, caplog):
    folder = plans.entry(KEY, "stage", Builder())
    read_only(plans.root)
    for name in ("one", "two"):
        plans.keep(folder, name, b"code")
        assert find_adjacent(folder, name) is None
    assert len(warnings_of(caplog)) == 1


def test_a_full_disk_is_an_error(plans, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(OSError, match="No space left"):
        plans.entry(KEY, "stage", Builder())


KILLED = """
import os, signal, sys
from pathlib import Path
from acdc.compile.cache import PlanCache

def build(folder):
    (folder / "plan.bin").write_bytes(b"x" * 1000)
    os.kill(os.getpid(), signal.SIGKILL)

PlanCache(Path(sys.argv[1])).entry("0123abcd", "stage", build)
"""


def test_what_a_killed_process_left_is_counted_cleared_and_swept(plans):
    def left() -> list[str]:
        return sorted(path.name for path in plans.root.iterdir())

    ended = subprocess.run([sys.executable, "-c", KILLED, str(plans.root)], env={**os.environ, "PYTHONPATH": PARENT})
    assert ended.returncode == -signal.SIGKILL
    (staging,) = left()
    assert [entry.num_bytes for entry in plans.others()] == [1000]
    plans.entry("4567", "stage", Builder())
    assert staging in left(), "it may belong to a process that still builds"
    os.utime(plans.root / staging, (0, time.time() - DAY - 1))
    plans.entry("89ab", "stage", Builder())
    assert left() == ["4567", "89ab"]
    subprocess.run([sys.executable, "-c", KILLED, str(plans.root)], env={**os.environ, "PYTHONPATH": PARENT})
    assert plans.clear() == 2
    assert left() == []


def test_what_was_left_half_written_counts_against_the_limit(tmp_path):
    plans = PlanCache(tmp_path, limit=2000)
    plans.entry(KEY, "stage", Builder(500))
    (tmp_path / ".4567.part").mkdir()
    (tmp_path / ".4567.part" / "plan.bin").write_bytes(b"x" * 1400)
    plans.entry("89ab", "stage", Builder(500))
    assert [entry.folder.name for entry in plans.entries()] == ["89ab"]


def test_clear_removes_what_backends_measured_and_what_a_compiler_was_refused(plans):
    plans.keep(plans.entry(KEY, "stage", Builder()), "refused-0123", b"died of SIGFPE")
    (plans.root / "tensorrt.timings").write_bytes(b"timings")
    (plans.root / "notes.txt").write_text("a user's own")
    assert [entry.what for entry in plans.others()] == ["tensorrt.timings"]
    assert plans.clear() == 1
    assert [path.name for path in plans.root.iterdir()] == ["notes.txt"]
