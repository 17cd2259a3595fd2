"""Compilers in a process of their own: what they do to it is said in one line, and this process goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from acdc.compile import openvino
from acdc.compile.backends import compile_stage
from acdc.compile.builder import Builder, PlanRefused
from acdc.compile.cache import PlanCache
from acdc.compile.processor import identity, instructions
from acdc.compile.spec import StageSpec
from acdc.engine.runtime.compiled import PlannedModule

JOBS = """
import ctypes, itertools, os, signal, subprocess, sys, time

def die(number): os.kill(os.getpid(), number)
def leave(status): os._exit(status)
def abort(): print("terminate called after std::bad_alloc", file=sys.stderr, flush=True); os.abort()
def hang(): sum(itertools.repeat(0))
def fail(): raise RuntimeError("first line\\nNo conversion rule")
def use(mib): return bytearray(mib << 20) and None
def me(path): open(path, "w").write(f"{os.getpid()} {sys.executable}"); print("noise on stdout")
def parent_of_a_sleeper(path): open(path, "w").write(str(subprocess.Popen(["sleep", "1000"]).pid)); hang()
"""

DYING = """
import os, signal

class Core:
    def read_model(self, path): {}
"""


@pytest.fixture
def builder(tmp_path, monkeypatch):
    (tmp_path / "jobs.py").write_text(JOBS)
    monkeypatch.syspath_prepend(tmp_path)
    made = Builder()
    yield made
    made.close()


@pytest.mark.long
@pytest.mark.parametrize(
    ("job", "arguments", "said", "lasting"),
    [
        ("die", {"number": signal.SIGFPE}, "died of SIGFPE", True),
        ("die", {"number": signal.SIGSEGV}, "died of SIGSEGV", True),
        ("die", {"number": signal.SIGILL}, "died of SIGILL", True),
        ("die", {"number": signal.SIGKILL}, "died of SIGKILL", False),  # as where memory runs out
        ("abort", {}, r"died of SIGABRT \(terminate called after std::bad_alloc\)", True),
        ("leave", {"status": 3}, "ended its process with status 3", True),
        ("leave", {"status": 0}, "ended its process with status 0", True),
        ("fail", {}, "ended with RuntimeError: No conversion rule", False),
        ("missing", {}, "ended with AttributeError", False),
        ("hang", {}, "was not done after 2 s", True),
    ],
)
def test_a_bad_end_is_one_line_and_the_next_job_is_served(builder, tmp_path, job, arguments, said, lasting):
    with pytest.raises(PlanRefused, match=said) as caught:
        builder.run(f"jobs:{job}", arguments, 2)
    assert caught.value.lasting is lasting
    assert "\n" not in str(caught.value)
    builder.run("jobs:me", {"path": str(tmp_path / "me")}, 60)


def test_jobs_share_a_process_which_says_how_much_memory_each_took(builder, tmp_path):
    found = []
    for _ in range(2):
        builder.run("jobs:me", {"path": str(tmp_path / "me")}, 60)
        found.append((tmp_path / "me").read_text().split())
    assert found[0] == found[1] != [str(os.getpid()), sys.executable]
    small, large, again = (builder.run("jobs:use", {"mib": mib}, 60) for mib in (1, 100, 1))
    if small:  # a system that says it
        assert large - small > 90 << 20
        assert large - again > 90 << 20, "not the most of its life"


def test_an_idle_process_ends_and_the_next_job_starts_another(builder, tmp_path, monkeypatch):
    monkeypatch.setattr("acdc.compile.builder.COMMAND", IDLE)
    for _ in range(2):
        builder.run("jobs:me", {"path": str(tmp_path / "me")}, 60)
        time.sleep(0.5)


IDLE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {0} import serve; "
    "import os; out = os.fdopen(os.dup(1), 'w'); os.dup2(2, 1); serve(sys.stdin, out, 0.1)"
)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_what_a_compiler_started_ends_with_it(builder, tmp_path):
    with pytest.raises(PlanRefused):
        builder.run("jobs:parent_of_a_sleeper", {"path": str(tmp_path / "pid")}, 2)
    deadline = time.monotonic() + 10
    while alive(int((tmp_path / "pid").read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_a_hanging_compiler_ends_after_its_parent(tmp_path):
    """It holds Python's lock, so that its process cannot see that the parent was killed."""
    (tmp_path / "jobs.py").write_text(f"{JOBS}\ndef hang_as(path): me(path); hang()\n")
    script = (
        "import sys; from acdc.compile.builder import Builder; Builder().run('jobs:hang_as', {'path': sys.argv[1]}, 1)"
    )
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "pid")], env=variables)
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    pid = int((tmp_path / "pid").read_text().split()[0])
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def test_where_no_process_can_be_started_is_said(monkeypatch):
    for executable in ("/nowhere/python", None, sys.executable):
        monkeypatch.setattr(sys, "executable", executable)
        if executable == sys.executable:
            monkeypatch.setattr("acdc.compile.builder.COMMAND", "raise SystemExit(7) # {}")
        with pytest.raises(PlanRefused, match=r"no process can be started|status 7") as caught:
            Builder().run("jobs:me", {}, 60)
        assert not caught.value.lasting


class Twice(nn.Module):
    def forward(self, given):
        return given * 2


GIVEN = torch.ones(1, 3)
SPEC = StageSpec.of("twice", [GIVEN])


