"""Interface and result of every memory module (ACDC section 3.3, Eq. 3)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple


class MemoryFailure(RuntimeError):
    """A language model gave no usable rewrite, and the policy is to stop; one line that says why."""


class Refused(Exception):
    """An answer that cannot be used. Its text ("it has 4 lines instead of 6") quotes nothing from the answer."""


class Rewrite(NamedTuple):
    """A sentence that is complete by itself. ``note`` says what went wrong on the way, None = nothing did. ``later``
    are the rewrites of the sentences after it, where one answer gave them all: a resumed run need not ask for them
    again."""

    text: str
    note: str | None = None
    later: tuple[str, ...] = ()


class Memory(ABC):
    """Rewrites a story's sentences one by one; a rewrite looks back, never forward.

    The one exception is a language model asked once for a whole story, as in the paper (see ``language.py``).
    """

    name: str

    @abstractmethod
    def refine(self, prompts: Sequence[str]) -> str:
        """The rewrite of ``prompts[-1]``, given all the sentences up to and including it (ACDC Eq. 3)."""

    def rewrite(self, prompts: Sequence[str], later: Sequence[str] = ()) -> Rewrite:
        """As :meth:`refine`, with a note. ``later`` are the sentences still to come; only a memory that asks once
        for a whole story reads them. Raises :class:`MemoryFailure` where the policy is to stop."""
        return Rewrite(self.refine(prompts))

    def restore(self, sentences: Sequence[str], rewrites: Sequence[str]) -> None:  # noqa: B027
        """Take over the rewrites of all ``sentences`` of a story from an earlier run. Only a memory that asks once for
        a whole story needs them."""
