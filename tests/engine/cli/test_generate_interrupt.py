"""``acdc generate`` that is interrupted: what is finished stays, and ``--resume`` goes on."""

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from acdc.engine.cli import generate as generate_command
from acdc.engine.cli.main import main
from tests.helpers.generate_runs import assert_same, manifest, write_file

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.mark.parametrize("stop_at", [0, 1, 4, 7])
def test_130_with_a_hint_and_nothing_finished_is_lost(capsys, many, stop_at):
    engine = many(stop_at=stop_at, stop=KeyboardInterrupt)
    file = write_file([2, 2, 2, 2])
    assert main(["generate", "--stories", file, "--out", "o", "--concurrency", "2"]) == 130
    whole = stop_at // 4 * 2 + (1 if stop_at % 4 == 3 else 0)  # two at a time, frame about
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"acdc: interrupted after {whole} of 4 stories in o; continue with --resume"
    assert len(manifest("o")) == whole
    assert engine.run.closed
    again = many()
    assert main(["generate", "--stories", file, "--out", "o", "--concurrency", "2", "--resume"]) == 0
    assert len(again.made) == 8 - stop_at
    many()
    assert main(["generate", "--stories", file, "--out", "whole"]) == 0
    assert_same("o", "whole")


@pytest.mark.long
def test_the_real_engine(capsys, exact, monkeypatch):
    add = generate_command.ManyWriter._add
    left = [4]

    def interrupted(writer, made):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        add(writer, made)

    file = write_file([2, 2, 1])
    asked = ["generate", "--stories", file, "--steps", "4"]
    with monkeypatch.context() as patch:
        patch.setattr(generate_command.ManyWriter, "_add", interrupted)
        assert main([*asked, "--out", "o"]) == 130
    assert "continue with --resume" in capsys.readouterr().err
    assert main([*asked, "--out", "o", "--resume"]) == 0
    assert main([*asked, "--out", "whole"]) == 0
    assert_same("o", "whole")


@pytest.mark.long
def test_a_real_signal(tiny):
    argv = [sys.executable, "-m", "acdc.engine", "generate", "--stories", write_file([3] * 300), "--out", "o"]
    # A shell that starts the tests in the background lets them, and what they start, ignore the signal.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipe = subprocess.PIPE
    command = subprocess.Popen([*argv, "--bundle", tiny, "--steps", "10"], stderr=pipe, preexec_fn=heeding)
    waiting_since = time.monotonic()
    while not any(Path("o").rglob("sheet.png")) and time.monotonic() - waiting_since < 200:
        time.sleep(0.02)
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=100)
    assert command.returncode == 130
    lines = errors.decode().splitlines()
    finished = len(manifest("o"))
    assert finished >= 1
    assert lines[-1] == f"acdc: interrupted after {finished} of 300 stories in o; continue with --resume"
    assert all(line.startswith("story ") for line in lines[:-1])
