"""All parts of the GPU's measurements in one command: what dies, hangs or is cut, and going on after it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import FileLock

from acdc.bench.gpu import all as module
from acdc.bench.gpu import parts as table
from acdc.bench.gpu.__main__ import gpu
from acdc.bench.gpu.all import run_parts
from acdc.bench.gpu.parts import PARTS, GpuPart
from acdc.bench.gpu.progress import AGAIN, named

pytestmark = pytest.mark.measuring

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Parts of these tests are started as ``python -m tests.helpers.gpu_part``; a second is enough to begin one."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(module, "LEAST_S", 0.1)
    monkeypatch.setattr("acdc.bench.gpu.child.POLL_S", 0.02)


def part(name: str, behaviours: str, silent_s: float = 20.0, **more) -> GpuPart:
    return GpuPart(name, "made up", ("tests.helpers.gpu_part", behaviours), 30.0, silent_s, **more)


def whole(name: str, code: str, seconds: float = 30.0) -> GpuPart:
    return GpuPart(name, "made up", ("timeit", "-n", "1", "-r", "1", code), seconds, rows=False)


def rows_of(folder: Path, name: str) -> list[dict]:
    return json.loads((folder / f"{name}.json").read_text())["rows"]


def states_of(folder: Path) -> dict[str, str]:
    return {name: found["state"] for name, found in json.loads((folder / "run.json").read_text())["parts"].items()}


def starts(folder: Path, name: str) -> int:
    log = folder / f"{name}.log"
    return log.read_text().count("--- ") if log.exists() else 0


def test_what_dies_hangs_or_fails_costs_its_own_row(tmp_path, capsys):
    faulty = part("faulty", "good,dies,fails,hangs,exits,loses,good", silent_s=1.5)
    parts = [faulty, part("broken", "broken"), part("last", "good,good")]
    assert run_parts(parts, tmp_path / "deep" / "out", 60) == 1
    folder = tmp_path / "deep" / "out"
    assert states_of(folder) == {"faulty": "failed", "broken": "failed", "last": "finished"}
    found = {row["row"] + str(row["number"]): row.get("failed") for row in rows_of(folder, "faulty")}
    assert found == {
        "good0": None,
        "dies1": "killed by SIGSEGV",
        "fails2": "RuntimeError: no such kernel",
        "hangs3": "hung: no sign of life for 2 s",
        "exits4": "the library left",
        "loses5": "AcceleratorError: illegal address",
        "good6": None,
    }
    assert 'gpu_part.py", line' in (folder / "faulty.log").read_text(), "where it hung"
    said = capsys.readouterr().out
    assert (folder / "table.txt").read_text() in said
    assert "faulty: 1 dies: killed by SIGSEGV" in said
    assert "broken: and more" in said, "the last line of the error"


def test_finished_parts_stay_and_failed_ones_are_tried_again_when_asked(tmp_path, monkeypatch):
    parts = [part("well", "good"), part("faulty", "good,dies,good"), part("broken", "broken")]
    assert run_parts(parts, tmp_path, 60) == 1
    before = {name: starts(tmp_path, name) for name in ("well", "faulty", "broken")}
    assert before == {"well": 1, "faulty": 2, "broken": 1}
    monkeypatch.setenv("MENDED", "1")
    assert run_parts(parts, tmp_path, 60) == 1, "nothing is run again"
    assert {name: starts(tmp_path, name) for name in before} == before
    parts[2] = part("broken", "good")
    assert run_parts(parts, tmp_path, 60, retry=True) == 0
    assert {name: starts(tmp_path, name) for name in before} == {"well": 1, "faulty": 3, "broken": 2}
    assert [row.get("failed") for row in rows_of(tmp_path, "faulty")] == [None] * 3


def test_what_fails_again_is_not_tried_for_ever(tmp_path):
    parts = [part("faulty", "dies,dies,good")]
    for tries, retry in ((3, False), (6, True)):
        assert run_parts(parts, tmp_path, 60, retry) == 1
        assert starts(tmp_path, "faulty") == tries


def test_the_time_of_a_call_ends_and_the_next_one_goes_on(tmp_path):
    parts = [part("first", "good,slow,slow,slow,good"), part("second", "good")]
    assert run_parts(parts, tmp_path, 2.0) == AGAIN
    assert states_of(tmp_path) == {"first": "cut"}
    early = len(rows_of(tmp_path, "first"))
    assert 1 <= early < 5
    assert "second         left" in (tmp_path / "table.txt").read_text()
    assert run_parts(parts, tmp_path, 60) == 0
    assert [row["number"] for row in rows_of(tmp_path, "first")] == [0, 1, 2, 3, 4], "each once"
    assert states_of(tmp_path) == {"first": "finished", "second": "finished"}
    assert len(json.loads((tmp_path / "run.json").read_text())["calls"]) == 2


def test_a_share_is_kept_while_others_wait_and_the_rest_comes_last(tmp_path, monkeypatch):
    order, run = [], module.run
    greedy, modest = part("greedy", "slow,slow,good")._replace(seconds=1.0), part("modest", "good")

    def noted(command, *rest, **more):
        order.append(command[3])
        return run(command, *rest, **more)

    monkeypatch.setattr(module, "run", noted)
    assert run_parts([greedy, modest], tmp_path, 60) == 0
    assert order == ["slow,slow,good", "good", "slow,slow,good"]


def test_what_is_missing_is_a_refusal_and_no_failure(tmp_path, capsys):
    parts = [
        part("library", "good", needs=("torch", "no-such-distribution")),
        part("tests", "good", folder="no/such/folder"),
        part("well", "good"),
    ]
    assert run_parts(parts, tmp_path, 60) == 0
    assert states_of(tmp_path) == {"library": "refused", "tests": "refused", "well": "finished"}
    said = capsys.readouterr().out
    assert "no-such-distribution not installed" in said
    assert "no folder no/such/folder here" in said


def test_parts_that_run_as_a_whole(tmp_path):
    parts = [
        whole("passes", "print('3 passed')"),
        whole("fails", "raise SystemExit('1 failed')"),
        whole("dies", "import os, signal; os.kill(os.getpid(), signal.SIGABRT)"),
        whole("long", "import time; time.sleep(30)", seconds=1.0),
    ]
    assert run_parts(parts, tmp_path, 6) == 1
    assert states_of(tmp_path) == {"passes": "finished", "fails": "failed", "dies": "failed", "long": "cut"}
    said = (tmp_path / "table.txt").read_text()
    assert "fails: SystemExit: 1 failed" in said
    assert "dies: killed by SIGABRT" in said


def test_sigterm_ends_the_process_under_way_and_keeps_what_is_there(tmp_path):
    code = (
        "from acdc.bench.gpu.all import run_parts; from acdc.bench.gpu.parts import GpuPart; from pathlib import Path"
    )
    code += "; part = GpuPart('hangs', '', ('tests.helpers.gpu_part', 'good,hangs'), 60.0, 60.0)"
    code += f"; run_parts([part], Path({str(tmp_path)!r}), 60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        while not (file := tmp_path / "hangs.json").exists() or not json.loads(file.read_text())["rows"]:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert states_of(tmp_path) == {"hangs": "cut"}
    assert "hangs          cut           1" in said
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in running


def test_a_folder_serves_one_run_and_one_size(tmp_path):
    parts = [part("well", "good")]
    assert run_parts(parts, tmp_path, 60) == 0
    with pytest.raises(ValueError, match="holds results of full size; give another --out"):
        run_parts(parts, tmp_path, 60, toy=True)
    with FileLock(tmp_path / ".lock"), pytest.raises(ValueError, match="is in use by another run"):
        run_parts(parts, tmp_path, 60)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is not a directory"):
        run_parts(parts, tmp_path / "file", 60)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--only", "elephant", "--out", "x"], 2, "unknown part 'elephant'; choose among device, right, graphs"),
        ([], 2, "Missing option '--out'"),
        (["--minutes", "0", "--out", "x"], 2, "0.0 is not in the range"),
        (["--out", "x"], 1, "torch sees no CUDA device here; --toy rehearses the parts on the CPU"),
    ],
)
def test_mistakes_are_one_line(monkeypatch, arguments, status, said):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = CliRunner().invoke(gpu, ["all", *arguments])
    assert result.exit_code == status
    assert said in result.output
    assert result.output.count("Error") == 1
    assert not Path("x").exists()


def test_the_list_says_what_cannot_run_here(monkeypatch):
    monkeypatch.setattr(table, "installed", lambda name: None if name == "xformers" else "1.0")
    result = CliRunner().invoke(gpu, ["all", "--list"])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[0] for line in lines] == [part.name for part in PARTS]
    assert [line for line in lines if "not installed" in line] == [
        line for line in lines if line.startswith("xformers")
    ]


def test_correctness_comes_before_figures_and_every_command_exists():
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
    assert names.index("right") < names.index("graphs") < names.index("kernels") < names.index("systems")
    for one in PARTS:
        for command in filter(None, (one.command, one.toy)):
            if command[0] == "acdc.bench.gpu":
                made = gpu.commands[command[1]]
                made.make_context(command[1], [*command[2:], "--device", "cpu", "--out", "x"])


def test_a_row_is_named_by_what_was_asked():
    assert named({"stage": "unet", "batch": 4, "backend": "eager", "failed": "RuntimeError: x"}) == "unet 4 eager"
    assert named({"name": "lfq", "case": "256 to indices", "floor": 1.0, "right": False}) == "lfq 256 to indices"


@pytest.mark.slow  # eight processes that import torch and load the bundle
def test_the_rehearsal_on_the_cpu(tmp_path):
    result = CliRunner().invoke(gpu, ["all", "--toy", "--out", str(tmp_path), "--minutes", "20"])
    assert result.exit_code == 0, result.output
    rehearsed = [one.name for one in PARTS if one.toy]
    assert states_of(tmp_path) == dict.fromkeys(rehearsed, "finished")
    record = json.loads((tmp_path / "kernels.json").read_text())
    assert {"device", "settings", "rates", "processes", "rows"} <= record.keys()
    assert record["processes"][0]["versions"]["torch"]
    assert os.environ.get("GIT_COMMIT") or record["processes"][0]["commit"]
