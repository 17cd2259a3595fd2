"""``--resume``: the same files after a kill anywhere, and no mixing of two stories."""

import json
from pathlib import Path

import pytest
from PIL import Image

from acdc.engine.cli import story as story_command
from acdc.engine.cli.main import main
from acdc.engine.storage.resume_story import check_settings
from tests.helpers.cli_runs import STORY, files, refuse, without_times
from tests.helpers.fake_engine import Killed, killed_at

DDIM = {"sampler": "ddim"}

pytestmark = pytest.mark.usefixtures("own_folder")


class TestResume:
    @pytest.mark.parametrize("stop_at", [0, 1, 2])
    def test_after_a_kill_gives_the_same_files(self, fake, stop_at):
        main(["story", *STORY, "--out", "whole"])
        fake(stop_at=stop_at)
        with pytest.raises(Killed):
            main(["story", *STORY, "--out", "parts"])
        engine = fake()
        assert main(["story", *STORY, "--out", "parts", "--resume"]) == 0
        assert engine.drawn == list(range(stop_at, 3))
        whole, parts = files("whole"), files("parts")
        assert whole.keys() == parts.keys()
        assert all(whole[name] == parts[name] for name in whole if name.startswith("frames/"))
        assert without_times("whole") == without_times("parts")
        starts = [e["ts"] for e in json.loads(parts["trace.json"])["traceEvents"] if e["ph"] == "X"]
        assert starts == sorted(starts)

    @pytest.mark.parametrize("calls", range(1, 16))
    def test_after_a_kill_between_any_two_writes(self, fake, monkeypatch, calls):
        main(["story", *STORY, "--out", "whole"])
        with killed_at(calls, monkeypatch):
            if calls <= 11:  # 3 files a frame, then sheet and trace
                with pytest.raises(Killed):
                    main(["story", *STORY, "--out", "parts"])
            else:
                main(["story", *STORY, "--out", "parts"])
        assert main(["story", *STORY, "--out", "parts", "--resume"]) == 0
        whole, parts = files("whole"), files("parts")
        assert whole.keys() == parts.keys()
        assert all(whole[name] == parts[name] for name in whole if name.endswith("png") and name != "sheet.png")
        assert without_times("whole") == without_times("parts")

    @pytest.mark.parametrize("prepare", [lambda: None, lambda: Path("new").mkdir()])
    def test_starts_from_scratch_where_nothing_is(self, fake, prepare):
        prepare()
        assert main(["story", *STORY, "--out", "new", "--resume"]) == 0
        assert len(without_times("new")["frames"]) == 3

    def test_a_finished_story_is_left_alone(self, capsys, fake):
        main(["story", *STORY])
        before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in Path("out").rglob("*.*")}
        capsys.readouterr()
        engine = fake()
        assert main(["story", *STORY, "--resume"]) == 0
        assert "finished" in capsys.readouterr().out
        assert engine.drawn == []
        assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in Path("out").rglob("*.*")}
        Path("out/story/sheet.png").unlink()
        assert main(["story", *STORY, "--resume"]) == 0
        assert "wrote sheet.png" in capsys.readouterr().out
        assert Path("out/story/sheet.png").exists()

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            ([*STORY, "--seed", "1"], ["seed", "0", "1"]),
            ([*STORY[:2], "Benny ran."], ["sentence 3", "Benny slept.", "Benny ran."]),
            (STORY[:2], ["number of sentences", "3", "2"]),
            ([*STORY, "--strength", "0.6"], ["strength", "0.5", "0.6"]),
            ([*STORY, "--no-correction"], ["correction", "True", "False"]),
            ([*STORY, "--memory", "none"], ["memory", "rules", "none"]),
            ([*STORY, "--init-image", "a.png"], ["init_image"]),
        ],
    )
    def test_a_mismatch_is_refused(self, capsys, fake, argv, words):
        Image.new("RGB", (8, 8)).save("a.png")
        fake(stop_at=2)
        with pytest.raises(Killed):
            main(["story", *STORY])
        fake()
        before = files()
        capsys.readouterr()
        line = refuse(capsys, "story", *argv, "--resume")
        assert "cannot resume" in line
        assert all(word in line for word in words), line
        assert files() == before

    def test_a_number_may_be_written_with_or_without_a_point(self):
        check_settings({"guidance_scale": 3, "correction": True}, {"guidance_scale": 3.0, "correction": True})
        with pytest.raises(ValueError, match="correction was 1, now True"):
            check_settings({"correction": 1}, {"correction": True})

    def test_a_story_of_before_the_samplers_ran_ddim(self):
        check_settings({}, DDIM)
        with pytest.raises(ValueError, match="cannot resume: sampler was 'ddim', now 'euler'"):
            check_settings({}, {"sampler": "euler"})

    def test_a_damaged_story_is_refused(self, capsys, fake):
        main(["story", *STORY])
        Path("out/story/story.json").write_text("{")
        before = files()
        capsys.readouterr()
        assert "damaged" in refuse(capsys, "story", *STORY, "--resume")
        assert files() == before

    @pytest.mark.long
    @pytest.mark.parametrize("correction", [(), ("--no-correction",), ("--correct-every", "2")])
    @pytest.mark.parametrize("context", ["window", "full"])
    def test_the_real_engine_after_a_kill_at_every_later_frame(self, tiniest, monkeypatch, correction, context):
        argv = ["story", *STORY, "--bundle", tiniest, "--steps", "4", "--context", context, *correction]
        assert main([*argv, "--out", "whole"]) == 0
        add = story_command.StoryWriter.add
        for stop_at in (1, 2):  # at 0 nothing of the engine's is there to go on from

            def kill(writer, story, frame, stop_at=stop_at):
                if frame.index == stop_at:
                    raise Killed
                add(writer, story, frame)

            with monkeypatch.context() as patch:
                patch.setattr(story_command.StoryWriter, "add", kill)
                with pytest.raises(Killed):
                    main([*argv, "--out", f"parts{stop_at}"])
            assert main([*argv, "--out", f"parts{stop_at}", "--resume"]) == 0
            whole, parts = files("whole"), files(f"parts{stop_at}")
            assert whole.keys() == parts.keys()
            assert all(whole[name] == parts[name] for name in whole if name.startswith("frames/"))
            assert without_times("whole") == without_times(f"parts{stop_at}")
