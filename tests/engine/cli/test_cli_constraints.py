"""``--mask``, ``--depth`` and ``--redo`` on the command line; bad input is one line and exit code 2."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acdc.engine.cli.main import main
from acdc.engine.storage.story_reader import read_story
from tests.helpers.cli_runs import STORY, files, refuse, without_times
from tests.helpers.fake_engine import Killed, killed_at
from tests.helpers.generate_runs import write_file

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(autouse=True)
def pictures(own_folder, monkeypatch):
    """A mask, its negative, a black one, and a file that is not a picture. Sheets are quick."""
    monkeypatch.setattr("acdc.engine.storage.story_writer.draw_sheet", lambda story, title: Image.new("L", (2, 2)))
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    Image.fromarray(mask).save("m.png")
    Image.fromarray(255 - mask).save("n.png")
    Image.fromarray(0 * mask).save("black.png")
    Path("text.png").write_text("not a picture", encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mask", "none.png"], "mask of every frame 'none.png' does not exist; give a PNG or JPEG file"),
        (["--mask", "2=none.png"], "mask of frame 2 'none.png' does not exist"),
        (["--mask", "black.png"], "mask of every frame ('black.png') is black"),
        (["--mask", "text.png"], "mask of every frame 'text.png' is not a readable picture"),
        (["--mask", "4=m.png"], "mask of frame 4: the story has frames 1 to 3"),
        (["--mask", "0=m.png"], "mask of frame 0: frames count from 1"),
        (["--mask", "2=m.png", "--mask", "2=n.png"], "--mask is given twice for frame 2; give it once"),
        (["--mask", "m.png", "--mask", "n.png"], "--mask is given twice for every frame; give it once"),
        (["--mask", ""], "--mask is empty; give a path"),
        (["--mask", "2="], "--mask is empty; give a path"),
        (["--mask", "2=m.png", "--correct-first", "1"], "mask of frame 2, which these options do not correct"),
        (["--mask", "m.png", "--no-correction"], "these options correct no frame"),
        (["--mask-strength", "2"], "mask_strength 2.0 is out of range"),
        (["--controlnet", "x"], "--controlnet is given without a depth map; give --depth FILE or --depth-model DIR"),
        (["--redo", "2", "--resume"], "--redo goes with neither --resume nor --overwrite"),
        (["--redo", "2", "--mask", "m.png", "--out", "empty"], "--redo 2: 'empty' holds no story"),
    ],
)
def test_mistakes_are_one_line(fake, capsys, arguments, words):
    assert words in refuse(capsys, "story", *STORY, *arguments)
    assert not Path("out").exists()


def test_masks_reach_the_engine_and_the_record(fake):
    engine = fake()
    assert main(["story", *STORY, "--mask", "m.png", "--mask", "2=n.png", "--mask-strength", "1"]) == 0
    given, record = engine.constraints, without_times("out/story")["constraints"]
    assert (given.of(0).mask[0, 0], given.of(1).mask[0, 0], given.of(2).mask[0, 0]) == (0, 255, 0)
    assert record["1"] == record["3"] != record["2"]
    assert record["2"]["strength"] == 1.0
    assert read_story(Path("out/story")).constraints == record


@pytest.mark.parametrize("now", ["", "--mask 2=n.png", "--mask m.png", "--mask 2=m.png --depth m.png"])
def test_a_changed_mask_is_not_mixed_into_a_story(fake, capsys, now):
    fake(stop_at=2)
    with pytest.raises(Killed):
        main(["story", *STORY, "--mask", "2=m.png"])
    fake()
    capsys.readouterr()
    said = refuse(capsys, "story", *STORY, *now.split(), "--resume")
    assert "cannot resume: " in said
    assert "of frame" in said
    assert main(["story", *STORY, "--mask", "2=m.png", "--resume"]) == 0


class TestRedo:
    """A finished story, of which frame 2 or 3 is drawn again."""

    @pytest.fixture
    def before(self, fake):
        main(["story", *STORY, "--steps", "30", "--seed", "5"])
        return files("out/story")

    def test_earlier_frames_stay_and_the_old_story_is_kept(self, fake, before):
        engine = fake()
        assert main(["story", "--redo", "2", "--mask", "m.png"]) == 0
        assert engine.drawn == [1, 2]
        given = engine.constraints
        assert given.of(1).mask is not None
        assert (given.of(0).mask, given.of(2).mask) == (None, None)
        shown = np.asarray(Image.open("out/story/earlier/1/frames/frame_02.png"))
        assert np.array_equal(given.of(1).canvas, shown), "the mask was painted on what was shown"
        after = files("out/story")
        for name, data in before.items():
            assert after[f"earlier/1/{name}"] == data
        for name in ("frames/frame_01.png", "frames/frame_01_draft.png"):
            assert after[name] == before[name]
        for name in ("frames/frame_02.png", "frames/frame_03.png", "story.json"):
            assert after[name] != before[name]
        story = read_story(Path("out/story"))
        assert (len(story.frames), story.seed, story.settings["num_inference_steps"]) == (3, 5, 30)
        assert story.constraints.keys() == {"2"}

    def test_again_and_again(self, fake, before):
        assert main(["story", "--redo", "2", "--mask", "m.png"]) == 0
        once = files("out/story")
        assert main(["story", "--redo", "3", "--mask", "n.png"]) == 0
        after = files("out/story")
        assert after["frames/frame_02.png"] == once["frames/frame_02.png"]
        assert after["earlier/2/story.json"] == once["story.json"]
        assert after["earlier/1/story.json"] == before["story.json"]
        assert read_story(Path("out/story")).constraints.keys() == {"2", "3"}

    def test_what_is_finished_needs_no_earlier_story(self, fake, capsys, before):
        assert main(["story", "--redo", "2", "--mask", "m.png"]) == 0
        shutil.rmtree("out/story/earlier")
        again = ["--mask", "2=m.png", "--steps", "30", "--seed", "5", "--resume"]
        assert main(["story", *STORY, *again]) == 0
        assert "the story is finished" in capsys.readouterr().out

    def test_a_canvas_that_is_gone_is_named(self, fake, capsys, before):
        fake(stop_at=2)
        with pytest.raises(Killed):
            main(["story", "--redo", "2", "--mask", "m.png"])
        story = Path("out/story/story.json")
        record = json.loads(story.read_text(encoding="utf-8"))
        record["frames"], record["refined_prompts"] = record["frames"][:1], record["refined_prompts"][:1]
        story.write_text(json.dumps(record), encoding="utf-8")
        shutil.rmtree("out/story/earlier")
        again = ["--mask", "2=m.png", "--steps", "30", "--seed", "5", "--resume"]
        capsys.readouterr()
        said = refuse(capsys, "story", *STORY, *again)
        assert "the picture that frame 2 was to be made of is gone from 'out/story/earlier'" in said

    def test_the_first_frame(self, fake, before):
        engine = fake()
        assert main(["story", "--redo", "1", "--mask", "m.png"]) == 0
        assert engine.drawn == [0, 1, 2]
        assert files("out/story/earlier/1") == before

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--redo", "4", "--mask", "m.png"], "--redo 4: 'out/story' holds frames 1 to 3"),
            (["--redo", "3", "--mask", "2=m.png"], "frame 2 has a mask or depth map, but --redo 3 keeps it"),
            (["--redo", "3"], "--redo 3 would draw the same pictures again; give --mask FILE or --depth FILE"),
            (["--redo", "3", "--mask", "m.png", "--steps", "20"], "num_inference_steps was 30, now 20"),
            (["--redo", "3", "--mask", "m.png", "--seed", "6"], "seed was 5, now 6"),
            (["A cat.", "--redo", "3", "--mask", "m.png"], "the number of sentences was 3, now 1"),
        ],
    )
    def test_mistakes_change_nothing(self, fake, capsys, before, arguments, words):
        capsys.readouterr()
        assert words in refuse(capsys, "story", *arguments)
        assert files("out/story") == before

    def test_a_run_that_fails_before_its_first_frame_changes_nothing(self, fake, before):
        fake(stop_at=1)
        with pytest.raises(Killed):
            main(["story", "--redo", "2", "--mask", "m.png"])
        assert files("out/story") == before

    def test_ctrl_c_before_the_first_frame_says_that_nothing_changed(self, fake, capsys, before):
        fake(stop_at=1, stop=KeyboardInterrupt)
        assert main(["story", "--redo", "2", "--mask", "m.png"]) == 130
        assert "interrupted after no frame; the story in out/story is as it was" in capsys.readouterr().err
        assert files("out/story") == before

    @pytest.mark.parametrize("calls", range(1, 10))
    def test_after_a_kill_between_any_two_writes(self, fake, before, monkeypatch, calls):
        """The old story is whole, in its place or under earlier; --resume makes what --redo would have made."""
        main(["story", *STORY, "--steps", "30", "--seed", "5", "--out", "whole"])
        main(["story", "--redo", "2", "--mask", "m.png", "--out", "whole"])
        with killed_at(calls, monkeypatch), pytest.raises(Killed):  # story.json, 3 files a frame, sheet, trace
            main(["story", "--redo", "2", "--mask", "m.png"])
        left = files("out/story")
        kept = {name.removeprefix("earlier/1/"): data for name, data in left.items() if name.startswith("earlier/1/")}
        assert kept == before or {n: d for n, d in left.items() if not n.startswith((".", "earlier"))} == before
        if len(read_story(Path("out/story")).frames) == 3 and not read_story(Path("out/story")).constraints:
            assert main(["story", "--redo", "2", "--mask", "m.png"]) == 0  # nothing was begun
        else:
            again = ["--mask", "2=m.png", "--steps", "30", "--seed", "5"]
            assert main(["story", *STORY, *again, "--resume"]) == 0
        for name in ("frames/frame_02.png", "frames/frame_03.png"):
            assert files("out/story")[name] == files("whole")[name]
        assert without_times("out/story") == without_times("whole")


def test_a_file_of_stories_with_masks(many, capsys):
    many()
    stories = [{"sentences": STORY, "mask": {"2": "m.png"}}, {"sentences": STORY}]
    assert main(["generate", "--stories", write_file(stories), "--out", "o"]) == 0
    record = json.loads(Path("o/000001/story.json").read_text(encoding="utf-8"))
    assert record["constraints"].keys() == {"2"}
    assert "constraints" not in json.loads(Path("o/000002/story.json").read_text(encoding="utf-8"))
    capsys.readouterr()
    assert main(["generate", "--stories", "s.jsonl", "--out", "o", "--resume"]) == 0
    write_file([{"sentences": STORY, "mask": {"2": "n.png"}}, {"sentences": STORY}])
    capsys.readouterr()
    said = refuse(capsys, "generate", "--stories", "s.jsonl", "--out", "o", "--resume")
    assert "story '000001': cannot resume: mask of frame 2 was" in said
    write_file([{"sentences": STORY[:1], "mask": {"2": "n.png"}}])
    said = refuse(capsys, "generate", "--stories", "s.jsonl", "--out", "p")
    assert "story '000001': mask of frame 2: the story has frames 1 to 1" in said
