"""Fixtures shared by all tests: a tiny random bundle on disk and engines over it."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# Time of one example says how busy the machine is; tests that hang have a limit of their own.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# Workers share the cores: threads of one that wait for threads of another take several times as long as one thread,
# and longer still where they spin. Set before torch is imported, and inherited by the commands that tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Tests that name no backend mean the reference; those of auto ask for it.
os.environ.setdefault("ACDC_BACKEND", "eager")

# Triton reads this when it is imported: without a GPU its kernels are interpreted.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Test helpers are imported as ``tests.helpers.tiny`` whichever directory pytest was started from.
sys.path.insert(0, str(Path(__file__).parents[1]))

pytest_plugins = ["tests.helpers.engine_fixtures", "tests.helpers.time_limit"]


def pytest_report_header(config: pytest.Config) -> str:
    """Rounding, and so a failure, may depend on the processor's instruction sets and on the number of threads."""
    from tests.helpers.processor import header

    return header(len(config.getoption("tx", None) or ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """``-q``, which CI runs with, leaves the header out."""
    if not terminalreporter.showheader:
        terminalreporter.write_line(pytest_report_header(config))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """``-n auto``: a worker more than cores, because a tenth of the time goes to waits for servers and time limits."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first: last, one worker would run them while the others have nothing left."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session", autouse=True)
def plan_cache(tmp_path_factory):
    """Plans that tests build stay out of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACDC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory) -> Path:
    """A complete bundle with small random weights."""
    from tests.helpers.tiny import tiny_bundle

    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def tiny_engine(tiny_path):
    """The tiny bundle in float32."""
    from acdc.engine.engine import Engine

    return Engine.from_pretrained(tiny_path)


@pytest.fixture(scope="session")
def exact_engine(tiny_path):
    """The tiny bundle in float64, where algorithmic invariants hold without a flip."""
    from acdc.engine.engine import Engine

    return Engine.from_pretrained(tiny_path, dtype="float64")
