"""Which memory module, and for those of a language model: which model, where, asked how. No secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ..utils.field_types import check_types

MEMORIES: dict[str, str] = {
    "none": "none:NoMemory",
    "rules": "rules:Rules",
}
LANGUAGE_MEMORIES: dict[str, str] = {
    "chat": "an OpenAI-compatible endpoint",
    "local": "a transformers causal language model on this machine",
}
MEMORY_NAMES = (*MEMORIES, *LANGUAGE_MEMORIES)
CALLS = ("chunk", "story")
ON_FAILURE = ("error", "rules")

URL_VARIABLE, MODEL_VARIABLE = "ACDC_CHAT_URL", "ACDC_CHAT_MODEL"
OPENAI_URL = "https://api.openai.com/v1"
API_VERSION = re.compile(r"api-version=[0-9A-Za-z.-]{1,40}")  # the only query that an address may have: Azure's
SUFFIXES = ("/chat/completions", "/completions", "/responses")  # of addresses that were copied whole
LONGEST_S = 86400.0
TIMEOUT_S = {"chat": 180.0, "local": 1200.0}  # of a rewrite, all tries included
PAPERS_MODEL = "gpt-4o-mini"  # ACDC appendix D


@dataclass(frozen=True)
class MemorySettings:
    """A memory module by its name; the other fields are a language model's, and None takes the default.

    ``model`` is the endpoint's name of a model, or for "local" a directory (or a name in the Hugging Face cache);
    ``url`` the base that "/chat/completions" is appended to, where it is not there yet. ``timeout`` is how many seconds
    a rewrite may take, all tries and pauses included. ``calls``: "chunk" (default) asks once a sentence and
    shows the model that sentence and those before it, so nothing can leak from the future; "story" asks once a
    story, as the paper does (appendix D): cheaper, but what the model writes for sentence k may then use later
    ones, for only the prompt forbids it. ``on_failure``: "error" (default) stops the story, "rules" takes the rewrite
    by rules and notes it in the frame. Raises ``ValueError`` (one line) for invalid values.
    """

    name: str = "rules"
    model: str | None = None
    url: str | None = None
    calls: str | None = None
    on_failure: str | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        check_types(self, "memory_")
        if self.name not in MEMORY_NAMES:
            raise ValueError(f"unknown memory {self.name!r}; choose one of: {', '.join(MEMORY_NAMES)}")
        for field in ("model", "url", "calls", "on_failure", "timeout"):
            if self.name in MEMORIES and getattr(self, field) is not None:
                others = " or ".join(LANGUAGE_MEMORIES)
                raise ValueError(f"memory_{field} is given, but memory {self.name!r} asks no model; choose {others}")
        if self.name == "local" and self.url is not None:
            raise ValueError("memory_url is given, but memory 'local' asks no endpoint; choose memory 'chat'")
        if self.url is not None:
            check_url(self.url)
        if self.model is not None and not (self.model.strip() and self.model.isprintable()):
            raise ValueError(f"memory_model {self.model!r} is not a name; give the name or directory of a model")
        if self.timeout is not None and not 0.0 < self.timeout <= LONGEST_S:
            raise ValueError(f"memory_timeout {self.timeout} is out of range; choose 0 < seconds <= {LONGEST_S:.0f}")
        for field, choices in (("calls", CALLS), ("on_failure", ON_FAILURE)):
            if (value := getattr(self, field)) is not None and value not in choices:
                raise ValueError(f"unknown memory_{field} {value!r}; choose one of: {', '.join(choices)}")

    @property
    def by_language_model(self) -> bool:
        """Does a language model rewrite?"""
        return self.name in LANGUAGE_MEMORIES

    def resolved(self, environment: Mapping[str, str] | None = None) -> MemorySettings:
        """A copy without open fields; for "chat" from $ACDC_CHAT_URL and $ACDC_CHAT_MODEL, then OpenAI's address and
        the paper's model. ``ValueError`` where a model must be named and is not."""
        if not self.by_language_model:
            return self
        chosen = replace(self, calls=self.calls or CALLS[0], on_failure=self.on_failure or ON_FAILURE[0])
        if self.name == "local":
            if self.model is None:
                raise ValueError("memory_model is missing; give the directory of a causal language model")
            return chosen
        variables = os.environ if environment is None else environment
        url = base_address(self.url or variables.get(URL_VARIABLE) or OPENAI_URL)
        model = self.model or variables.get(MODEL_VARIABLE) or (PAPERS_MODEL if url == OPENAI_URL else None)
        if model is None:
            raise ValueError(f"memory_model is missing; name a model of {harmless(url)!r} (or set {MODEL_VARIABLE})")
        return replace(chosen, url=url, model=model)

    def check_for_video(self) -> None:
        """``ValueError`` for a language model: it rewrites what follows a first sentence, and a video has one."""
        if self.by_language_model:
            raise ValueError(f"memory {self.name!r} rewrites later sentences; a video has one: choose rules or none")

    def recorded(self) -> dict[str, str]:
        """Values that ``story.json`` keeps besides the name, under the names of the options; empty without a model."""
        settings = self.resolved()
        values = {name: getattr(settings, name) for name in ("model", "url", "calls", "on_failure")}
        return {f"memory_{name}": value for name, value in values.items() if value is not None}


def check_url(url: str) -> None:
    """``ValueError`` unless ``url`` is scheme, host and path of HTTP, with Azure's api-version at most.

    What may be a secret (user, password, query) is refused and not repeated: it would reach ``story.json``.
    """
    try:
        parts = urlsplit(url)
        fit = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fit = False
    if not fit or not url.isprintable() or any(c.isspace() or c == "\\" for c in url):
        raise ValueError(
            f"memory_url {harmless(url)!r} is not a URL; give one like {OPENAI_URL} or http://127.0.0.1:8000/v1"
        )
    query = url.partition("?")[2]
    if "@" in parts.netloc or "#" in url or ("?" in url and not API_VERSION.fullmatch(query)):
        what = "a user name, a password, a query or a fragment"
        only = "give scheme, host and path only (Azure's ?api-version=... may follow)"
        raise ValueError(f"memory_url {harmless(url)!r} was given with {what}; {only}")


def base_address(url: str) -> str:
    """``url`` as "/chat/completions" is appended to it: ``"http://a//v1/chat/completions/"`` -> ``"http://a/v1"``."""
    head, mark, query = url.partition("?")
    scheme, separator, path = head.partition("://")
    path = re.sub("/{2,}", "/", path).rstrip("/")
    while suffix := next((suffix for suffix in SUFFIXES if path.lower().endswith(suffix)), ""):
        path = path[: -len(suffix)].rstrip("/")
    return f"{scheme}{separator}{path}{mark}{query}"


def chat_address(base: str) -> tuple[str, bool]:
    """Address of a completion request, and: does it name Azure's API version?"""
    head, mark, query = base.partition("?")
    return f"{head}/chat/completions{mark}{query}", bool(mark)


def harmless(url: str) -> str:
    """The URL without what may be secret in it, at most 200 characters."""
    scheme, mark, rest = url.partition("://")
    head = f"{scheme}{mark}" if mark and re.fullmatch("[a-z]{1,8}", scheme) else ""
    rest = (rest if mark else url).rpartition("@")[2]  # a password may hold slashes
    return head + rest.partition("?")[0].partition("#")[0][:200]
