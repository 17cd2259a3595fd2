"""``acdc generate``: what it writes and says, stories that fail, Ctrl-C."""

import gc
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from acdc.engine.cli import generate as generate_command
from acdc.engine.cli.flags import gathered
from acdc.engine.cli.generate import generate, scheduler_config
from acdc.engine.cli.main import main
from acdc.engine.memory import MemoryFailure
from acdc.engine.outputs import Frame
from acdc.engine.scheduler.policy import SERIAL, SchedulerConfig
from acdc.engine.scheduler.slot_phases import SlotPhases
from acdc.engine.storage.run_writer import MAX_PENDING_SHEETS
from acdc.engine.storage.stories_file import read_requests
from tests.helpers.acdc_fake import COMMAND
from tests.helpers.cli_runs import files, without_times
from tests.helpers.generate_runs import TEXTS, assert_same, manifest, write_file

pytestmark = pytest.mark.usefixtures("own_folder")


class TestWritten:
    def test_stories_progress_and_summary(self, capsys, many):
        engine = many()
        assert main(["generate", "--stories", write_file([2, 1, {"sentences": ["A dog."], "id": "dog"}])]) == 0
        printed = capsys.readouterr()
        assert printed.out.startswith("out/s: 3 stories, 4 frames, ")
        assert printed.out.endswith(" frames a second, 0 failed\n")
        lines = printed.err.splitlines()
        assert len(lines) == 3
        assert all("frames/s" in line and " left" in line for line in lines)
        assert {entry["frames"] for entry in manifest("out/s").values()} == {1, 2}
        assert set(manifest("out/s")) == {"000001", "000002", "dog"}
        assert engine.run.closed

    @pytest.mark.long
    @pytest.mark.parametrize("options", [(), ("--correct-every", "2"), ("--no-correction",)])
    def test_each_story_is_what_the_story_command_writes(self, capsys, exact, tiny, options):
        shared = ["--bundle", tiny, "--dtype", "float64", "--steps", "4", *options]
        file = write_file([3, {"sentences": TEXTS[:2], "id": "my_cat", "seed": 40}])
        assert main(["generate", "--stories", file, "--out", "many", *shared]) == 0
        for name, seed, frames in (("000001", 0, 3), ("my_cat", 40, 2)):
            out = ["--out", f"alone/{name}", "--seed", str(seed)]
            assert main(["story", *TEXTS[:frames], *out, *shared]) == 0
            many, alone = files(f"many/{name}"), files(f"alone/{name}")
            assert many.keys() == alone.keys()
            assert all(many[path] == alone[path] for path in many if path.endswith(".png"))
            assert without_times(f"many/{name}") == without_times(f"alone/{name}")
            out = ["--out", f"many/{name}", "--seed", str(seed), "--resume"]
            assert main(["story", *TEXTS[:frames], *out, *shared]) == 0
        assert capsys.readouterr().out.count("nothing to resume") == 2

    def test_spans_follow_one_another_on_the_storys_own_clock(self, exact):
        assert main(["generate", "--stories", write_file([3, 3]), "--out", "o", "--steps", "4"]) == 0
        for name in ("000001", "000002"):
            frames = json.loads(Path(f"o/{name}/story.json").read_text())["frames"]
            phases = [frame["phases_ms"] for frame in frames]
            assert all(times["draw"] > 0 and times["correct"] > 0 and times["memory"] > 0 for times in phases)
            spans = [span for frame in frames for span in frame["spans"] if span[0] != "memory"]
            ends = [start + ms for _, start, ms in spans]
            assert all(start >= end - 0.002 for (_, start, _), end in zip(spans[1:], ends, strict=False))
            assert min(start for frame in frames for _, start, _ in frame["spans"]) >= 0

    @pytest.mark.long
    def test_memory_holds_stories_on_the_way_only(self, many, monkeypatch):
        many()
        held = []
        add = generate_command.ManyWriter._add

        def counted(writer, made):
            add(writer, made)
            if made.frame.index == 1 and made.request.seed % 20 == 0:
                held.append(sum(type(thing) is Frame for thing in gc.get_objects()))

        monkeypatch.setattr(generate_command.ManyWriter, "_add", counted)
        before = sum(type(thing) is Frame for thing in gc.get_objects())
        assert main(["generate", "--stories", write_file([2] * 100), "--concurrency", "3"]) == 0
        assert len(held) == 5
        assert max(held) - before <= (3 + MAX_PENDING_SHEETS + 2) * 2

    def test_stories_from_standard_input(self):
        story = json.dumps({"sentences": [TEXTS[0]]})
        argv = [*COMMAND, "generate", "--stories", "-", "--steps", "4"]
        ran = subprocess.run(argv, input=story, capture_output=True, text=True, check=True)
        assert ran.stdout.startswith("out/stories: 1 stories, 1 frames, ")
        ran = subprocess.run(argv, input=story + "\n{}", capture_output=True, text=True, check=False)
        assert ran.returncode == 2
        assert "line 2 has no list of texts 'sentences'" in ran.stderr

    @pytest.mark.parametrize(("key", "meant"), [("sed", "seed"), ("Seed", "seed"), ("ID", "id"), ("seeds", "seed")])
    def test_a_misspelt_key_is_refused(self, tmp_path, key, meant):
        file = tmp_path / "stories.jsonl"
        file.write_text(json.dumps({"sentences": [TEXTS[0]], key: 1, "note": "any other key is the user's"}))
        with pytest.raises(ValueError, match=f"line 1: key '{key}' is unknown; did you mean '{meant}'"):
            read_requests(file, 0)

    def test_help_needs_no_torch(self):
        script = (
            "import sys; from acdc.engine.cli.main import main;"
            "codes = [main(['generate', '--help']), main(['generate', '--stories', 'none.jsonl'])];"
            "print(codes, 'torch' in sys.modules)"
        )
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert ran.stdout.splitlines()[-1] == "[0, 2] False"


