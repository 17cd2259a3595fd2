"""The command line: what it writes, how it is interrupted, what the small commands print."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from acdc.engine.cli.main import main
from acdc.engine.examples import EXAMPLES
from acdc.engine.runtime.backends import STAGES
from tests.helpers.acdc_fake import COMMAND
from tests.helpers.cli_runs import STORY, files, refuse, without_times
from tests.helpers.fake_engine import Killed

pytestmark = pytest.mark.usefixtures("own_folder")


class TestStory:
    def test_writes_everything_and_says_where(self, capsys, fake):
        assert main(["story", *STORY, "--seed", "3"]) == 0
        printed = capsys.readouterr()
        assert printed.out.startswith("out/story/sheet.png: 3 frames, ")
        assert printed.err.count("\n") == 3
        assert len(files("out/story")) == 3 * 2 + 3
        record = json.loads(Path("out/story/story.json").read_text())
        assert record["sentences"] == STORY
        assert record["seed"] == 3
        assert record["start"] == {"timestep": 501, "alpha_bar": 0.25, "steps_run": 25}
        assert record["versions"]["acdc"]

    @pytest.mark.parametrize("name", EXAMPLES)
    def test_examples(self, name, fake):
        assert main(["story", "--example", name]) == 0
        assert json.loads(Path(f"out/{name}/story.json").read_text())["sentences"] == list(EXAMPLES[name])

    def test_prompts_file_with_byte_order_mark_and_crlf(self, fake):
        Path("p.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(STORY).encode() + b"\r\n\r\n")
        assert main(["story", "--prompts", "p.txt", "--out", "o"]) == 0
        assert without_times("o")["sentences"] == STORY

    def test_options_reach_the_engine(self, fake):
        argv = (
            "--strength 0.4 --steps 10 --guidance 2 --negative-prompt blur --temperature 0.9 --top-k 5 --context full"
        )
        argv += " --memory none --correct-first 2 --correct-every 2"
        assert main(["story", *STORY, *argv.split()]) == 0
        stored = without_times("out/story")
        expected = {
            "strength": 0.4, "num_inference_steps": 10, "guidance_scale": 2.0, "negative_prompt": "blur",
            "temperature": 0.9, "top_k": 5, "context": "full", "memory": "none", "correct_first": 2, "correct_every": 2,
            "correction": True,
        }  # fmt: skip
        assert {name: stored["settings"][name] for name in expected} == expected
        assert [frame["corrected"] for frame in stored["frames"]] == [True, False, False]

    def test_no_correction(self, fake):
        assert main(["story", *STORY, "--no-correction"]) == 0
        stored = without_times("out/story")
        assert stored["start"] == {}
        assert not any(frame["corrected"] for frame in stored["frames"])

    def test_an_earlier_story_is_kept_unless_overwrite_is_said(self, capsys, fake):
        main(["story", *STORY])
        before = files()
        capsys.readouterr()
        line = refuse(capsys, "story", "A cat.")
        assert "--resume" in line
        assert "--overwrite" in line
        assert files() == before
        assert main(["story", "A cat.", "--overwrite"]) == 0
        assert without_times("out/story")["sentences"] == ["A cat."]

    def test_overwrite_keeps_the_earlier_story_until_a_frame_is_done(self, fake):
        main(["story", *STORY])
        before = files()
        fake(stop_at=0)
        with pytest.raises(Killed):
            main(["story", "A cat.", "--overwrite"])
        assert files() == before


class TestInterrupt:
    @pytest.mark.parametrize(("stop_at", "words"), [(0, "nothing was written"), (2, "--resume")])
    def test_one_line_and_130(self, capsys, fake, stop_at, words):
        fake(stop_at=stop_at, stop=KeyboardInterrupt)
        assert main(["story", *STORY]) == 130
        last = capsys.readouterr().err.splitlines()[stop_at:]
        assert len(last) == 1
        assert f"after {stop_at} of 3 frames" in last[0]
        assert words in last[0]
        assert len(without_times("out/story")["frames"]) == stop_at if stop_at else not Path("out").exists()

    def test_a_real_signal(self):
        argv = [*COMMAND, "story", *(["A cat sat in a garden."] * 200), "--out", "o", "--steps", "4"]
        # A shell that starts the tests in the background lets them, and what they start, ignore the signal.
        heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        slow = {**os.environ, "FAKE_FRAME_S": "0.1"}
        command = subprocess.Popen(argv, stderr=subprocess.PIPE, env=slow, preexec_fn=heeding)
        waiting_since = time.monotonic()
        while not Path("o/story.json").exists() and time.monotonic() - waiting_since < 100:
            time.sleep(0.02)
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=60)
        assert command.returncode == 130
        lines = errors.decode().splitlines()
        assert "interrupted after" in lines[-1]
        assert lines[0] == "acdc: the correction runs 2 of 4 steps of ddim, from timestep 501"
        assert all(line.startswith("frame ") for line in lines[1:-1])
        assert without_times("o")["frames"]


class TestOtherCommands:
    def test_help_version_and_mistakes_need_no_torch(self, tmp_path):
        script = (
            "import sys; from acdc.engine.cli.main import main;"
            "codes = [main(['--help']), main(['story', '--help']), main(['--version']), main([])];"
            "codes.append(main(['story', 'A cat.', '--strength', '3']));"
            f"codes.append(main(['story', 'A cat.', '--bundle', 'atlantis', '--out', {str(tmp_path / 'out')!r}]));"
            "print(codes, 'torch' in sys.modules)"
        )
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert ran.stdout.splitlines()[-1] == "[0, 0, 0, 0, 2, 2] False"

    def test_module_and_exit_code(self):
        ran = subprocess.run(
            [sys.executable, "-m", "acdc.engine", "story"], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 2
        assert ran.stderr == "acdc: no sentence given; give SENTENCES, --example NAME or --prompts FILE\n"

    def test_info(self, capsys):
        assert main(["info"]) == 0
        text = capsys.readouterr().out
        assert all(word in text for word in ("acdc", "torch", "cpu", "cuda", "rules", "openvino"))
        assert main(["info", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        shown = {"versions", "optional", "devices", "backends", "attention", "kernels"}
        shown |= {"bundles", "published", "loras", "samplers", "reference", "acdit", "memories", "per_sentence"}
        assert shown == set(found)
        assert found["attention"]["sdpa"] == found["kernels"]["torch"] == []
        for name, entry in found["optional"].items():
            assert entry["available"] or f"pip install {name}" in entry["note"]

    @pytest.mark.long
    @pytest.mark.parametrize(
        "stages", [("tokenizer_decoder", "vae_encoder"), pytest.param(tuple(STAGES), marks=pytest.mark.slow)]
    )
    def test_compile_builds_once_what_stories_need_and_cache_lists_it(
        self, capsys, tiny, tmp_path, monkeypatch, stages
    ):
        monkeypatch.setenv("ACDC_CACHE", str(tmp_path / "kept"))
        backend = ",".join(f"{stage}=openvino" for stage in stages)
        asked = ["compile", "--bundle", tiny, "--frames", "2", "--backend", backend]
        assert main(asked) == 0
        first = capsys.readouterr().out.splitlines()
        assert len(first) == len(stages) + 1, first  # and the summary
        assert first[-1].startswith(str(tmp_path / "kept" / "plans"))
        assert main(asked) == 0
        assert "0 plans built" in capsys.readouterr().out
        assert main(["cache"]) == 0
        listed = capsys.readouterr().out
        assert all(stage in listed for stage in stages)
        assert main(["cache", "--clear"]) == 0
        assert f"removed {len(stages)} plans" in capsys.readouterr().out
        assert main(["cache"]) == 0
        assert "0 plans" in capsys.readouterr().out
