"""Conversions that happen once, and weights in several files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

from acdc.engine.loading.converted import converted, find
from acdc.engine.loading.shards import INDEX, load_shards, write_shards

SIZE = 3 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "params").write_bytes(bytes(SIZE))
    return tmp_path / "params"


def test_who_comes_at_the_same_time_waits_for_the_first(source: Path) -> None:
    calls = []

    def convert(path: Path, folder: Path) -> None:
        calls.append(path)
        time.sleep(0.1)
        (folder / "made").write_text("whole")

    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: converted(source, convert, 1), range(4)))
    assert calls == [source]
    assert {(folder / "made").read_text() for folder in folders} == {"whole"}


def test_a_conversion_that_fails_leaves_nothing(source: Path) -> None:
    def convert(path: Path, folder: Path) -> None:
        (folder / "half").write_text("")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        converted(source, convert, 1)
    assert find(source) == []
    assert [left.name for left in (source.parent / "converted").iterdir()] == [".params.lock"]


def test_what_a_killed_run_left_is_removed_before_room_is_looked_for(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = source.parent / "converted" / ".params.part"
    left.mkdir(parents=True)
    (left / "half").write_text("")
    usage = shutil.disk_usage(source.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=9 if left.exists() else 10))
    with pytest.raises(ValueError, match="needs 11 bytes there once converted, 10 are free"):
        converted(source, lambda path, folder: None, 11)
    assert list(converted(source, lambda path, folder: None, 10).iterdir()) == []


def copy_whole(path: Path, folder: Path) -> None:
    shutil.copy(path, folder / "made")


@pytest.mark.parametrize("at", [0, SIZE // 3, SIZE - 1])
def test_a_file_that_changed_anywhere_is_converted_again(source: Path, at: int) -> None:
    before = converted(source, copy_whole, 1)
    times = source.stat()
    with source.open("r+b") as file:
        file.seek(at)
        file.write(b"1")
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = converted(source, copy_whole, 1)
    assert after != before
    assert (after / "made").read_bytes() == source.read_bytes()


def test_a_conversion_of_an_earlier_version_serves_unless_the_file_changed_since(source: Path) -> None:
    digest = hashlib.sha256(str(SIZE).encode() + bytes(3 << 20)).hexdigest()[:16]  # size, then three samples of it
    old = source.parent / "converted" / f"params-{digest}"
    old.mkdir(parents=True)
    later = source.stat().st_ctime + 1
    os.utime(old, (later, later))
    assert converted(source, copy_whole, 1) == old
    os.utime(old, (later - 2, later - 2))
    assert converted(source, copy_whole, 1) != old


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4, bias=False))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    state = model().state_dict()
    write_shards(tmp_path, iter([{key: state[key]} for key in state]), len(state))
    return tmp_path


def test_shards_round_trip(folder: Path) -> None:
    torch.manual_seed(0)
    wanted = model().state_dict()
    with torch.device("meta"):
        loaded = model()
    load_shards(loaded, folder, "cpu", torch.float32)
    assert all(torch.equal(value, wanted[key]) for key, value in loaded.state_dict().items())
    index = json.loads((folder / INDEX).read_text())
    assert index["metadata"]["total_size"] == 4 * (6 + 2 + 8)
    assert index["weight_map"]["1.weight"] == "model-00003-of-00003.safetensors"
    load_shards(loaded, folder, "cpu", torch.bfloat16)
    assert loaded[0].weight.dtype == torch.bfloat16


def _index(change: Callable[[dict[str, str]], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text())
        change(index["weight_map"])
        (folder / INDEX).write_text(json.dumps(index))

    return apply


FIRST = "model-00001-of-00003.safetensors"


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: (f / INDEX).unlink(), r"index\.json: no such file"),
        (lambda f: (f / INDEX).write_text("{}"), r"index\.json: 'weight_map' is missing"),
        (_index(lambda places: places.update({"0.bias": 5})), r"index\.json: 'weight_map' names no file for '0\.bias'"),
        (_index(lambda places: places.update({"0.bias": [FIRST]})), r"index\.json: 'weight_map' names no file"),
        (_index(lambda places: places.pop("0.bias")), r"index\.json: key '0\.bias' is missing"),
        (_index(lambda places: places.update(more=FIRST)), r"index\.json: key 'more' is unexpected"),
        (
            _index(lambda places: places.update({"0.bias": FIRST})),
            r"00001-of-00003\.safetensors: key '0\.bias' is missing",
        ),
        (lambda f: (f / FIRST).unlink(), r"00001-of-00003\.safetensors: no such file"),
        (lambda f: (f / FIRST).write_bytes(b"12"), r"00001-of-00003\.safetensors: not a complete safetensors file"),
        (
            lambda f: write_shards(f, iter([{"0.weight": torch.ones(2, 2), "0.bias": torch.ones(2)}]), 1),
            r"index\.json: key '1\.weight' is missing",
        ),
        (
            lambda f: write_shards(
                f, iter([{"0.weight": torch.ones(2, 2), "0.bias": torch.ones(2), "1.weight": torch.ones(4, 2)}]), 1
            ),
            r"00001-of-00001\.safetensors: key '0\.weight' has shape \[2, 2\], expected \[2, 3\]",
        ),
    ],
)
def test_broken_shards_are_named_in_one_line(folder: Path, break_it: Callable[[Path], object], message: str) -> None:
    break_it(folder)
    with pytest.raises(ValueError, match=message) as caught:
        load_shards(model(), folder, "cpu", torch.float32)
    assert "\n" not in str(caught.value)