class TestPipelining:
    def config(self, flags: str, device: str = "cpu") -> SchedulerConfig:
        argv = ["--stories", "a.jsonl", *flags.split()]
        with generate.make_context("generate", argv) as context:
            parameters = gathered(context.params)
        chosen = {name: parameters[name] for name in ("serial", "batch")}
        return scheduler_config(parameters["given"], SimpleNamespace(type=device), **chosen)

    def test_flags(self):
        assert self.config("") == SchedulerConfig()
        assert self.config("--serial") == SERIAL
        assert self.config("--serial --run-ahead 2") == replace(SERIAL, prompt_lookahead=2)
        expected = SchedulerConfig(
            slots=3, stories=5, draw_batch=6, correct_batch=6, prompt_lookahead=0, merge_replace=False
        )
        assert self.config("--slots 3 --concurrency 5 --batch 6 --run-ahead 0 --no-merge") == expected

    def test_what_suits_a_gpu_is_kept(self):
        assert self.config("--slots 1", "cuda").draw_batch == 16
        assert self.config("--batch 2", "cuda").draw_batch == 2
        assert self.config("--batch 2 --set scheduler.draw_batch=8", "cuda").draw_batch == 8

    @pytest.mark.long
    @pytest.mark.parametrize(
        "flags", [("--serial",), ("--slots", "3", "--batch", "1", "--no-merge"), ("--run-ahead", "0")]
    )
    def test_no_flag_changes_a_story(self, exact, flags):
        file = write_file([2, 1, 2])
        assert main(["generate", "--stories", file, "--out", "a", "--steps", "4"]) == 0
        assert main(["generate", "--stories", file, "--out", "b", "--steps", "4", *flags]) == 0
        assert_same("a", "b")


