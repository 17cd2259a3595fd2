"""``kill -9`` of ``acdc generate`` at random moments, then ``--resume``: nothing is lost, and nothing is repeated."""

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acdc.engine.cli import generate as generate_command
from acdc.engine.cli.main import main
from acdc.engine.storage.manifest import read_manifest
from tests.helpers.acdc_fake import COMMAND
from tests.helpers.fake_many import FakeMany
from tests.helpers.generate_runs import assert_same, write_file

pytestmark = pytest.mark.usefixtures("own_folder")
PATIENCE = 300.0  # seconds until a run must have begun to draw, on the most crowded of machines


class Runs:
    """One command, killed and resumed in the same folder until it is finished; compared with the same undisturbed."""

    def __init__(self, program: list[str], options: list[str], seed: int, drawing: float | None = None) -> None:
        """``program`` is ``acdc``; ``drawing`` is how long it draws, in seconds (None: as long as this process)."""
        self.random, self.out, self.whole = random.Random(seed), Path("o"), Path("whole")
        self.program, self.options = program, [*options, "--concurrency", "4"]
        self.start = 0.0  # seconds until a process begins to draw
        begun = time.monotonic()
        self._run(self.whole)
        self.drawing = drawing or time.monotonic() - begun

    def kill_somewhere(self) -> bool:
        """Was the run killed? Otherwise it was quicker, and is compared with the undisturbed one."""
        before = stamps(self.out)
        kept = self._finished_files()
        begun = time.monotonic()
        with self._process(self.out, "--resume") as process:
            if self.start and self.random.random() < 0.2:
                self._sleep(self.start)  # on its way there
            else:
                self._wait_for_a_file(process, self.out, before)
                self.start = time.monotonic() - begun
                self._sleep(self.drawing / 4)
            process.kill()
            killed = process.wait() != 0
        assert kept.items() <= stamps(self.out).items(), "a finished story was written again"
        if not killed:
            self.compare()
        return killed

    def finish(self) -> None:
        """Resume until it is done."""
        self._run(self.out, "--resume")
        self.compare()

    def compare(self) -> None:
        """The same as undisturbed; the next run begins again."""
        assert_same(self.out, self.whole)
        shutil.rmtree(self.out)

    def _finished_files(self) -> dict[Path, int]:
        finished = read_manifest(self.out / "manifest.jsonl").finished
        return {path: stamp for path, stamp in stamps(self.out).items() if path.parts[1] in finished}

    def _sleep(self, most: float) -> None:
        time.sleep(self.random.uniform(0, most))

    def _wait_for_a_file(self, process: subprocess.Popen[bytes], out: Path, before: dict[Path, int]) -> None:
        waiting_since = time.monotonic()
        while process.poll() is None and stamps(out) == before:
            assert time.monotonic() - waiting_since < PATIENCE, "it does not begin to draw"
            time.sleep(0.01)

    def _arguments(self, out: Path, *more: str) -> list[str]:
        return ["generate", "--stories", "s.jsonl", "--out", str(out), *self.options, *more]

    def _run(self, out: Path, *more: str) -> None:
        """Undisturbed, in this process."""
        assert main(self._arguments(out, *more)) == 0

    @contextmanager
    def _process(self, out: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
        command, quiet = [*self.program, *self._arguments(out, *more)], subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def stamps(out: Path) -> dict[Path, int]:
    """When each file was written; one may be renamed while we look."""
    found = {}
    for path in out.rglob("*"):
        try:
            if path.is_file():
                found[path] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found


def crash(runs: Runs, kills: int) -> None:
    made = 0
    while made < kills:
        made += runs.kill_somewhere()
    runs.finish()


def crash_models(tiny: str, kills: int, frames: list[int], seed: int) -> None:
    write_file(frames)
    # In float64 a story is the same with whomever it shares a launch.
    options = ["--bundle", tiny, "--dtype", "float64", "--steps", "4"]
    crash(Runs([sys.executable, "-m", "acdc.engine"], options, seed), kills)


@pytest.mark.long
def test_three_kills(monkeypatch):
    monkeypatch.setattr(generate_command, "load_engine", lambda given, **_: FakeMany())
    monkeypatch.setenv("FAKE_FRAME_S", "0.05")
    frames = [2, 1, 3, 1, 2, 1]
    write_file(frames)
    crash(Runs(COMMAND, [], seed=1, drawing=0.05 * sum(frames)), 3)


@pytest.mark.long
def test_a_kill_while_models_draw(tiny):
    crash_models(tiny, 1, [2, 1, 1], seed=1)


@pytest.mark.slow
def test_fifty_kills(tiny):
    crash_models(tiny, 50, [2, 1, 3] * 8, seed=0)
