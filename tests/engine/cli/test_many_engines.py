"""``acdc generate --engines``: what goes together, and folders as one process writes them."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from acdc.engine.cli.main import main
from acdc.engine.cli.many_engines import FleetChoice, fleet_choice, threads_each
from acdc.engine.fleet.gpus import visible_gpus
from acdc.engine.fleet.limits import Limits
from acdc.engine.options import EngineOptions
from tests.helpers.cli_runs import refuse
from tests.helpers.generate_runs import assert_same, manifest, write_file

pytestmark = pytest.mark.usefixtures("own_folder")
EXACT = ("--dtype", "float64", "--steps", "4", "--threads", "1")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--gpus-per-engine 1", "--gpus-per-engine 1 is for engines in processes of their own; give --engines N"),
        ("--engine-timeout 9", "--engine-timeout 9 is for engines in processes of their own; give --engines N"),
        ("--engines 2 --gpus-per-engine 1", "--gpus-per-engine 1 does not go with --device cpu"),
        ("--ray --device cuda --gpus-per-engine 0", "--gpus-per-engine 0 does not go with --device cuda"),
        ("--engines 2 --device cuda:1", "--device cuda:1 goes with one engine"),
        ("--engines 2 --device cuda --gpus-per-engine 0.5", "is a fraction, which goes with --ray only"),
        ("--ray --device cuda --gpus-per-engine 1.5", "is a fraction, which goes below 1 only"),
        ("--engines 0", "0 is not in the range"),
        ("--engine-timeout 0 --engines 2", "0.0 is not in the range"),
    ],
)
def test_options_that_do_not_fit_together(capsys, given, said):
    assert said in refuse(capsys, "generate", "--stories", write_file([1]), *given.split())


def test_without_ray(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    said = refuse(capsys, "generate", "--stories", write_file([1]), "--ray", "--engines", "2")
    assert said == "acdc: --ray needs Ray; install it with: pip install 'acdc-engine[ray]'\n"


@pytest.mark.slow
def test_a_bundle_that_no_engine_can_load(capsys):
    said = refuse(capsys, "generate", "--stories", write_file([1]), "--engines", "1", "--bundle", "nothing")
    assert "'nothing'" in said
    assert not Path("out").exists()


def test_choices():
    assert fleet_choice(None, None, None, None, EngineOptions()) is None
    assert fleet_choice(3, None, None, None, EngineOptions()) == FleetChoice(3, None, 0.0, Limits())
    assert fleet_choice(None, "", None, 9.0, EngineOptions()) == FleetChoice(1, "", 0.0, Limits(stall_s=9.0))
    on_gpu = EngineOptions(device="cuda")
    assert fleet_choice(2, None, None, None, on_gpu) == FleetChoice(2, None, 1.0, Limits())
    assert fleet_choice(2, "auto", 0.5, None, on_gpu) == FleetChoice(2, "auto", 0.5, Limits())


def test_cores_are_shared(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert [threads_each(FleetChoice(n, None, 0, Limits())) for n in (1, 3, 16)] == [8, 2, 1]
    assert threads_each(FleetChoice(4, "", 0, Limits())) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_each(FleetChoice(4, None, 0, Limits())) is None
    assert threads_each(FleetChoice(4, "", 0, Limits())) == 3


def test_gpus_are_shared(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus(2, 1) == [["0"], ["1"]]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    assert visible_gpus(2, 2) == [["4", "5"], ["6", "7"]]
    with pytest.raises(ValueError, match="--engines 5 need 5 GPUs"):
        visible_gpus(5, 1)


@pytest.mark.long
def test_two_engines_write_the_folders_of_one_process(capsys, tiny):
    """In float64 a story is the same with whichever stories it shares a launch."""
    asked = ["generate", "--stories", write_file([2, 1, 1]), "--bundle", tiny, *EXACT]
    assert main([*asked, "--out", "many", "--engines", "2"]) == 0
    assert capsys.readouterr().out.startswith("many: 3 stories, 4 frames, ")
    assert main([*asked, "--out", "one"]) == 0
    assert_same("many", "one")
    assert main([*asked, "--out", "many", "--resume"]) == 0
    assert capsys.readouterr().out.endswith("many: the 3 stories are finished, nothing to resume\n")


@pytest.mark.slow
def test_ctrl_c_and_resume(tiny):
    file = write_file([3] * 60)
    asked = ["generate", "--stories", file, "--bundle", tiny, *EXACT, "--engines", "2"]
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    argv = [sys.executable, "-m", "acdc.engine", *asked, "--out", "o"]
    # A group of its own, which all gets the signal: as a terminal sends it.
    command = subprocess.Popen(argv, stderr=subprocess.PIPE, preexec_fn=heeding, start_new_session=True)
    begun = time.monotonic()
    while len(list(Path("o").rglob("sheet.png"))) < 2 and time.monotonic() - begun < 300:
        time.sleep(0.02)
    os.killpg(command.pid, signal.SIGINT)
    _, errors = command.communicate(timeout=100)
    assert command.returncode == 130
    lines = errors.decode().splitlines()
    assert lines[-1] == f"acdc: interrupted after {len(manifest('o'))} of 60 stories in o; continue with --resume"
    assert all(line.startswith("story ") for line in lines[1:-1])
    assert main([*asked, "--out", "o", "--resume"]) == 0
    assert main([*asked[:-2], "--out", "one"]) == 0
    assert_same("o", "one")