class TestFailure:
    def test_one_story_fails_and_the_others_do_not(self, capsys, many):
        error = MemoryFailure("memory failed:\n the endpoint\x1b is gone")
        many(failures={("000002", 1): error, ("000003", 0): KeyError("x")})
        assert main(["generate", "--stories", write_file([2, 2, 1, 3]), "--out", "o"]) == 1
        printed = capsys.readouterr()
        assert "2 stories, 6 frames," in printed.out
        assert printed.out.endswith("2 failed\n")
        failed = [line for line in printed.err.splitlines() if "failed" in line]
        assert sorted(failed) == [
            "acdc: story '000002' failed: memory failed: the endpoint\\x1b is gone",
            "acdc: story '000003' failed: KeyError: 'x'",
        ]
        assert manifest("o")["000002"] == {"id": "000002", "error": "memory failed: the endpoint\\x1b is gone"}
        assert len(without_times("o/000002")["frames"]) == 1
        assert not Path("o/000003").exists()
        many()
        assert main(["generate", "--stories", "s.jsonl", "--out", "whole"]) == 0
        for name in ("000001", "000004"):
            assert files(f"o/{name}").keys() == files(f"whole/{name}").keys()
            assert without_times(f"o/{name}") == without_times(f"whole/{name}")

    def test_of_the_real_engine(self, capsys, exact, monkeypatch):
        decode = SlotPhases.vq_decode

        def failing(self, works):
            if any(work.request.seed == 1 and work.index == 1 for work in works):
                raise RuntimeError("out of luck")
            return decode(self, works)

        file = write_file([2, 2, 1])
        with monkeypatch.context() as patch:
            patch.setattr(SlotPhases, "vq_decode", failing)
            assert main(["generate", "--stories", file, "--out", "o", "--steps", "4"]) == 1
        assert "acdc: story '000002' failed: RuntimeError: out of luck" in capsys.readouterr().err
        assert main(["generate", "--stories", file, "--out", "o", "--steps", "4", "--resume"]) == 0
        assert main(["generate", "--stories", file, "--out", "whole", "--steps", "4"]) == 0
        assert_same("o", "whole")

    def test_a_sentence_that_the_model_cannot_read(self, capsys, exact):
        long = " ".join("word" * 5 for _ in range(60))
        file = write_file([1, {"sentences": ["A cat.", long]}, 2])
        code = main(["generate", "--stories", file, "--out", "o", "--steps", "4"])
        failed = {name for name, entry in manifest("o").items() if "error" in entry}
        assert (code, failed) == (1, {"000002"})

    def test_a_sheet_that_cannot_be_drawn(self, capsys, many, monkeypatch):
        many()
        file = write_file([2] * 8)

        def draw(story, title):
            if story.seed == 1:
                raise MemoryError("no room for\nthe sheet")
            return Image.new("RGB", (2, 2))

        with monkeypatch.context() as patch:
            patch.setattr("acdc.engine.storage.story_writer.draw_sheet", draw)
            assert main(["generate", "--stories", file, "--out", "o"]) == 1
            printed = capsys.readouterr()
            assert "7 stories, 16 frames, " in printed.out
            message = "its frames are there, its sheet or trace is not: MemoryError: no room for the sheet"
            assert f"acdc: story '000002' failed: {message}\n" in printed.err
            assert manifest("o")["000002"] == {"id": "000002", "error": message}
            assert len(without_times("o/000002")["frames"]) == 2
            assert main(["generate", "--stories", file, "--out", "o", "--resume"]) == 1
        engine = many()
        assert main(["generate", "--stories", file, "--out", "o", "--resume"]) == 0
        assert engine.made == []
        assert main(["generate", "--stories", file, "--out", "whole"]) == 0
        assert_same("o", "whole")

    def test_nobody_reads_the_progress_any_more(self, capsys, many, monkeypatch):
        many()
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "wb", 0) as gone:
            monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(gone, write_through=True))
            assert main(["generate", "--stories", write_file([1, 2]), "--out", "o"]) == 0
            monkeypatch.undo()
        assert capsys.readouterr().out.startswith("o: 2 stories, 3 frames, ")

    def test_a_full_disk_ends_the_run_in_one_line(self, capsys, many, monkeypatch):
        engine = many()
        write = generate_command.ManyWriter._add

        def full(writer, made):
            if made.request.id == "000002":
                raise OSError(28, "No space left on device")
            write(writer, made)

        monkeypatch.setattr(generate_command.ManyWriter, "_add", full)
        assert main(["generate", "--stories", write_file([1, 1, 1])]) == 2
        assert capsys.readouterr().err.splitlines()[-1] == "acdc: [Errno 28] No space left on device"
        assert engine.run.closed