@pytest.fixture
def dying(tmp_path, monkeypatch):
    """A compiler that kills its process, in the place of OpenVINO's: this process has loaded the real one before."""
    pytest.importorskip("openvino")
    openvino.capabilities()

    def install(how: str) -> None:
        folder = tmp_path / "stand-in"
        folder.mkdir(exist_ok=True)
        (folder / "openvino.py").write_text(DYING.format(how))
        monkeypatch.syspath_prepend(folder)

    return install


KILL = "os.kill(os.getpid(), signal.SIGFPE)"


@pytest.mark.parametrize("backend", ["openvino", "openvino-bf16"])
def test_a_compiler_that_dies_is_refused_by_name_and_not_tried_again(tmp_path, dying, monkeypatch, backend):
    monkeypatch.setattr(openvino, "capabilities", lambda: ["FP32", "BF16"])
    dying(KILL)
    plans = PlanCache(tmp_path / "plans")
    said = (
        rf"backend '{backend}' cannot build twice\(1x3 float32\) on cpu for \d+ threads?: OpenVINO \S+ died of SIGFPE"
    )
    with pytest.raises(PlanRefused, match=said) as first:
        compile_stage(Twice(), SPEC, backend, plans)
    monkeypatch.setattr(Builder, "run", lambda *_: pytest.fail("tried again"))
    with pytest.raises(PlanRefused) as second:
        compile_stage(Twice(), SPEC, backend, PlanCache(plans.root))
    assert str(first.value) == str(second.value)
    assert "\n" not in str(first.value)
    assert plans.clear() == 1, "cache --clear forgets it"


def test_what_may_end_well_another_time_is_tried_again(tmp_path, dying, monkeypatch):
    dying(KILL.replace("SIGFPE", "SIGKILL"))
    plans = PlanCache(tmp_path / "plans")
    with pytest.raises(PlanRefused, match="died of SIGKILL"):
        compile_stage(Twice(), SPEC, "openvino", plans)
    monkeypatch.undo()
    assert torch.equal(compile_stage(Twice(), SPEC, "openvino", PlanCache(plans.root))(GIVEN), GIVEN * 2)


def test_another_number_of_threads_or_another_processor_is_tried(tmp_path, dying, monkeypatch):
    """Remembered failures are of this processor, version and number of threads."""
    plans, threads = PlanCache(tmp_path / "plans"), torch.get_num_threads()
    dying(KILL)
    with pytest.raises(PlanRefused):
        compile_stage(Twice(), SPEC, "openvino", plans)
    monkeypatch.undo()
    monkeypatch.setattr("acdc.compile.processor.identity", lambda: "another")
    assert torch.equal(compile_stage(Twice(), SPEC, "openvino", PlanCache(plans.root))(GIVEN), GIVEN * 2)
    monkeypatch.undo()
    try:
        torch.set_num_threads(threads + 1)
        assert torch.equal(compile_stage(Twice(), SPEC, "openvino", PlanCache(plans.root))(GIVEN), GIVEN * 2)
    finally:
        torch.set_num_threads(threads)


def test_code_kept_by_another_processor_is_built_here_before_it_is_loaded(tmp_path, dying, monkeypatch):
    """A folder that came with an image: what lies there for another processor is not read."""
    plans = PlanCache(tmp_path / "plans")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("acdc.compile.processor.identity", lambda: "another")
        compile_stage(Twice(), SPEC, "openvino", plans)
    dying(KILL)
    with pytest.raises(PlanRefused, match="died of SIGFPE"):
        compile_stage(Twice(), SPEC, "openvino", PlanCache(plans.root))


def test_auto_goes_on_with_the_next_backend_and_says_so_once(tmp_path, dying, caplog):
    dying(KILL)
    plans = PlanCache(tmp_path / "plans")
    for module in (
        PlannedModule(Twice(), "twice", "openvino", cache, ["eager"]) for cache in (plans, plans.shallow_copy())
    ):
        for rows in (1, 2):
            given = GIVEN.repeat(rows, 1)
            assert torch.equal(module(given), given * 2)
    (said,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert "died of SIGFPE" in said
    assert said.endswith("going on with eager")


def test_one_that_was_asked_for_by_name_is_never_replaced(tmp_path, dying):
    dying(KILL)
    with pytest.raises(ValueError, match="died of SIGFPE"):
        PlannedModule(Twice(), "twice", "openvino", PlanCache(tmp_path / "plans"))(GIVEN)


def test_processors_differ_by_model_and_by_instructions(tmp_path):
    def processor(name: str, text: str) -> Path:
        (tmp_path / name).write_text(f"processor : 0\n{text}\n\nprocessor : 1\n{text}\n")
        return tmp_path / name

    xeon = "vendor_id : GenuineIntel\nmodel : 167\nstepping : 1\ncpu MHz : 2599.9\nflags : fpu avx2 amx_bf16"
    here = processor("here", xeon)
    assert identity(here) == identity(processor("faster", xeon.replace("2599.9", "1200.0")))
    others = [("stepping : 1", "stepping : 2"), ("amx_bf16", "avx512f"), ("GenuineIntel", "AuthenticAMD")]
    found = {identity(processor(new[:4], xeon.replace(old, new))) for old, new in others}
    assert len({identity(here), *found}) == 4
    assert instructions(here) == {"fpu", "avx2", "amx_bf16"}
    assert instructions(tmp_path / "none") == frozenset()
    assert len(identity(tmp_path / "none")) == 16
