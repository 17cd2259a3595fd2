"""Digests of files that are kept, so that a large file is read once and a changed one again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from acdc.engine.utils import file_digest as module
from acdc.engine.utils.file_digest import SETTLED, file_digest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "weights").write_bytes(b"one" * 1000)
    return tmp_path / "weights"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for results; files count as settled at once."""
    monkeypatch.setattr(module, "SETTLED", -1.0)
    return tmp_path / "kept"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("read again"))


def test_a_file_is_read_once(file: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = sha256(file)
    assert file_digest(file, kept) == wanted
    forbid_reading(monkeypatch)
    assert file_digest(file, kept) == wanted
    (file.parent / "link").symlink_to(file)
    assert file_digest(file.parent / "link", kept) == wanted, "by whichever name"


def test_a_change_under_the_same_size_and_time_is_seen(file: Path, kept: Path) -> None:
    before, times = file_digest(file, kept), file.stat()
    with file.open("r+b") as opened:
        opened.seek(1500)
        opened.write(b"X")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file_digest(file, kept) == sha256(file) != before


def test_another_file_in_its_place_is_seen(file: Path, kept: Path) -> None:
    before, times = file_digest(file, kept), file.stat()
    other = file.with_name("other")
    other.write_bytes(b"two" * 1000)
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.replace(other, file)
    assert file_digest(file, kept) == sha256(file) != before


def test_a_file_that_just_changed_is_not_trusted(file: Path, tmp_path: Path) -> None:
    """Within one tick of the clock a second change leaves all times as they were."""
    assert SETTLED >= 2, "file systems count whole seconds, some two"
    file_digest(file, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"file": []}', '{"sha256": "00"}', "\x00" * 9, "[" * 100_000])
def test_a_damaged_note_is_not_an_answer(file: Path, kept: Path, content: str) -> None:
    file_digest(file, kept)
    (note,) = kept.iterdir()
    note.write_text(content)
    assert file_digest(file, kept) == sha256(file)
    assert json.loads(note.read_text())["sha256"] == sha256(file), "and is written again"


def test_a_place_that_cannot_be_written_costs_time_alone(file: Path, kept: Path) -> None:
    kept.write_text("a file where the folder would be")
    assert file_digest(file, kept) == sha256(file)


def test_nobody_has_a_home(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(module, "default_root", homeless)
    assert file_digest(file) == sha256(file)
