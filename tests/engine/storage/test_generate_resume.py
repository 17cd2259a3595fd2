"""``acdc generate --resume``: in every state that an earlier run can leave, and never a mixture."""

import gc
import json
import os
import shutil
from pathlib import Path

import pytest

from acdc.engine.cli.main import main
from acdc.engine.outputs import Frame
from acdc.engine.storage import resume_run as earlier_module
from acdc.engine.storage import run_writer as many_writer
from acdc.engine.storage.story_reader import read_story
from tests.helpers.cli_runs import files, refuse
from tests.helpers.fake_engine import Killed, killed_at
from tests.helpers.fake_many import FakeMany
from tests.helpers.generate_runs import TEXTS, assert_same, manifest, write_file

ASKED = ["generate", "--stories", "s.jsonl", "--out", "o", "--concurrency", "2"]


def resume(many) -> FakeMany:
    engine = many()
    assert main([*ASKED, "--resume"]) == 0
    return engine


class TestStates:
    @pytest.fixture(autouse=True)
    def whole(self, many):
        write_file([2, 1, 3, 2])
        assert main([*ASKED[:4], "whole"]) == 0

    def test_nothing_is_there(self, many):
        assert len(resume(many).made) == 8
        assert_same("o", "whole")

    @pytest.mark.parametrize("stop_at", range(8))
    def test_stopped_after_any_frame(self, many, stop_at):
        many(stop_at=stop_at)
        with pytest.raises(Killed):
            main(ASKED)
        assert len(resume(many).made) == 8 - stop_at
        assert_same("o", "whole")

    def test_killed_at_any_rename(self, many, monkeypatch):
        write_file([2, 1])
        assert main([*ASKED[:4], "whole", "--overwrite"]) == 0
        renames = 3 * 3 + 2 * 2
        for number in range(1, renames + 1):
            many()
            with killed_at(number, monkeypatch), pytest.raises(Killed):
                main(ASKED)
            resume(many)
            assert_same("o", "whole")
            shutil.rmtree("o")
        with killed_at(renames + 1, monkeypatch):
            assert main(ASKED) == 0

    def test_killed_in_the_middle_of_a_line_of_the_manifest(self, many, monkeypatch):
        write = os.write
        for number in range(1, 5):
            left = [number]

            def torn(file, data, left=left):
                left[0] -= 1
                if left[0] == 0:
                    write(file, data[: len(data) // 2])
                    raise Killed
                return write(file, data)

            many()
            with monkeypatch.context() as patch:
                patch.setattr(os, "write", torn)
                with pytest.raises(Killed):
                    main(ASKED)
            assert not Path("o/manifest.jsonl").read_bytes().endswith(b"\n")
            resume(many)
            assert_same("o", "whole")
            shutil.rmtree("o")

    def test_finished_but_not_in_the_manifest(self, many, capsys):
        resume(many)
        lines = Path("o/manifest.jsonl").read_text().splitlines(keepends=True)
        Path("o/manifest.jsonl").write_text("".join(lines[:-2]))
        Path("o/000003/sheet.png").unlink()
        capsys.readouterr()
        assert resume(many).made == []
        expected = "o: the 4 stories are finished, no frame was left to draw\n"
        assert capsys.readouterr().out == expected
        assert_same("o", "whole")

    def test_all_is_finished(self, many, capsys):
        resume(many)
        capsys.readouterr()
        before = files("o")
        assert resume(many).made == []
        assert capsys.readouterr().out == "o: the 4 stories are finished, nothing to resume\n"
        assert files("o") == before

    def test_failed_ones_are_tried_again_after_their_last_frame(self, many):
        many(failures={("000003", 2): ValueError("no"), ("000004", 0): ValueError("no")})
        assert main(ASKED) == 1
        engine = resume(many)
        assert sorted(engine.made) == [("000003", 2), ("000004", 0), ("000004", 1)]
        assert_same("o", "whole")
        record = json.loads(Path("o/000003/story.json").read_text())
        starts = [start for frame in record["frames"] for _, start, _ in frame["spans"]]
        assert starts == [0.0, 10.0, 20.0]  # one timeline

    def test_stories_may_be_added(self, many):
        resume(many)
        write_file([2, 1, 3, 2, 1])
        engine = many()
        assert main([*ASKED, "--resume"]) == 0
        assert engine.made == [("000005", 0)]

    def test_a_finished_story_whose_folder_is_gone_is_drawn_again(self, many):
        resume(many)
        shutil.rmtree("o/000002")
        Path("o/000004/story.json").unlink()
        assert sorted(resume(many).made) == [("000002", 0), ("000004", 0), ("000004", 1)]
        assert_same("o", "whole")
        assert resume(many).made == []

    @pytest.mark.long
    def test_unfinished_stories_are_held_one_after_another(self, many, monkeypatch):
        write_file([3] * 12)
        many()
        assert main([*ASKED, "--overwrite"]) == 0
        Path("o/manifest.jsonl").unlink()
        held = []

        def read(folder):
            held.append(sum(type(thing) is Frame for thing in gc.get_objects()))
            return read_story(folder)

        before = sum(type(thing) is Frame for thing in gc.get_objects())
        monkeypatch.setattr(earlier_module, "read_story", read)
        assert resume(many).made == []
        assert len(held) == 12
        assert max(held) - before <= 3

    def test_finished_stories_are_not_read_but_one(self, many, monkeypatch):
        write_file([1] * 30 + [2])
        many(stop_at=31, stop=KeyboardInterrupt)
        assert main([*ASKED, "--overwrite"]) == 130
        read = []
        for module in (earlier_module, many_writer):
            monkeypatch.setattr(module, "read_story", lambda path: (read.append(path.name), read_story(path))[1])
        engine = resume(many)
        assert engine.made == [("000031", 1)]
        assert read == ["000001", "000031", "000031"]

    def test_a_manifest_that_cannot_be_read_is_one_line(self, capsys):
        Path("o/manifest.jsonl").mkdir(parents=True)
        capsys.readouterr()
        line = refuse(capsys, *ASKED, "--resume")
        assert "manifest.jsonl" in line


class TestRefused:
    @pytest.fixture(autouse=True)
    def earlier(self, many, capsys):
        write_file([2, {"sentences": TEXTS[:2], "id": "fox"}, 2])
        many(stop_at=5, stop=KeyboardInterrupt)
        assert main(ASKED) == 130
        capsys.readouterr()
        assert set(manifest("o")) == {"000001", "fox"}
        many()

    @pytest.mark.parametrize(
        ("stories", "words"),
        [
            (
                [{"sentences": ["A dog.", "It ran."]}],
                ["'000001'", "sentence 1 was 'A cat sat in a garden.', now 'A dog.'"],
            ),
            ([1], ["'000001'", "number of sentences was 2, now 1"]),
            ([{"sentences": TEXTS[:2], "seed": 9}], ["'000001'", "seed was 0, now 9"]),
            ([2, {"sentences": TEXTS[:2], "id": "dog"}], ["'fox'", "no longer"]),
            ([2, {"sentences": TEXTS[:2], "id": "fox"}], ["'000003'", "no longer", "remove 'o/000003'"]),
            ([2, {"sentences": TEXTS[:2], "id": "fox"}, 3], ["'000003'", "number of sentences was 2, now 3"]),
            ([2, {"sentences": TEXTS[:2], "id": "fox"}, {"sentences": TEXTS[1:]}], ["'000003'", "sentence 1 was"]),
        ],
    )
    def test_another_file(self, capsys, stories, words):
        before = files("o")
        write_file(stories)
        line = refuse(capsys, *ASKED, "--resume")
        assert all(word in line for word in (*words, "cannot resume", "another --out")), line
        assert files("o") == before

    def test_another_file_where_the_finished_stories_were_moved_away(self, capsys):
        shutil.rmtree("o/000001")
        write_file([{"sentences": ["A dog.", "It ran."]}, {"sentences": TEXTS[:2], "id": "fox"}, 2])
        assert "sentences were others" in refuse(capsys, *ASKED, "--resume")

    @pytest.mark.parametrize("kept", ["000001", "000003"])
    @pytest.mark.parametrize(
        ("option", "word"),
        [(("--strength", "0.4"), "strength"), (("--no-correction",), "correction"), (("--top-k", "3"), "top_k")],
    )
    def test_other_settings(self, capsys, kept, option, word):
        shutil.rmtree("o/000003" if kept == "000001" else "o/000001")
        before = files("o")
        line = refuse(capsys, *ASKED, "--resume", *option)
        assert f"cannot resume: {word} was" in line
        assert files("o") == before

    def test_without_a_word(self, capsys, many):
        before = files("o")
        line = refuse(capsys, *ASKED)
        assert "--resume" in line
        assert "--overwrite" in line
        Path("o/manifest.jsonl").unlink()
        assert "already holds stories" in refuse(capsys, *ASKED)
        before.pop("manifest.jsonl")
        assert files("o") == before

    def test_a_damaged_story_or_manifest(self, capsys):
        Path("o/000003/story.json").write_text("{")
        line = refuse(capsys, *ASKED, "--resume")
        assert "'o/000003/story.json' is damaged" in line
        assert "remove 'o/000003'" in line
        Path("o/manifest.jsonl").write_text("{}\n" + Path("o/manifest.jsonl").read_text())
        assert "line 1 is damaged" in refuse(capsys, *ASKED, "--resume")

    @pytest.mark.parametrize("content", ["somebody's", "[]", '{"frames": 3}', '{"frames": [1], "sentences": [1]}'])
    def test_not_for_files_of_other_programs(self, many, content):
        Path("o/benny").mkdir()
        Path("o/benny/story.json").write_text(content)
        resume(many)
        assert Path("o/benny/story.json").read_text() == content

    def test_while_another_run_writes(self, capsys, many):
        from acdc.engine.storage.manifest import ManifestWriter, read_manifest

        path = Path("o/manifest.jsonl")
        with ManifestWriter(path, read_manifest(path)):
            before = files("o")
            assert "another run is writing" in refuse(capsys, *ASKED, "--resume")
            assert "another run is writing" in refuse(capsys, *ASKED, "--overwrite")
            assert files("o") == before
