"""Public names: ``from acdc.engine import Engine``.

Names are imported when they are first used, so that ``acdc --help`` does not wait for torch.
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "ACDiTPipeline": "acdit.pipeline",
    "Cancelled": "scheduler.events",
    "ClassRequest": "acdit.request",
    "Corrector": "corrector",
    "Engine": "engine",
    "EXAMPLES": "examples",
    "Frame": "outputs",
    "PartialImage": "outputs",
    "PartialReady": "scheduler.events",
    "Phase": "outputs",
    "SchedulerConfig": "scheduler.policy",
    "StoryFailed": "scheduler.events",
    "StoryFeed": "scheduler.story_feed",
    "StoryOptions": "options",
    "StoryRequest": "request",
    "StoryResult": "outputs",
    "TextToImage": "text_to_image",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
