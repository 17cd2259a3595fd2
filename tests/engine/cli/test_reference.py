"""``acdc reference``: one picture a sentence; nothing is lost, overwritten or drawn twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acdc.engine import TextToImage
from acdc.engine.cli.main import main
from acdc.engine.loading import stable_diffusion_xl
from tests.helpers.cli_runs import files, refuse
from tests.helpers.small_sdxl import SIZES

pytestmark = pytest.mark.usefixtures("own_folder")
SENTENCES = ["Benny the beagle sat in a garden.", "He jumped.", "Benny slept."]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stable_diffusion_xl, "SIZES", SIZES)


def run(*argv: str) -> int:
    return main(["reference", *argv, "--random-weights", "--steps", "2"])


def record(directory: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(directory) / "reference.json").read_text())
    return found


def pngs(directory: str = "out") -> dict[str, bytes]:
    return {name: data for name, data in files(directory).items() if name.endswith(".png")}


def test_one_picture_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*SENTENCES, "--out", "out", "--seed", "3") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("out: 3 pictures in")
    assert "picture 3/3: out/picture_00003.png" in printed.err
    assert sorted(pngs()) == ["picture_00001.png", "picture_00002.png", "picture_00003.png"]
    found = record()
    assert [picture["prompt"] for picture in found["pictures"]] == SENTENCES
    assert all(picture["finished"] for picture in found["pictures"])
    assert {name: found["settings"][name] for name in ("seed", "steps", "size")} == {"seed": 3, "steps": 2, "size": 64}
    painter = TextToImage.from_pretrained(random_weights=True, steps=2)
    wanted = painter(SENTENCES[1], seed=3, index=1)
    assert np.array_equal(np.asarray(Image.open("out/picture_00002.png")), np.asarray(wanted))
    assert sorted(Path("out").glob(".*")) == []


def test_sentences_from_a_file_and_from_stories(capsys: pytest.CaptureFixture[str]) -> None:
    Path("lines.txt").write_text("A cat.\n  A dog.\n")
    assert run("--prompts", "lines.txt", "--out", "out", "--size", "32", "--json") == 0
    assert json.loads(capsys.readouterr().out) == record()
    assert [picture["prompt"] for picture in record()["pictures"]] == ["A cat.", "A dog."]
    assert Image.open("out/picture_00002.png").size == (32, 32)
    Path("stories.jsonl").write_text('{"sentences": ["A cat.", "A dog."]}\n{"sentences": ["A fox."]}\n')
    assert run("--prompts", "stories.jsonl", "--out", "many", "--size", "32") == 0
    assert [picture["prompt"] for picture in record("many")["pictures"]] == ["A cat.", "A dog.", "A fox."]
    assert pngs("out").items() <= pngs("many").items()  # noise is of the number, however many there are


@pytest.mark.long
@pytest.mark.parametrize("stop_at", range(3))
def test_resume_after_an_interrupt_draws_nothing_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stop_at: int
) -> None:
    assert run(*SENTENCES, "--out", "whole") == 0
    calls: list[int] = []
    real: Callable[..., Any] = TextToImage.__call__

    def counted(self: TextToImage, prompt: str, **how: Any) -> Any:
        if len(calls) == stop_at and "stop" not in marks:
            marks.add("stop")
            raise KeyboardInterrupt
        calls.append(how["index"])
        return real(self, prompt, **how)

    marks: set[str] = set()
    monkeypatch.setattr(TextToImage, "__call__", counted)
    assert run(*SENTENCES, "--out", "out") == 130
    assert f"interrupted after {stop_at} of 3 pictures" in capsys.readouterr().err
    assert run(*SENTENCES, "--out", "out", "--resume") == 0
    assert calls == [0, 1, 2]
    assert pngs("whole") == pngs("out")
    capsys.readouterr()
    assert run(*SENTENCES, "--out", "out", "--resume") == 0
    assert "nothing to resume" in capsys.readouterr().out
    Path("out/picture_00002.png").unlink()
    assert run(*SENTENCES, "--out", "out", "--resume") == 0
    assert calls == [0, 1, 2, 1]
    assert pngs("whole") == pngs("out")


@pytest.mark.long
def test_resume_of_another_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    own = ["--random-weights", "--out", "out"]
    assert run(*SENTENCES, "--out", "out") == 0
    before = files("out")
    capsys.readouterr()
    for argv, text in (
        ([*SENTENCES[:2], "--steps", "2", "--resume"], "the number of sentences was 3, now 2"),
        ([*SENTENCES[:2], "A fox.", "--steps", "2", "--resume"], "sentence 3 was 'Benny slept.', now 'A fox.'"),
        ([*SENTENCES, "--steps", "4", "--resume"], "steps was 2, now 4"),
        ([*SENTENCES, "--steps", "2", "--seed", "1", "--resume"], "seed was 0, now 1"),
        ([*SENTENCES, "--steps", "2", "--size", "32", "--resume"], "size was 64, now 32"),
        ([*SENTENCES, "--steps", "2"], "exists already; choose --resume, --overwrite or another --out"),
    ):
        assert text in refuse(capsys, "reference", *argv, *own)
    assert files("out") == before
    assert run("A fox.", "--out", "out", "--overwrite") == 0
    assert sorted(files("out")) == ["picture_00001.png", "reference.json"]  # no picture of the longer run stays


def test_a_prompt_that_is_too_long_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cut(self: TextToImage, *_: Any, **__: Any) -> Image.Image:
        self.cut_prompt = "Benny the beagle"
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr(TextToImage, "__call__", cut)
    assert run(*SENTENCES[:1], "--out", "out") == 0
    assert "picture_00001.png: the prompt is too long" in capsys.readouterr().err
    assert record()["pictures"][0]["cut_prompt"] == "Benny the beagle"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "no sentence given; give SENTENCES or --prompts FILE"),
        (["A cat.", "--prompts", "a.txt"], "given together"),
        (["A cat.", " "], "sentence 2 is empty"),
        (["--prompts", "none.txt"], "prompts file 'none.txt' does not exist"),
        (["A cat."], "no model given; give --model"),
        (["A cat.", "--model", "nowhere"], "the number of steps is not known"),
        (["A cat.", "--model", "nowhere", "--steps", "4"], "nowhere: no such directory"),
        (["A cat.", "--random-weights", "--model", "x"], "a directory and random weights are given together"),
        (["A cat.", "--random-weights", "--unet", "x"], "unet and random weights are given together"),
        (["A cat.", "--random-weights", "--size", "100"], "size 100 is impossible; choose a multiple of 8"),
        (["A cat.", "--random-weights", "--size", "8192"], "size 8192 is impossible"),
        (["A cat.", "--random-weights", "--steps", "2000"], "steps 2000 is out of range; choose 1 to 1000"),
        (["A cat.", "--random-weights", "--seed", "-1"], "seed -1 is out of range"),
        (["A cat.", "--random-weights", "--device", "cuda:99"], "device 'cuda:99' is not available"),
        (["A cat.", "--resume", "--overwrite"], "given together"),
        (["A cat.", "--out", ""], "--out is empty"),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], argv: list[str], words: str) -> None:
    assert words in refuse(capsys, "reference", *argv)
    assert not Path("out").exists()


def test_numbers_that_are_not_finite_make_no_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = stable_diffusion_xl.make_sdxl

    def damaged(*args: Any) -> Any:
        model = real(*args)
        model.unet.conv_out.bias.fill_(float("nan"))
        return model

    monkeypatch.setattr("acdc.engine.text_to_image.make_sdxl", damaged)
    assert run(*SENTENCES, "--out", "out") == 2
    assert "numbers that are not finite in float32" in capsys.readouterr().err
    assert pngs() == {}
