"""Shared parts of the tests of memory by an endpoint: a story, good rewrites of it, quick limits, a key to keep
secret."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from acdc.engine.memory import MemorySettings, Rewrite, chat, load_memory
from acdc.engine.memory.ask import Limits
from acdc.engine.memory.language import Language
from tests.helpers.chat_server import ChatServer

KEY = "sk-do-not-show-me-7f3a9c"
STORY = ("Benny the beagle sat in a garden.", "He jumped.", "Benny slept.")
GOOD = ["Benny the beagle sat.", "Benny the beagle jumped in a garden.", "Benny the beagle slept in a garden."]
QUICK = Limits(tries=3, timeout_s=0.3, deadline_s=15.0, first_pause_s=0.01, longest_pause_s=0.02)
PATIENT = Limits(tries=3, timeout_s=10.0, deadline_s=20.0, first_pause_s=0.01, longest_pause_s=0.02)
UNSET = ("OPENAI_API_KEY", "ACDC_CHAT_URL", "ACDC_CHAT_MODEL", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "no_proxy")


def running() -> Iterator[ChatServer]:
    """A server for as long as a fixture lives."""
    server = ChatServer()
    yield server
    server.close()


def set_environment(monkeypatch: pytest.MonkeyPatch, limits: Limits = PATIENT) -> None:
    """The key, and nothing else that this machine may have set. An answer may take long on a busy machine."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ACDC_CHAT_API_KEY", KEY)
    monkeypatch.setattr(chat, "Limits", lambda: limits)


def memory(server: ChatServer, calls: str = "story", on_failure: str = "error") -> Language:
    """Memory by the server's model."""
    made = load_memory(MemorySettings("chat", "m", server.url, calls, on_failure))
    assert isinstance(made, Language)
    return made


def rewrites(made: Language, story: Sequence[str] = STORY) -> list[Rewrite]:
    """Every sentence as the pipeline asks for it; ``later`` left out, which says the rest once more."""
    return [made.rewrite(story[: k + 1], story[k + 1 :])._replace(later=()) for k in range(len(story))]
