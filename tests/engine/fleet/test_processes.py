"""A fleet of real processes, some of which are killed, stopped or hang: the folders are those of one process."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from acdc.engine.fleet.fleet import Fleet
from acdc.engine.fleet.limits import Limits
from acdc.engine.fleet.local_processes import LocalProcesses
from acdc.engine.options import StoryOptions
from acdc.engine.outputs import StoryResult
from acdc.engine.scheduler.events import FrameDone
from acdc.engine.storage.manifest import MANIFEST_FILE, read_manifest
from acdc.engine.storage.run_progress import Lines, RunProgress
from acdc.engine.storage.run_writer import ManyWriter
from tests.helpers.fake_frame import next_frame
from tests.helpers.fleet_engines import SETTINGS, FakeRecipe, Trouble, drawn, lines, stories
from tests.helpers.generate_runs import assert_same, manifest

SHORT = Limits(silent_s=1.5, stall_s=1.5, pause_s=0.1, answer_s=0.2)


def write(run, out: Path, count: int, frames: int) -> None:
    """The folders and the manifest, as ``acdc generate`` writes them."""
    info = StoryResult((), 0, SETTINGS, {"acdc": "0"}, {"timestep": 501})
    progress = Lines(RunProgress(count, 0, frames))
    with ManyWriter(out, read_manifest(out / MANIFEST_FILE), info, [], progress, StoryOptions()) as writer:
        for event in run.events():
            writer.take(event)


class OneProcess:
    """The same stories one after another, here."""

    def __init__(self, requests):
        self.requests = requests

    def events(self):
        for request in self.requests:
            frames = []
            while len(frames) < len(request.sentences):
                frames.append(next_frame(request, frames))
                yield FrameDone(request, frames[-1], 10.0, 0.0)


def fleet_folders(path: Path, engines: int, count: int, *troubles: Trouble) -> list[tuple[str, int]]:
    """Both runs; returns the frames that the engines began."""
    requests = stories(count)
    frames = sum(len(request.sentences) for request in requests)
    write(OneProcess(requests), path / "one", count, frames)
    with Fleet(LocalProcesses(FakeRecipe(str(path), troubles=troubles)), engines, SHORT) as fleet:
        write(fleet.generate_many(requests), path / "many", count, frames)
    assert_same(path / "many", path / "one")
    assert len(manifest(path / "many")) == count
    return drawn(path)


@pytest.mark.long
def test_two_kills_and_a_hang_in_the_middle(tmp_path, capsys):
    """The folders of one process; the slow tests have runs without an accident, and with more."""
    troubles = Trouble("s2", 1, "kill"), Trouble("s5", 2, "kill"), Trouble("s7", 1, "sleep")
    begun = Counter(fleet_folders(tmp_path, 2, 10, *troubles))
    again = {frame: times for frame, times in begun.items() if times > 1}
    assert again == {("s2", 1): 2, ("s5", 2): 2, ("s7", 1): 2}, "only the frame under way is drawn twice"
    said = capsys.readouterr().err
    assert said.count("it was ended by SIGKILL") == 2
    assert said.count("no launch of it ended for 1.5 s") == 1


@pytest.mark.slow
def test_an_engine_that_is_stopped_is_ended(tmp_path, capsys):
    begun = Counter(fleet_folders(tmp_path, 1, 4, Trouble("s2", 1, "stop")))
    assert [frame for frame, times in begun.items() if times > 1] == [("s2", 1)]
    assert capsys.readouterr().err.count("it starts again") == 1


@pytest.mark.slow
@pytest.mark.parametrize("engines", [1, 2, 3])
def test_forty_stories(tmp_path, engines):
    assert max(Counter(fleet_folders(tmp_path, engines, 40)).values()) == 1


@pytest.mark.slow
def test_fourteen_kills_and_hangs(tmp_path):
    every = [(f"s{n}", index) for n in range(0, 40, 3) for index in range(len(stories(40)[n].sentences))]
    troubles = [Trouble(story, index, ("kill", "sleep", "stop")[n % 3]) for n, (story, index) in enumerate(every[:14])]
    begun = Counter(fleet_folders(tmp_path, 3, 40, *troubles))
    assert {frame for frame, times in begun.items() if times > 1} == {(t.story, t.index) for t in troubles}


DRIVER = """
import sys
from acdc.engine.fleet.fleet import Fleet
from acdc.engine.fleet.local_processes import LocalProcesses
from tests.helpers.fleet_engines import FakeRecipe, stories

if __name__ == "__main__":
    with Fleet(LocalProcesses(FakeRecipe(sys.argv[1], seconds=0.05)), 2) as fleet:
        for event in fleet.generate_many(stories(300)).events():
            pass
"""


def test_engines_end_with_their_driver(tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root.parent), str(root), *sys.path])}
    driver = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=environment)
    try:
        wait_for(lambda: len({line.split()[2] for line in lines(tmp_path)}) == 2)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    pids = {int(line.split()[2]) for line in lines(tmp_path)}
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def wait_for(condition, seconds: float = 60.0) -> None:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "it does not come about"
        time.sleep(0.02)
