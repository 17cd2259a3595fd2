"""The context of a word, while the words before it have their tags."""

from __future__ import annotations

from .closed import CLOSED, NO_ARTICLES, NUMBERS
from .words import Word

STOPS = frozenset(".!?;:…")


class Context:
    """The words of a text; ``tags`` holds what was decided so far."""

    def __init__(self, words: tuple[Word, ...], quoted: list[bool]) -> None:
        self.words, self.quoted = words, quoted
        self.tags: list[str] = []

    def low(self, i: int) -> str:
        return self.words[i].low if 0 <= i < len(self.words) else ""

    def before(self, i: int) -> str:
        """The tag before word ``i``, adverbs passed over; "." at the start."""
        j = i - 1
        while j >= 0 and self.tags[j] == "R":
            j -= 1
        return self.tags[j] if j >= 0 else "."

    def low_before(self, i: int) -> str:
        j = i - 1
        while j >= 0 and self.tags[j] == "R":
            j -= 1
        return self.low(j)

    def starts(self, i: int) -> bool:
        """True if a sentence begins at word ``i``."""
        j = i - 1
        while j >= 0 and self.words[j].mark and self.words[j].text not in STOPS:
            j -= 1
        return j < 0 or (self.words[j].mark and self.words[j].text in STOPS)

    def clause_has_verb(self, i: int) -> bool:
        """True if a finite verb or an auxiliary came since the clause began."""
        for j in range(i - 1, -1, -1):
            if self.tags[j] in {"V", "A"}:
                return True
            if self.tags[j] in STOPS or self.tags[j] in {"S", "W"}:
                return False
        return False

    def ends_phrase(self, i: int) -> bool:
        """True if word ``i`` cannot go on with the noun phrase before it."""
        if i >= len(self.words):
            return True
        word = self.words[i]
        if word.low == "well" and i and self.words[i - 1].low not in NO_ARTICLES:
            return False  # "the old well"
        return word.mark or (word.low in CLOSED and word.low not in NUMBERS) or word.low.endswith("ly")
