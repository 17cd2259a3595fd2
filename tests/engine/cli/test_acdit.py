"""``acdc acdit``: pictures and clips block by block; nothing is lost, overwritten or drawn twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acdc.engine import ACDiTPipeline, ClassRequest
from acdc.engine.acdit.phases import BlockPhases
from acdc.engine.acdit.request import BlockDone, RequestFailed
from acdc.engine.cli.main import main
from acdc.engine.outputs import Phase
from tests.helpers.cli_runs import files, refuse
from tests.helpers.small_acdit import CLIP, PICTURE, write_acdit, write_vae

pytestmark = pytest.mark.usefixtures("own_folder")
QUICK = ["--steps", "1", "--out", "out"]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("published")
    vae = ["--vae", str(write_vae(folder / "DiT-XL-2-256"))]
    return {
        name: ["--model", str(write_acdit(folder / f"ACDiT-S-{name}.pt", config)), *vae]
        for name, config in (("img", PICTURE), ("vid", CLIP))
    }


@pytest.fixture
def picture(published: dict[str, list[str]]) -> list[str]:
    return published["img"]


@pytest.fixture
def clip(published: dict[str, list[str]]) -> list[str]:
    return published["vid"]


def run(*argv: str) -> int:
    return main(["acdit", *argv])


def record(directory: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(directory) / "acdit.json").read_text())
    return found


def shown(directory: str = "out") -> dict[str, bytes]:
    return {name: data for name, data in files(directory).items() if name.endswith((".png", ".gif"))}


def test_pictures_of_two_classes(picture: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--class", "3", "--class", "1", "--count", "2", "--seed", "4", *QUICK, *picture]
    assert run(*argv) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("out: 4 pictures in")
    assert "picture 4/4: out/class_" in printed.err
    names = [f"class_{label}_seed_{seed}.png" for label in (1, 3) for seed in (4, 5)]
    assert sorted(files("out")) == sorted([*names, "acdit.json"])
    found = record()
    assert {one["image"] for one in found["pictures"]} == set(names)
    assert all(one["finished"] and one["seconds"] >= 0 for one in found["pictures"])
    settings = found["settings"]
    assert (settings["steps"], settings["guidance_scale"], settings["blocks"]) == (1, 1.5, 4)
    pipeline = ACDiTPipeline.from_pretrained(picture[1], vae=picture[3])
    (wanted,) = pipeline(3, seed=5, steps=1)
    made = np.asarray(Image.open("out/class_3_seed_5.png")).astype(int)
    assert np.abs(made - np.asarray(wanted)).max() <= 1  # batches round otherwise
    assert run(*argv, "--overwrite", "--concurrency", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out) == record()
    assert np.array_equal(np.asarray(Image.open("out/class_3_seed_5.png")), np.asarray(wanted))


def test_a_clip_is_streamed_frame_by_frame(
    clip: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there: list[int] = []
    real = BlockPhases.run

    def noted(self: BlockPhases, phase: Phase, requests: Any) -> None:
        there.append(len(list(Path("out").glob("class_2_seed_0/*.png"))))
        real(self, phase, requests)

    monkeypatch.setattr(BlockPhases, "run", noted)
    assert run("--class", "2", *QUICK, *clip) == 0
    assert there == [0, 0, 2, 2, 2, 4, 4, 4]
    frames = sorted(Path("out/class_2_seed_0").iterdir())
    assert [path.name for path in frames] == [f"frame_0{number}.png" for number in range(1, 7)]
    with Image.open("out/class_2_seed_0.gif") as movie:
        assert movie.n_frames == 6
    assert record()["settings"]["guidance_scale"] == 2.5
    assert not list(Path("out").glob("*.safetensors"))
    capsys.readouterr()


class Stop:
    """Ctrl-C when the next block after ``blocks`` ones is to be computed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
        self.left, self.drawn = blocks, 0
        real = BlockPhases.sample

        def sample(phases: BlockPhases, requests: Any) -> None:
            if self.left == 0:
                self.left = -1
                raise KeyboardInterrupt
            self.left -= 1
            self.drawn += len(requests)
            real(phases, requests)

        monkeypatch.setattr(BlockPhases, "sample", sample)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "stops"), [("img", (0, 3)), ("vid", (4,))])
