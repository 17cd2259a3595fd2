"""Memory modules: rewrite the newest sentence of a story so that it is complete by itself (ACDC section 3.3, Table
7)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from .ask import LanguageModel
from .rewrite import Memory, MemoryFailure, Rewrite
from .settings import LANGUAGE_MEMORIES, MEMORIES, MEMORY_NAMES, MemorySettings

__all__ = [
    "LANGUAGE_MEMORIES",
    "MEMORIES",
    "MEMORY_NAMES",
    "LanguageModel",
    "Memory",
    "MemoryFailure",
    "MemorySettings",
    "Rewrite",
    "check_memory",
    "load_language_model",
    "load_memory",
    "memory_maker",
]


def load_memory(
    settings: MemorySettings | str, *, device: str = "cpu", loaded: dict[str, LanguageModel] | None = None
) -> Memory:
    """Load a memory module, by its name alone where it needs no more; its file is imported only now.

    ``device`` and ``loaded`` are as for :func:`load_language_model`. ``ValueError`` for invalid settings.
    """
    settings = MemorySettings(settings) if isinstance(settings, str) else settings
    return memory_maker(settings, device=device, loaded=loaded)()


def memory_maker(
    settings: MemorySettings, *, device: str = "cpu", loaded: dict[str, LanguageModel] | None = None
) -> Callable[[], Memory]:
    """A function that makes a memory for each of many stories. A language model, or an endpoint's certificates, are
    loaded now and are one for all of them; ``ValueError`` as for :func:`load_memory`."""
    if settings.by_language_model:
        resolved = settings.resolved()
        model = load_language_model(resolved, device=device, loaded=loaded)
        return partial(import_module(f"{__name__}.language").Language, model, resolved)
    module, attribute = MEMORIES[settings.name].split(":")
    memory: Callable[[], Memory] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return memory


def load_language_model(
    settings: MemorySettings, *, device: str = "cpu", loaded: dict[str, LanguageModel] | None = None
) -> LanguageModel:
    """The model that ``settings`` name: an endpoint, or one on ``device``, which ``loaded`` keeps for the next story.

    ``ValueError`` (one line) for a missing key, package or model.
    """
    assert settings.by_language_model
    resolved = settings.resolved()
    if resolved.name == "chat":
        endpoint: LanguageModel = import_module(f"{__name__}.chat").Endpoint(resolved)
        return endpoint
    assert resolved.model is not None
    models = {} if loaded is None else loaded
    if resolved.model not in models:
        models[resolved.model] = import_module(f"{__name__}.local").load_local(resolved.model, device)
    return models[resolved.model]


def check_memory(settings: MemorySettings) -> None:
    """``ValueError`` for what :func:`load_memory` would refuse and what shows without loading a model."""
    resolved = settings.resolved()
    if resolved.name == "chat":
        load_language_model(resolved)
    elif resolved.name == "local":
        import_module(f"{__name__}.find_model").find_model(resolved.model)
