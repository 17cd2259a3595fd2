"""Patience with a model: busy servers until the deadline, slow answers for all of it, failures a few tries."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from acdc.engine.cli.main import main
from acdc.engine.memory import MemoryFailure, MemorySettings, Rewrite, chat
from acdc.engine.memory.ask import Limits
from tests.helpers.chat_runs import GOOD, PATIENT, QUICK, STORY, memory, rewrites, set_environment
from tests.helpers.chat_server import fails, numbered, raw, says, slow

WANTED = [Rewrite(text) for text in (STORY[0], *GOOD[1:])]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    set_environment(monkeypatch, PATIENT)


class TestPatience:
    @pytest.mark.parametrize("busy", [fails(503, "Loading model"), fails(429), raw(b"<h1>502</h1>", 502), fails(529)])
    def test_a_busy_server_is_waited_for_until_the_deadline(self, server, busy):
        """containers/ramalama#2343: more tries than a failing one gets."""
        server.does(*[busy] * 12, says(numbered(GOOD)))
        assert rewrites(memory(server)) == WANTED
        assert len(server.asked) == 13

    def test_but_not_longer(self, server, monkeypatch):
        monkeypatch.setattr(chat, "Limits", lambda: PATIENT.within(1.0))
        server.does(fails(503, "Loading model"))
        began = time.monotonic()
        with pytest.raises(MemoryFailure, match=r"answered 503 \(Loading model\) \(after [0-9]{2,} tries\)"):
            rewrites(memory(server))
        assert 0.8 < time.monotonic() - began < 4.0

    def test_a_date_is_heeded(self, server):
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        server.does(fails(503, "", {"Retry-After": later}), says(numbered(GOOD)))
        rewrites(memory(server))
        assert server.asked[1].at - server.asked[0].at > 0.5

    def test_one_try_may_take_all_the_time(self):
        """gptme/gptme#681: a model that needs 70 s got three tries of a minute at most."""
        assert Limits().timeout_s == Limits().deadline_s == 180.0
        assert Limits().within(70.0) == Limits(timeout_s=70.0, deadline_s=70.0)

    @pytest.mark.usefixtures("own_folder")
    def test_the_command_line_says_how_long(self, server, tiny, capsys, monkeypatch):
        monkeypatch.setattr(chat, "Limits", lambda: QUICK)
        server.does(slow(0.6, says(GOOD[1])))
        argv = ["story", *STORY[:2], "--bundle", tiny, "--steps", "2", "--memory", "chat", "--memory-model", "m"]
        argv += ["--memory-url", server.url]
        assert main(argv) == 1
        assert "a slow model needs a longer --memory-timeout" in capsys.readouterr().err
        server.does(slow(0.6, says(GOOD[1])))
        assert main([*argv, "--memory-timeout", "20", "--resume"]) == 0
        assert len(server.asked) == 1

    @pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
    def test_times_that_cannot_be(self, seconds):
        with pytest.raises(ValueError, match=r"memory_timeout .* is out of range"):
            MemorySettings("chat", "m", timeout=seconds)
        with pytest.raises(ValueError, match="memory_timeout is given, but memory 'rules' asks no model"):
            MemorySettings("rules", timeout=5)