def test_resume_goes_on_after_the_last_finished_block(
    published: dict[str, list[str]],
    kind: str,
    stops: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ["--class", "1", "--class", "2", "--concurrency", "1", "--steps", "1", *published[kind]]
    assert run(*argv, "--out", "whole") == 0
    blocks = 2 * record("whole")["settings"]["blocks"]
    for stop in stops:
        out = ["--out", f"out{stop}"]
        with monkeypatch.context() as patched:
            counted = Stop(patched, stop)
            assert run(*argv, *out) == 130
            assert f"interrupted after {stop // (blocks // 2)} of 2 pictures" in capsys.readouterr().err
            assert run(*argv, *out, "--resume") == 0
        assert counted.drawn == blocks
        assert shown(f"out{stop}") == shown("whole")
        assert not list(Path(f"out{stop}").glob("*.safetensors"))
    capsys.readouterr()
    assert run(*argv, "--out", "whole", "--resume") == 0
    assert "the 2 pictures are finished, nothing to resume" in capsys.readouterr().out


def test_lost_and_damaged_files_are_drawn_again(clip: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["--class", "1", "--steps", "1", *clip]
    assert run(*argv, "--out", "whole") == 0
    for out, drawn in (("frame", 2), ("blocks", 3)):
        with monkeypatch.context() as patched:
            Stop(patched, 2)
            assert run(*argv, "--out", out) == 130
        if out == "frame":
            Path(out, "class_1_seed_0/frame_03.png").unlink()
        else:
            Path(out, "class_1_seed_0.blocks.safetensors").write_bytes(b"damaged")
        with monkeypatch.context() as patched:
            counted = Stop(patched, -1)
            assert run(*argv, "--out", out, "--resume") == 0
        assert counted.drawn == drawn
        assert shown(out) == shown("whole")
    Path("whole/class_1_seed_0.gif").unlink()
    before = shown("frame")
    assert run(*argv, "--out", "whole", "--resume") == 0
    assert shown("whole") == before


def test_another_run_is_refused_and_nothing_is_lost(picture: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--class", "1", *QUICK, *picture]
    assert run(*argv) == 0
    before = files("out")
    capsys.readouterr()
    for more, words in (
        ([], "exists already; choose --resume, --overwrite or another --out"),
        (["--class", "2", "--resume"], "the number of pictures was 1, now 2"),
        (["--seed", "1", "--resume"], "picture 1 was 'class_1_seed_0', now 'class_1_seed_1'"),
        (["--guidance", "3", "--resume"], "guidance_scale was 1.5, now 3.0"),
        (["--dtype", "float64", "--resume"], "dtype was 'float32', now 'float64'"),
        (["--resume", "--overwrite"], "--resume and --overwrite are given together"),
    ):
        assert words in refuse(capsys, "acdit", *argv, *more)
    assert files("out") == before
    assert run("--class", "2", *QUICK, *picture, "--overwrite") == 0
    capsys.readouterr()
    assert sorted(files("out")) == ["acdit.json", "class_2_seed_0.png"]
    Path("out/acdit.json").write_text("{}")
    assert "is damaged" in refuse(capsys, "acdit", *argv, "--resume")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "no class given; give --class N"),
        (["--class", "1", "--class", "1"], "class 1 is given twice; give it once, with --count N"),
        (["--class", "5"], "class 5 is out of range; choose 0 to 4"),
        (["--class", "1", "--seed", "-1"], "seed -1 is out of range"),
        (["--class", "1", "--seed", str(2**64 - 1), "--count", "2"], "is too large for 2 pictures"),
        (["--class", "1", "--guidance", "nan"], "guidance_scale nan is out of range"),
        (["--class", "1", "--steps", "2000"], "num_inference_steps 2000 exceeds"),
        (["--class", "1", "--dtype", "int4"], "int4"),
        (["--class", "1", "--random-weights", "XL-img"], "a model and random weights are given together"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(
    picture: list[str], argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refuse(capsys, "acdit", *argv, *picture, "--out", "out")
    assert not Path("out").exists()


def test_a_model_and_its_autoencoder_must_be_named(picture: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "no model given; give --model" in refuse(capsys, "acdit", "--class", "1")
    assert "no autoencoder given; give --vae" in refuse(capsys, "acdit", "--class", "1", *picture[:2])
    assert "no such file" in refuse(capsys, "acdit", "--class", "1", "--model", "none.pt", *picture[2:])


def test_a_picture_that_fails_leaves_the_others(
    picture: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = ACDiTPipeline.generate_many

    def without_one(self: ACDiTPipeline, requests: Any, **options: Any) -> Iterator[Any]:
        first, *rest = requests
        yield RequestFailed(first, ValueError("made up"))
        yield from real(self, rest, **options)

    argv = ["--class", "1", "--class", "2", *QUICK, *picture]
    with monkeypatch.context() as patched:
        patched.setattr(ACDiTPipeline, "generate_many", without_one)
        assert run(*argv) == 1
    printed = capsys.readouterr()
    assert "class_1_seed_0.png failed: made up" in printed.err
    assert ", 1 failed" in printed.out
    assert [one["finished"] for one in record()["pictures"]] == [False, True]
    assert run(*argv, "--resume") == 0
    assert "out: 1 pictures in" in capsys.readouterr().out


def test_events_carry_latents_that_a_file_can_hold(picture: list[str]) -> None:
    pipeline = ACDiTPipeline.from_pretrained(picture[1], vae=picture[3], dtype="bfloat16")
    event = next(pipeline.stream(ClassRequest(1), steps=1))
    assert isinstance(event, BlockDone)
    assert event.latents.numpy().dtype == np.float32
