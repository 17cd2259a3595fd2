"""Splitting a text into words and marks that know their positions."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_TOKEN = re.compile(
    r"(?P<title>\b(?:Mr|Mrs|Ms|Dr|St|Prof|Capt|Sgt)\.)"
    r"|(?P<word>[^\W_]+(?:[-'’][^\W_]+)*)"
    r"|(?P<possessive>(?<=s)['’](?=\s))"
    r"|(?P<mark>\.\.\.|[^\s\w]|_)"
)
_CLITIC = re.compile(r"(?i)^(.+?)(['’](?:s|re|m|ve|ll|d)|n['’]t)$")
_WHOLE = frozenset({"o'clock"})


class Word(NamedTuple):
    """One word or mark: its text, its lower-case form with a straight apostrophe, and where it lies."""

    text: str
    low: str
    start: int
    end: int
    mark: bool = False

    @property
    def capital(self) -> bool:
        """True for a word written like a name."""
        return not self.mark and self.text[0].isupper() and self.text[0].lower() != self.text[0]


Words = tuple[Word, ...]


@lru_cache(maxsize=256)
def split_words(text: str) -> Words:
    """Words and marks of ``text`` in order; any Unicode text is fine.

    A clitic is a word of its own: "He's" gives "He" and "'s", "wasn't" gives "was" and "n't".
    """
    words: list[Word] = []
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        if match.lastgroup == "word" and match.group().lower().replace("’", "'") not in _WHOLE:
            clitic = _CLITIC.match(match.group())
            if clitic is not None:
                cut = start + len(clitic.group(1))
                words += [_word(text, start, cut), _word(text, cut, end)]
                continue
        words.append(_word(text, start, end, mark=match.lastgroup == "mark"))
    return tuple(words)


def _word(text: str, start: int, end: int, mark: bool = False) -> Word:
    part = text[start:end]
    return Word(part, part.lower().replace("’", "'"), start, end, mark)
