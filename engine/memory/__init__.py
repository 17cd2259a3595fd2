"""Memory modules: rewrite the newest sentence of a story so that it stands alone (ACDC section 3.3, Table 7)."""

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

MEMORIES: dict[str, str] = {
    "none": "none:Nothing",
    "rules": "rules:Rules",
}


class Memory(Protocol):
    """Rewrites a story's sentences one by one; a rewrite may look back, never forward."""

    name: str

    def refine(self, prompts: Sequence[str]) -> str:
        """Return the rewrite of ``prompts[-1]``, given all the sentences up to and including it."""
        ...


def load_memory(name: str) -> Memory:
    """Load a memory module by its name in ``MEMORIES``; its file is imported only now."""
    if name not in MEMORIES:
        raise ValueError(f"unknown memory {name!r}; choose one of: {', '.join(MEMORIES)}")
    module, attribute = MEMORIES[name].split(":")
    memory: Memory = getattr(import_module(f"{__name__}.{module}"), attribute)()
    return memory
