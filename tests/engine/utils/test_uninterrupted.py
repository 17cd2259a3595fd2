"""Ctrl-C waits for a block that must not be cut. In processes of their own, so that the test run hears none."""

import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import signal, threading
from acdc.engine.utils.uninterrupted import uninterrupted
usual = signal.default_int_handler
signal.signal(signal.SIGINT, usual)  # a shell that starts the tests in the background lets them ignore it
said = []
"""
INSIDE = """
try:
    with uninterrupted():
        signal.raise_signal(signal.SIGINT)
        said.append("inside")
    said.append("after")
except KeyboardInterrupt:
    said.append("interrupted")
"""
ERROR = """
try:
    with uninterrupted():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("mine")
except ValueError as error:
    said.append(str(error))
"""
QUIET = """
with uninterrupted():
    said.append("inside")
said.append("after")
"""
THREAD = """
def work():
    with uninterrupted():
        said.append("as it was" if signal.getsignal(signal.SIGINT) is usual else "changed")
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
END = """
assert signal.getsignal(signal.SIGINT) is usual
print(*said)
"""


@pytest.mark.parametrize(
    ("script", "said"),
    [(INSIDE, "inside interrupted"), (ERROR, "mine"), (QUIET, "inside after"), (THREAD, "as it was")],
)
def test_what_is_inside_is_done_first(script, said):
    root = Path(__file__).parents[4]
    argv = [sys.executable, "-c", BEGIN + script + END]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split("\n")[0] == said
