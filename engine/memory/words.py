"""Splitting a sentence into words that know where they stand."""

import re
from functools import lru_cache
from typing import NamedTuple

_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_POSSESSIVE = re.compile(r"['’]s?$")


class Word(NamedTuple):
    """One word: its text, its lower-case form without a possessive ending, and where it lies."""

    text: str
    low: str
    start: int
    end: int
    gap: str  # what stands between the previous word and this one

    @property
    def joined(self) -> bool:
        """True if nothing but white space parts this word from the one before."""
        return self.gap != "" and self.gap.isspace()

    @property
    def capital(self) -> bool:
        """True for a word written like a name."""
        return self.text[0].isupper() and self.text[0].lower() != self.text[0]


Words = tuple[Word, ...]


@lru_cache(maxsize=64)
def split_words(sentence: str) -> Words:
    """Words of ``sentence`` in order; any Unicode text is fine. Several rules read each sentence: it is split once."""
    words, last = [], 0
    for match in _WORD.finditer(sentence):
        text = match.group()
        low = _POSSESSIVE.sub("", text.lower())
        words.append(Word(text, low, match.start(), match.end(), sentence[last : match.start()]))
        last = match.end()
    return tuple(words)
