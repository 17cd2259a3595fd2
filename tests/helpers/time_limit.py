"""A plugin for pytest: no test takes longer than its limit, whatever it does."""

import faulthandler
import os

import pytest

SECONDS = {"slow": 1800, "toolchain": 400}  # limits of tests with these marks; the others' is pyproject.toml's
GRACE_SECONDS = 10
STDERR = pytest.StashKey[int]()


def pytest_configure(config):
    config.stash[STDERR] = os.dup(2)  # while a test runs, pytest puts a file in its place


def pytest_collection_modifyitems(items):
    for item in items:
        limits = [seconds for mark, seconds in SECONDS.items() if item.get_closest_marker(mark)]
        if limits and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(max(limits)))


def seconds_of(item) -> float:
    """The limit that pytest-timeout sets, 0 where there is none or a person sits at the debugger."""
    if item.config.getoption("usepdb"):
        return 0
    if marker := item.get_closest_marker("timeout"):
        return float(marker.args[0])
    option, variable = item.config.getoption("timeout"), os.environ.get("PYTEST_TIMEOUT")
    return float(option if option is not None else variable or item.config.getini("timeout"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """pytest-timeout cannot interrupt a call that never comes back from C. A thread in C can: it prints where every
    thread is and ends the process, which xdist reports as a failure of this test."""
    if limit := seconds_of(item):
        faulthandler.dump_traceback_later(limit + GRACE_SECONDS, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
