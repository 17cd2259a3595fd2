"""``acdc generate --overwrite``: earlier stories go when there is a frame that takes their place."""

import json
from pathlib import Path

import pytest

from acdc.engine.cli.main import main
from tests.helpers.cli_runs import files
from tests.helpers.fake_engine import Killed
from tests.helpers.generate_runs import TEXTS, assert_same, manifest, write_file

ASKED = ["generate", "--stories", "s.jsonl", "--out", "o", "--concurrency", "2"]


def test_earlier_stories_go_and_what_is_not_ours_stays(many):
    write_file([3, 1, {"sentences": TEXTS, "id": "fox"}])
    assert main(ASKED) == 0
    Path("o/fox/notes.txt").write_text("mine")
    (Path("o") / "benny").mkdir()
    Path("o/benny/story.json").write_text("somebody's")
    Path("o/000001/frames/.frame_03.png.part").write_bytes(b"left by a kill")
    write_file([1])
    assert main([*ASKED, "--overwrite"]) == 0
    found = set(files("o"))
    assert {name for name in found if name.startswith("000001/")} == {
        "000001/story.json", "000001/sheet.png", "000001/trace.json",
        "000001/frames/frame_01.png", "000001/frames/frame_01_draft.png",
    }  # fmt: skip
    assert {name for name in found if not name.startswith("000001/")} == {
        "manifest.jsonl", "fox/notes.txt", "benny/story.json",
    }  # fmt: skip
    assert not Path("o/000002").exists()


@pytest.mark.parametrize("stop", [None, KeyboardInterrupt])
def test_they_stay_until_there_is_a_frame(many, capsys, stop):
    write_file([2, 1, 2])
    assert main(ASKED) == 0
    before = files("o")
    capsys.readouterr()
    dead = {(f"{number:06d}", 0): ValueError("nobody answers") for number in range(1, 4)}
    many(failures=dead if stop is None else {("000001", 0): ValueError("no")}, stop=stop, stop_at=stop and 0)
    assert main([*ASKED, "--overwrite"]) == (1 if stop is None else 130)
    assert files("o") == before
    printed = capsys.readouterr()
    if stop is None:
        expected = "0 stories, 0 frames, 3 failed; no frame was made, and what was there before is still there"
        assert printed.out == f"o: {expected}\n"
    else:
        last = printed.err.splitlines()[-1]
        assert last == "acdc: interrupted before the first frame; what was in o is still there"


def test_failures_before_the_first_frame_are_in_the_new_manifest(many):
    write_file([1, 1, 1])
    assert main(ASKED) == 0
    many(failures={("000001", 0): ValueError("no")})
    assert main([*ASKED, "--overwrite"]) == 1
    lines = Path("o/manifest.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["000001", "000002", "000003"]
    assert manifest("o")["000001"] == {"id": "000001", "error": "no"}
    assert not Path("o/000001").exists()


def test_of_no_story_all_that_failed_is_noted(many):
    many(failures={("000001", 0): ValueError("no")})
    write_file([1])
    assert main([*ASKED, "--overwrite"]) == 1
    assert manifest("o") == {"000001": {"id": "000001", "error": "no"}}


def test_of_a_damaged_manifest(many):
    write_file([1])
    assert main(ASKED) == 0
    Path("o/manifest.jsonl").write_bytes(b"\0\n\0\n")
    assert main([*ASKED, "--overwrite"]) == 0
    assert set(manifest("o")) == {"000001"}


def test_killed_and_resumed_is_the_new_run(many):
    write_file([2, 2, 2])
    assert main(ASKED) == 0
    write_file([{"sentences": ["A dog.", "It sat."]}] * 3)
    many(stop_at=2)
    with pytest.raises(Killed):
        main([*ASKED, "--overwrite"])
    many()
    assert main([*ASKED, "--resume"]) == 0
    many()
    assert main([*ASKED[:4], "whole"]) == 0
    assert_same("o", "whole")
