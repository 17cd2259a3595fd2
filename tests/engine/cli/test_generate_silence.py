"""Ctrl-C while a language model says nothing: the command ends at once, and does not wait for the answer."""

import json
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from tests.helpers.chat_server import ChatServer, hang

PATIENCE = 60.0  # seconds for which the model would be silent


@pytest.mark.long
def test_ctrl_c_does_not_wait_for_an_answer(tiny_path, tmp_path):
    stories = tmp_path / "stories.jsonl"
    stories.write_text("".join(json.dumps({"sentences": ["A cat sat.", "It ran."]}) + "\n" for _ in range(3)))
    server = ChatServer()
    server.does(*[hang(PATIENCE)] * 8)
    argv = [sys.executable, "-m", "acdc.engine", "generate", "--stories", stories, "--bundle", tiny_path]
    argv += [
        "--steps",
        "4",
        "--out",
        tmp_path / "o",
        "--memory",
        "chat",
        "--memory-model",
        "m",
        "--memory-url",
        server.url,
    ]
    # A shell that starts the tests in the background lets them, and what they start, ignore the signal.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = subprocess.Popen(argv, stderr=subprocess.PIPE, preexec_fn=heeding)
    try:
        since = time.monotonic()
        while not server.asked and time.monotonic() - since < 100:
            time.sleep(0.05)
        time.sleep(0.5)
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=PATIENCE / 3)
    finally:
        command.kill()
        server.close()
    assert command.returncode == 130
    assert errors.decode().splitlines()[-1].startswith("acdc: interrupted after 0 of 3 stories")
