"""``acdc correct``: pictures in, corrected pictures of the same size out; nothing is lost or overwritten."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acdc.engine import Corrector
from acdc.engine.cli import correct as command
from acdc.engine.cli.main import main
from tests.helpers.cli_runs import files, refuse

pytestmark = pytest.mark.usefixtures("own_folder")
PROMPT = ["--prompt", "A cat in a garden."]


@pytest.fixture(autouse=True)
def pictures(own_folder):
    random = np.random.default_rng(0)
    arrays = [random.integers(0, 256, (16, 20, 3), np.uint8) for _ in range(4)]
    Image.fromarray(arrays[0]).save("a.png")
    Image.fromarray(arrays[1][:, :17]).save("b.jpg")
    Image.fromarray(np.dstack([arrays[2], arrays[3][..., 0]])).save("c.webp", lossless=True)
    first, *rest = [Image.fromarray(array) for array in arrays]
    first.save("d.gif", save_all=True, append_images=rest, duration=[100, 200, 100, 300], loop=0)


@pytest.fixture
def run(tiny, monkeypatch):
    """``acdc correct`` with the tiny bundle, loaded once a test."""
    loaded = Corrector.from_pretrained(tiny, backend="eager")
    monkeypatch.setattr(Corrector, "from_pretrained", lambda *_, **__: loaded)
    return lambda *argv: main(["correct", *argv, "--bundle", tiny, "--steps", "2"])


def record(directory="out"):
    return json.loads((Path(directory) / "correct.json").read_text())


def pngs(directory="out"):
    return {name: data for name, data in files(directory).items() if not name.endswith(".json")}


def test_every_picture_keeps_its_size_and_alpha(run, capsys):
    assert run("a.png", "b.jpg", "c.webp", "d.gif", *PROMPT, "--out", "out") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("out: 4 pictures in")
    assert "no motion adapter: frames of clips are corrected one by one" in printed.err
    assert [Image.open(f"out/{name}").size for name in ("a.png", "b.png", "c.png")] == [(20, 16), (17, 16), (20, 16)]
    assert np.array_equal(np.asarray(Image.open("out/c.png"))[..., 3], np.asarray(Image.open("c.webp"))[..., 3])
    assert Image.open("out/d.gif").n_frames == 4
    assert len(list(Path("out/d_frames").glob("*.png"))) == 4
    found = record()
    assert [entry["image"] for entry in found["pictures"]] == ["a.png", "b.png", "c.png", "d.gif"]
    assert all(entry["finished"] and entry["error"] is None for entry in found["pictures"])
    assert found["settings"]["seed"] == 0
    assert found["start"]["timestep"] > 0
    assert sorted(Path("out").glob(".*")) == []


def test_a_picture_is_that_of_the_library_and_of_its_place(run, tiny):
    assert run("a.png", "b.jpg", *PROMPT, "--out", "out", "--seed", "3") == 0
    corrector = Corrector.from_pretrained(tiny)
    wanted = corrector(Image.open("b.jpg"), PROMPT[1], seed=3, index=1, num_inference_steps=2)
    assert np.array_equal(np.asarray(Image.open("out/b.png")), np.asarray(wanted))


def test_prompts_from_a_file_one_a_picture(run, capsys):
    Path("prompts.txt").write_text("A cat.\n  A dog.\n")
    assert run("a.png", "b.jpg", "--prompts", "prompts.txt", "--out", "out", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == record()
    assert [entry["prompt"] for entry in found["pictures"]] == ["A cat.", "A dog."]


@pytest.mark.long
@pytest.mark.parametrize("stop_at", range(4))
def test_resume_after_an_interrupt_gives_the_same_files(run, monkeypatch, stop_at, capsys):
    names = ["a.png", "d.gif", "b.jpg", *PROMPT, "--chunk-frames", "3"]
    assert run(*names, "--out", "whole") == 0
    calls = []
    real_call, real_clip = Corrector.__call__, Corrector.clip

    def counted(method):
        def wrapped(*args, **how):
            calls.append(method)
            if len(calls) == stop_at + 1:
                raise KeyboardInterrupt
            return method(*args, **how)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(Corrector, "__call__", counted(real_call))
        patch.setattr(Corrector, "clip", counted(real_clip))
        assert run(*names, "--out", "out") == 130
    assert "interrupted after" in capsys.readouterr().err
    done = len(calls) - 1
    calls.clear()
    monkeypatch.setattr(Corrector, "__call__", counted(real_call))
    monkeypatch.setattr(Corrector, "clip", counted(real_clip))
    stop_at = 99
    assert run(*names, "--out", "out", "--resume") == 0
    assert len(calls) == 4 - done  # nothing is corrected twice: two pictures, two chunks
    assert pngs("whole") == pngs("out")
    capsys.readouterr()
    assert run(*names, "--out", "out", "--resume") == 0
    assert "nothing to resume" in capsys.readouterr().out


def test_resume_of_another_run_is_refused(run, capsys):
    assert run("a.png", "b.jpg", *PROMPT, "--out", "out") == 0
    capsys.readouterr()
    for argv, text in (
        (["a.png", *PROMPT], "the number of pictures was 2, now 1"),
        (["b.jpg", "a.png", *PROMPT], "picture 1 was 'a.png ("),
        (["a.png", "b.jpg", "--prompt", "A dog."], "picture 1 was"),
        (["a.png", "b.jpg", *PROMPT, "--seed", "1"], "seed was 0, now 1"),
        (["a.png", "b.jpg", *PROMPT, "--strength", "1"], "strength was 0.5, now 1.0"),
    ):
        assert run(*argv, "--out", "out", "--resume") == 2
        assert text in capsys.readouterr().err
    Image.new("RGB", (3, 3)).save("a.png")
    assert run("a.png", "b.jpg", *PROMPT, "--out", "out", "--resume") == 2
    assert "picture 1 was" in capsys.readouterr().err
    Path("out/correct.json").write_text('{"settings": 3}')
    assert run("a.png", "b.jpg", *PROMPT, "--out", "out", "--resume") == 2
    assert "is damaged" in capsys.readouterr().err


def test_nothing_is_overwritten_unless_asked(run, capsys):
    Path("out").mkdir()
    Path("out/a.png").write_text("mine")
    assert run("a.png", *PROMPT, "--out", "out") == 2
    assert "'out/a.png' exists already" in capsys.readouterr().err
    assert Path("out/a.png").read_text() == "mine"
    assert run("a.png", *PROMPT, "--out", "out", "--overwrite") == 0
    assert Image.open("out/a.png").size == (20, 16)
    assert run("a.png", *PROMPT, "--out", ".", "--overwrite") == 2
    assert "'a.png' is, or holds, one of the pictures" in capsys.readouterr().err


def test_frames_of_a_clip_are_not_mixed_with_other_files(run, capsys):
    Path("out/d_frames").mkdir(parents=True)
    Path("out/d_frames/frame_0009.png").write_bytes(Path("a.png").read_bytes())
    assert run("d.gif", *PROMPT, "--out", "out") == 2
    assert "'out/d_frames' exists already" in capsys.readouterr().err
    assert run("d.gif", *PROMPT, "--out", "out", "--resume") == 2  # there is nothing to go on with
    assert run("out/d_frames/frame_0009.png", "d.gif", *PROMPT, "--out", "out", "--overwrite") == 2
    assert "holds, one of the pictures" in capsys.readouterr().err
    assert run("d.gif", *PROMPT, "--out", "out", "--overwrite") == 0
    assert len(list(Path("out/d_frames").iterdir())) == 4


def test_lost_files_are_made_again(run):
    assert run("a.png", "d.gif", *PROMPT, "--out", "out") == 0
    before = pngs()
    for lost in ("a.png", "d.gif", "d_frames/frame_0002.png"):
        Path("out", lost).unlink()
    assert run("a.png", "d.gif", *PROMPT, "--out", "out", "--resume") == 0
    assert pngs() == before


def test_plans_must_pay_for_every_size():
    found = [command.find_picture(name) for name in ("a.png", "c.webp", "b.jpg", "d.gif")]
    assert [(one.size, one.count) for one in found] == [((20, 16), 1), ((20, 16), 1), ((17, 16), 1), ((20, 16), 4)]
    assert command.pictures_a_size(found) == 1
    assert command.pictures_a_size([found[0], found[1], found[3]]) == 6


def test_one_failure_keeps_the_others_and_is_tried_again(run, capsys):
    whole = Path("b.jpg").read_bytes()
    Path("b.jpg").write_bytes(whole[:-200])
    assert run("a.png", "b.jpg", "d.gif", *PROMPT, "--out", "out") == 1
    printed = capsys.readouterr()
    assert "2 pictures" in printed.out
    assert "1 failed" in printed.out
    assert sum("b.jpg failed: " in line for line in printed.err.splitlines()) == 1
    assert record()["pictures"][1]["error"].startswith("picture 'b.jpg' is not a readable picture")
    assert sorted(path.name for path in Path("out").glob("*.*")) == ["a.png", "correct.json", "d.gif"]
    assert run("a.png", "b.jpg", "d.gif", *PROMPT, "--out", "out", "--resume") == 1
    assert "0 pictures" in capsys.readouterr().out


def test_batches_give_the_same_pictures_and_keep_failures_apart(run, capsys):
    for number in range(1, 4):
        Path(f"a{number}.png").write_bytes(Path("a.png").read_bytes())
    names = ["a.png", "a1.png", "b.jpg", "a2.png", "a3.png"]
    assert run(*names, *PROMPT, "--out", "one") == 0
    assert run(*names, *PROMPT, "--out", "four", "--batch", "4") == 0
    for name in ("a", "a1", "b", "a2", "a3"):
        one, four = (np.asarray(Image.open(f"{out}/{name}.png")).astype(int) for out in ("one", "four"))
        assert np.abs(one - four).max() <= 1
    Path("a3.png").write_bytes(Path("a3.png").read_bytes()[:600])
    assert run(*names, *PROMPT, "--out", "cut", "--batch", "4") == 1
    assert [entry["finished"] for entry in record("cut")["pictures"]] == [True, True, True, True, False]
    assert "picture 5/5: a3.png failed" in capsys.readouterr().err


def test_memory_that_runs_out_is_a_failure_and_a_fault_is_not_hidden(run, monkeypatch, capsys):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(Corrector, "__call__", fails)
    error = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    assert run("a.png", *PROMPT, "--out", "out") == 1
    assert "can't allocate memory" in record()["pictures"][0]["error"]
    error = RuntimeError("a fault")
    with pytest.raises(RuntimeError, match="a fault"):
        run("b.jpg", *PROMPT, "--out", "other")


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (PROMPT, "no picture given"),
        (["none.png", *PROMPT], "'none.png' does not exist"),
        ([".", *PROMPT], "is a directory; give its files"),
        (["a.png"], "no prompt given"),
        (["a.png", *PROMPT, "--prompts", "f"], "given together"),
        (["a.png", "--prompt", " "], "--prompt is empty"),
        (["a.png", "--prompts", "none.txt"], "does not exist"),
        (["a.png", *PROMPT, "--seed", "-1"], "seed -1 is out of range"),
        (["a.png", "./a.png", *PROMPT], "would both be written to a.png"),
        (["a.png", *PROMPT, "--resume", "--overwrite"], "given together"),
        (["a.png", *PROMPT, "--strength", "0"], "strength 0.0 is out of range"),
        (["a.png", *PROMPT, "--set", "correction.first=2"], "correction.first is an option of stories"),
        (["a.png", *PROMPT, "--set", "engine.quantization=int8"], "quantization is of autoregressive models"),
        (
            ["a.png", *PROMPT, "--set", "engine.controlnet=x"],
            "a ControlNet and a depth model steer the frames of stories",
        ),
    ],
)
def test_mistakes_are_one_line(capsys, tiny, argv, text):
    assert text in refuse(capsys, "correct", *argv, "--bundle", tiny)
    assert not Path("out").exists()


def test_the_model_must_be_named(capsys):
    assert "no model given; give --bundle" in refuse(capsys, "correct", "a.png", *PROMPT)
    assert "unknown bundle 'nowhere'" in refuse(capsys, "correct", "a.png", *PROMPT, "--bundle", "nowhere")


def test_prompts_that_do_not_fit(capsys, tiny):
    Path("p.txt").write_text("one\n\nthree\n")
    assert "has 3 lines for 1 pictures" in refuse(capsys, "correct", "a.png", "--prompts", "p.txt", "--bundle", tiny)
    line = refuse(capsys, "correct", "a.png", "b.jpg", "c.webp", "--prompts", "p.txt", "--bundle", tiny)
    assert "line 2 is empty" in line


def test_chunks_are_those_of_the_motion_modules(run, tiny, monkeypatch, capsys):
    monkeypatch.setattr(Corrector, "clip_frames", property(lambda _: 8))
    assert run("d.gif", *PROMPT, "--out", "out") == 2
    assert "--chunk-frames 16 is more than the motion modules know; choose up to 8" in capsys.readouterr().err
    assert command.OUT == "out/corrected"
