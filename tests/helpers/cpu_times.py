"""A plugin for pytest: processor time of every test file, ``pytest -p tests.helpers.cpu_times``, ``CPU_TIMES=DIR``.

Each worker writes DIR/NAME.json: seconds by file, of its own process and of the processes that tests start. Unlike the
wall's time they change little with what else the machine does.
"""

import json
import os
import resource
from collections import Counter
from pathlib import Path

import pytest

SECONDS: "Counter[str]" = Counter()


def used() -> float:
    """Seconds of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    before = used()
    try:
        return (yield)
    finally:
        SECONDS[item.nodeid.split("::")[0]] += used() - before


def pytest_sessionfinish():
    name = os.environ.get("PYTEST_XDIST_WORKER", "main")
    found = {"total": used(), "files": dict(SECONDS.most_common())}
    folder = Path(os.environ["CPU_TIMES"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(found, indent=1))
