"""``acdc generate``: what it refuses in one line, before anything is drawn."""

import os
from pathlib import Path

import pytest

from tests.helpers.cli_runs import files, refuse
from tests.helpers.generate_runs import write_file

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], ["--stories"]),
        (["--stories", "none.jsonl"], ["none.jsonl", "cannot be read"]),
        (["--stories", "."], ["cannot be read"]),
        (["--stories", ""], ["--stories is empty"]),
        (["--stories", "s.jsonl", "--out", ""], ["--out is empty"]),
        (["--stories", "s.jsonl", "--resume", "--overwrite"], ["choose one"]),
        (["--stories", "s.jsonl", "--slots", "0"], ["--slots", "x>=1"]),
        (["--stories", "s.jsonl", "--run-ahead", "-1"], ["--run-ahead", "x>=0"]),
        (["--stories", "s.jsonl", "--strength", "2"], ["2.0", "strength"]),
        (["--stories", "s.jsonl", "--seed", "-1"], ["-1", "0 to"]),
        (["--stories", "s.jsonl", "--out", "s.jsonl"], ["not a directory"]),
        (["--stories", "s.jsonl", "--init-image", "x.png"], ["--init-image"]),
        (["--stories", "s.jsonl", "--memory", "chat"], ["API key"]),
        (["--stories", "s.jsonl", "--bundle", "none"], ["none"]),
        (["--stories", "bad.jsonl"], ["bad.jsonl", "line 2"]),
    ],
)
def test_in_one_line_and_nothing_is_written(capsys, monkeypatch, argv, words):
    for name in ("ACDC_CHAT_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    write_file([1])
    write_file([1, {}], "bad.jsonl")
    before = files(".")
    line = refuse(capsys, "generate", *argv)
    assert all(word in line for word in words), line
    assert files(".") == before
    assert not Path("out").exists()


@pytest.mark.parametrize("taken", ["000002", "000002/frames"])
def test_a_folder_that_cannot_be_one_before_anything_is_drawn(capsys, many, taken):
    engine = many()
    place = Path("o") / taken
    place.parent.mkdir(parents=True)
    place.touch()
    for option in ("--resume", "--overwrite"):
        line = refuse(capsys, "generate", "--stories", write_file([1, 1, 1]), "--out", "o", option)
        assert f"/o/{taken}' is not a directory" in line
    assert "is not a directory" in refuse(capsys, "generate", "--stories", "s.jsonl", "--out", "o")
    assert engine.run is None
    assert set(files("o")) == {taken}


def test_a_folder_that_may_not_be_written(capsys, many, monkeypatch):
    many()
    Path("o/000002").mkdir(parents=True)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "000002" and allowed(path, mode))
    line = refuse(capsys, "generate", "--stories", write_file([1, 1]), "--out", "o")
    assert "000002' is not writable" in line
    assert files("o") == {}


def test_settings_that_the_model_refuses(capsys, exact):
    refuse(capsys, "generate", "--stories", write_file([1]), "--layout", "carry-over")
    assert not Path("out").exists()
