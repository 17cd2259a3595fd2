"""No memory: every sentence is used as it was written (the row "memory: no" of ACDC Table 2)."""

from collections.abc import Sequence

from .rewrite import Memory


class NoMemory(Memory):
    """Passes the newest sentence through."""

    name = "none"

    def refine(self, prompts: Sequence[str]) -> str:
        """Return ``prompts[-1]`` unchanged; an empty sequence is a ``ValueError``."""
        if not prompts:
            raise ValueError("refine needs at least one sentence, got none")
        return prompts[-1]
