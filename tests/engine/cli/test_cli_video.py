"""``acdc video``: its files, resuming, and mistakes in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acdc.engine.cli import video as video_command
from acdc.engine.cli.main import main
from acdc.engine.storage.video_io import enlarged, side_by_side, write_gif, write_mp4
from tests.helpers.cli_runs import files, refuse, without_times

pytestmark = pytest.mark.usefixtures("own_folder")
SHORT = ("--frames", "5", "--chunk-frames", "2", "--steps", "4")
CAPTION = "Benny the beagle ran."


def run(tiniest: str, *more: str) -> int:
    return main(["video", "--prompt", CAPTION, "--bundle", tiniest, *SHORT, *more])


def frames_of(path: str) -> int:
    with Image.open(path) as picture:
        return picture.n_frames


def test_everything_is_written(tiniest, capsys) -> None:
    assert run(tiniest, "--out", "clip") == 0
    names = files("clip").keys()
    assert {"video.gif", "comparison.gif", "video.mp4", "comparison.mp4", "story.json", "trace.json"} <= names
    assert {f"frames/frame_0{index}.png" for index in range(1, 6)} <= names
    assert frames_of("clip/video.gif") == 5
    with Image.open("clip/video.gif") as one, Image.open("clip/comparison.gif") as both:
        assert both.size == (2 * one.width, one.height)
        assert one.height >= 256
    record = json.loads(Path("clip/story.json").read_text())
    assert [frame["corrected"] for frame in record["frames"]] == [True, True, False, False, False]
    assert record["sentences"] == [CAPTION] * 5
    assert record["settings"]["chunk_frames"] == 2
    assert "5 frames in" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.parametrize(
    ("more", "corrected"),
    [
        ((), [True, True, False, False, False]),
        (("--correct-every", "2"), [True, True, False, False, True]),
        (("--correct-first", "2"), [True, True, True, True, False]),
        (("--no-correction",), [False] * 5),
    ],
)
def test_which_chunks_are_corrected(tiniest, more: tuple[str, ...], corrected: list[bool]) -> None:
    assert run(tiniest, "--out", "clip", *more) == 0
    record = json.loads(Path("clip/story.json").read_text())
    assert [frame["corrected"] for frame in record["frames"]] == corrected


class Killed(BaseException):
    """Nothing catches it."""


@pytest.mark.long
@pytest.mark.parametrize("kept", [0, 3])
def test_a_killed_run_goes_on(tiniest, monkeypatch, kept: int) -> None:
    assert run(tiniest, "--out", "whole", "--dtype", "float64") == 0
    add, left = video_command.StoryWriter.add, [kept]

    def kill(self, story, frame) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        add(self, story, frame)

    with monkeypatch.context() as patch:
        patch.setattr(video_command.StoryWriter, "add", kill)
        with pytest.raises(Killed):
            run(tiniest, "--out", "parts", "--dtype", "float64")
    assert run(tiniest, "--out", "parts", "--dtype", "float64", "--resume") == 0
    whole, parts = files("whole"), files("parts")
    assert whole.keys() == parts.keys()
    assert all(whole[name] == parts[name] for name in whole if name.endswith(("png", "gif")) and name != "sheet.png")
    assert without_times("whole") == without_times("parts")


def test_a_finished_video_is_left_as_it_is(tiniest, capsys) -> None:
    assert run(tiniest, "--out", "clip") == 0
    before = files("clip")
    assert run(tiniest, "--out", "clip", "--resume") == 0
    assert "nothing to resume" in capsys.readouterr().out
    assert {name: data for name, data in files("clip").items() if not name.endswith("mp4")} == {
        name: data for name, data in before.items() if not name.endswith("mp4")
    }


def test_without_pyav_there_is_no_mp4_and_the_reason_is_said(tiniest, monkeypatch, capsys) -> None:
    monkeypatch.setattr(video_command, "no_mp4_reason", lambda: "PyAV is missing")
    assert run(tiniest, "--out", "clip") == 0
    assert "no MP4 was written: PyAV is missing" in capsys.readouterr().err
    assert "video.mp4" not in files("clip")


def test_mistakes_are_one_line(tiniest, capsys) -> None:
    assert "no caption given; give --prompt TEXT or --example NAME" in refuse(capsys, "video")
    assert "given together" in refuse(capsys, "video", "--prompt", "a", "--example", "benny")
    assert "is empty" in refuse(capsys, "video", "--prompt", " ")
    assert "is for stories" in refuse(capsys, "video", "--prompt", "a", "--context", "full")
    asked = ("--prompt", "a", "--bundle", "nowhere", "--memory")  # said before a key, a bundle or a model is looked for
    assert "a video has one: choose rules or none" in refuse(capsys, "video", *asked, "chat")
    assert "a video has one: choose rules or none" in refuse(capsys, "video", *asked, "local", "--memory-model", ".")
    assert "0 is not in the range" in refuse(capsys, "video", "--prompt", "a", "--frames", "0")
    assert run(tiniest, "--out", "clip") == 0
    capsys.readouterr()
    again = ("video", "--prompt", CAPTION, "--bundle", tiniest, *SHORT, "--out", "clip")
    assert "already holds a story" in refuse(capsys, *again)
    changed = (
        "video",
        "--prompt",
        CAPTION,
        "--bundle",
        tiniest,
        "--frames",
        "5",
        "--chunk-frames",
        "3",
        "--out",
        "clip",
    )
    assert "cannot resume" in refuse(capsys, *changed, "--resume")
    assert not Path("out").exists()


@pytest.mark.long
@pytest.mark.parametrize("fps", [1, 7, 8, 24, 30, 50, 51, 60])
def test_a_gif_lasts_as_long_as_its_frames_and_no_player_slows_it(tmp_path: Path, fps: int) -> None:
    pictures = [np.full((8, 8, 3), index, np.uint8) for index in range(32)]
    write_gif(tmp_path / "a.gif", pictures, fps)
    shown = []
    with Image.open(tmp_path / "a.gif") as picture:
        for index in range(picture.n_frames):
            picture.seek(index)
            shown.append(picture.info["duration"])
    assert len(shown) == 32
    assert min(shown) >= 20
    assert abs(sum(shown) - 32_000 / min(fps, 50)) <= 10


def test_small_pictures_are_enlarged_by_whole_numbers(tmp_path: Path) -> None:
    import av

    pictures = [np.full((48, 48, 3), 20 * index, np.uint8) for index in range(6)]
    assert enlarged(pictures)[0].shape == (288, 288, 3)
    assert enlarged([np.zeros((512, 512, 3), np.uint8)])[0].shape == (512, 512, 3)
    both = side_by_side(pictures, pictures[::-1])
    write_gif(tmp_path / "a.gif", both, 8)
    write_mp4(tmp_path / "a.mp4", both, 8)
    assert frames_of(str(tmp_path / "a.gif")) == 6
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].average_rate == 8
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(shown) == 6
    for index, picture in enumerate(shown):
        assert abs(float(picture[:, :280].mean()) - 20 * index) < 3
        assert abs(float(picture[:, 296:].mean()) - 20 * (5 - index)) < 3


@pytest.mark.parametrize("side", [64, 1280])  # players that guess take BT.601 for small pictures and BT.709 for large
@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (30, 60, 200), (100, 100, 100), (255, 255, 255)])
def test_an_mp4_says_by_what_its_colours_were_converted(tmp_path: Path, side: int, colour: tuple[int, ...]) -> None:
    """PyAV-Org/PyAV#1378"""
    import av

    write_mp4(tmp_path / "a.mp4", [np.full((side, side, 3), colour, np.uint8)] * 2, 8)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        frame = next(container.decode(video=0))
    red, green, blue = (value / 255 for value in colour)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue  # ITU-R BT.709, 3.2
    chroma = [128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748]
    planes = [np.frombuffer(plane, np.uint8)[0] for plane in frame.planes]
    assert planes == pytest.approx([16 + 219 * luma, *chroma], abs=2)
