"""A test that kills its worker, or never ends, makes the whole run fail in time: proved by runs of pytest in pytest."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECONDS = 100  # below the two minutes that a run may hang, with another pytest next to it
COMMAND = re.search(r"python (-m pytest .*)", (ROOT / "README.md").read_text(encoding="utf-8"))
DEATHS = {
    "dies of a signal": "import os, signal; os.kill(os.getpid(), signal.SIGFPE)",
    "exits": "import os; os._exit(0)",
    "sleeps": "import time; time.sleep(1000)",
    "hangs in C": "import itertools; sum(itertools.repeat(0))",  # Python never gets to its signal handlers
}


def run(folder: Path, *options: str, only: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    """README's command over ``folder``, with this suite's settings and limits; with all plugins, or ``only`` these."""
    assert COMMAND is not None
    command = [sys.executable, *COMMAND[1].split(), "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    command += ["-p", "tests.helpers.time_limit", *options, str(folder)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    if only:  # plugins that have no part in it take two thirds of a process's start
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        command += [f"-p{name}" for name in only]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


@pytest.fixture
def folder(tmp_path):
    """More files than workers, so that something is left to do when a worker is gone."""
    for number in range(6):
        (tmp_path / f"test_{number}.py").write_text("def test_one(): pass\ndef test_two(): pass\n")
    return tmp_path


@pytest.mark.long
@pytest.mark.timeout(SECONDS + 20)
@pytest.mark.parametrize("how", DEATHS)
def test_a_worker_that_dies_or_hangs_fails_the_run_in_time(folder, how):
    (folder / "test_2.py").write_text(f"def test_one(): pass\ndef test_it(): {DEATHS[how]}\ndef test_two(): pass\n")
    (folder / "conftest.py").write_text("from tests.helpers import time_limit\ntime_limit.GRACE_SECONDS = 1\n")
    began = time.monotonic()
    ended = run(folder, "--timeout", "2", "-n", "2", only=("xdist.plugin", "pytest_timeout"))
    assert ended.returncode != 0, ended.stdout
    assert "test_2.py" in ended.stdout + ended.stderr, "the run names the test"
    assert time.monotonic() - began < SECONDS
    if how == "hangs in C":
        assert re.search(r"Timeout.*most recent call first.*in test_it", ended.stderr, re.DOTALL), "and says where"


@pytest.mark.long
def test_a_run_of_good_tests_ends_well(folder):
    ended = run(folder, "-n", "2")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "12 passed" in ended.stdout
