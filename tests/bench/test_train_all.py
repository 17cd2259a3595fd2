"""The whole training in one command: order, going on after a stop or a fault, and the bundle of a toy training."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from acdc.bench.storyworld.train import all as module
from acdc.bench.storyworld.train.all import Training, main
from acdc.bench.storyworld.train.stages import FULL, TOY, Stage, stages
from acdc.engine import Engine

pytestmark = pytest.mark.training

ROOT = Path(__file__).parents[2]


def stage(name: str, code: str, after: tuple[str, ...] = (), wide: bool = False) -> Stage:
    """One that runs ``code``, which has no blanks."""
    return Stage(name, f"timeit -n 1 -r 1 {code}", after, wide, "", False)


def append(letter: str) -> str:
    return f"open('order','a').write('{letter}')"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs made-up stages in ``tmp_path``."""

    def invoke(*made_up: Stage, words: tuple[str, ...] = ()):
        monkeypatch.setattr(module, "stages", lambda size, few_steps: made_up)
        return CliRunner().invoke(main, ["--out", str(tmp_path), *words])

    return invoke


def test_stages_run_in_order_and_once(run, tmp_path):
    made_up = (stage("a", append("a")), stage("b", append("b"), ("a",)), stage("c", append("c"), ("b",), wide=True))
    assert run(*made_up, words=("--until", "b")).exit_code == 0
    assert (tmp_path / "order").read_text() == "ab"
    assert run(*made_up).exit_code == 0
    assert (tmp_path / "order").read_text() == "abc"
    assert json.loads((tmp_path / "done" / "c.json").read_text())["command"][-1] == append("c")


def test_a_fault_stops_only_what_waits_for_it_and_is_mended_by_the_next_call(run, tmp_path):
    good = (stage("b", append("b"), ("a",)), stage("c", append("c")))
    result = run(stage("a", "open('nowhere')"), *good)
    assert result.exit_code == 1
    assert "not finished: a, b" in result.output
    assert "nowhere" in (tmp_path / "done" / "a.log").read_text()
    assert (tmp_path / "order").read_text() == "c"
    again = run(stage("a", append("a")), *good)
    assert again.exit_code == 0, again.output
    assert (tmp_path / "order").read_text() == "cab"


def test_mistakes_are_named(run, tmp_path):
    one = stage("a", append("a"))
    assert "unknown stage 'z'; choose one of a" in run(one, words=("--until", "z")).output
    assert "0 is not in the range x>=1" in run(one, words=("--threads", "0")).output
    assert run(one, words=("--toy",)).exit_code == 0
    assert "holds a training of toy size" in run(one).output


def test_a_stopped_command_leaves_no_process(tmp_path):
    code = f"""
from acdc.bench.storyworld.train import all as module
from acdc.bench.storyworld.train.stages import Stage
sleeps = "timeit -n 1 -r 1 (open('pid','w').write(str(__import__('os').getpid())),__import__('time').sleep(60))"
module.stages = lambda size, few_steps: (Stage("a", sleeps, (), False, "", False),)
module.main(["--out", {str(tmp_path)!r}])
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    until = time.monotonic() + 60
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert not (tmp_path / "done" / "a.json").exists()


class Instant(Training):
    """Processes that are only noted."""

    def __init__(self, todo, threads):
        super().__init__(Path(), todo, threads, "cpu")
        self.finished = set()

    def is_done(self, name):
        return name in self.finished


@given(threads=st.integers(1, 4), data=st.data())
def test_no_more_threads_than_allowed_and_everything_ends(threads, data):
    training = Instant(stages(FULL), threads)
    while len(training.finished) < len(training.todo):
        for ready in training._ready():
            assert all(name in training.finished for name in ready.after)
            training.running[ready.name] = (ready, 0.0, None)
        used = sum(training._width(one) for one, _, _ in training.running.values())
        assert 0 < used <= threads
        ended = data.draw(st.sampled_from(sorted(training.running)))
        del training.running[ended]
        training.finished.add(ended)


@pytest.mark.parametrize("size", [FULL, TOY])
def test_every_stage_waits_for_earlier_ones_and_its_command_has_these_options(size):
    every = stages(size, few_steps=True)
    assert stages(size) == tuple(one for one in every if one.name != "distill")
    training = Training(Path("out"), every, 2, "cpu")
    for place, one in enumerate(every):
        assert set(one.after) <= {before.name for before in every[:place]}
        name, *words = training.command(one)[2:]
        command = import_module(name).main
        if isinstance(command, click.Command):
            context = command.make_context(name, list(words), resilient_parsing=True)
            assert not context.args
    assert len({one.name for one in every}) == len(every)
    made = {path for one in every for path in re.findall(r"--out (\S+)", one.command)}
    read = {
        path
        for one in every
        for path in re.findall(
            r"--(?:data|clips|stories|arm|init|base|tokenizer|vae|corrector) ([a-z]\S*)", one.command
        )
    }
    assert all(any(path == out or path.startswith(f"{out}/") for out in made) for path in read)


@pytest.mark.slow  # minutes: every stage starts a process of its own
def test_a_toy_training_makes_a_bundle_that_draws(tmp_path):
    result = CliRunner().invoke(main, ["--toy", "--few-steps", "--out", str(tmp_path)])
    logs = {path.stem: path.read_text()[-600:] for path in (tmp_path / "done").glob("*.log")}
    assert result.exit_code == 0, (result.output, logs)
    story = Engine.from_pretrained(str(tmp_path / "storyworld")).generate(["Luna the fox sat."])
    assert story.images[0].shape == (64, 64, 3)
    few = Engine.from_pretrained(str(tmp_path / "storyworld-lcm")).generate(["Luna the fox sat."])
    assert few.start["steps_run"] == 4
    assert (tmp_path / "runs" / "round_trip.png").is_file()
    assert (tmp_path / "runs" / "video" / "arm" / "model.safetensors").is_file()
    assert (tmp_path / "runs" / "motion" / "motion_adapter" / "config.json").is_file()
