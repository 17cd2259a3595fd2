"""Part of speech of each word of a text: the closed classes are looked up, the rest follows from its position.

One letter a word::

    D determiner   Q number        J adjective   N noun        E name          K pronoun      B possessive 's
    V finite verb  G -ing form     Z participle  A auxiliary   T negation      O to + verb    I preposition
    R adverb       C and, or, but  S as, while   W who, which  X other word    . , " ( marks as they are
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from .adjectives import is_adjective
from .closed import (
    BE,
    CLOSED,
    NEVER_NAMES,
)
from .closed_words import ClosedWords
from .kinds import word_set
from .names import opens_as_name
from .nouns import is_kind
from .open_words import OpenWords
from .participles import Participles
from .verbs import is_ed
from .words import Word, split_words

NOUNS_LY = word_set(
    """
    belly jelly lily bully holly family assembly supply reply ally italy july monopoly anomaly doily
    """
)
LY_ADJECTIVES = word_set(
    """
    friendly lovely lonely lively curly woolly silly jolly holy ugly early only elderly cuddly oily
    """
)
NO_ADVERBS = NOUNS_LY | LY_ADJECTIVES
IDIOMS = {("at", "last"), ("at", "first"), ("at", "once"), ("at", "least"), ("at", "most"), ("of", "course"),
          ("in", "vain"), ("by", "chance"), ("in", "fact"), ("at", "all"), ("by", "far"), ("for", "ever")}  # fmt: skip


class Tagged(NamedTuple):
    """A word or mark with its tag; ``quoted`` if somebody says it."""

    text: str
    low: str
    start: int
    end: int
    tag: str
    quoted: bool = False


@lru_cache(maxsize=256)
def tag_text(text: str) -> tuple[Tagged, ...]:
    """The words of ``text`` with their tags.

    "The old fox slept in a den" gives D J N V I D N, "a bear called Bo" gives D N Z E.
    """
    words = split_words(text)
    quoted = _quoted(words)
    tags = Tagger(words, quoted).run()
    return tuple(Tagged(*word[:4], tag, said) for word, tag, said in zip(words, tags, quoted, strict=True))


def _quoted(words: tuple[Word, ...]) -> list[bool]:
    """Which words lie between double quotation marks; none if that would be all of them."""
    said, inside = [], False
    for word in words:
        if word.mark and word.text in '"“”«»':
            inside = word.text in "“«" or (word.text == '"' and not inside)
            said.append(True)
        else:
            said.append(inside)
    return said if not all(s or w.mark for s, w in zip(said, words, strict=True)) else [False] * len(words)


class Tagger(ClosedWords, OpenWords, Participles):
    """Walks through the words once, then looks back for participles."""

    def run(self) -> list[str]:
        for i in range(len(self.words)):
            self.tags.append(self.tag(i))
        self.mark_participles()
        return self.tags

    def tag(self, i: int) -> str:
        word = self.words[i]
        if word.mark:
            return word.text
        low = word.low
        if low.startswith("'") or low == "n't":
            return self.clitic(i)
        if self.is_name(i):
            return "E"
        if (low, self.low(i + 1)) in IDIOMS or (i and (self.low(i - 1), low) in IDIOMS and self.tags[-1] == "R"):
            return "R"
        if low in {"next", "close"} and self.low(i + 1) == "to":
            return "R"
        if low in CLOSED:
            return self.closed(i)
        before_noun = bool(self.tags) and self.tags[-1] in {"D", "J"}
        if low.endswith("ly") and len(low) > 4 and not (low in NO_ADVERBS or low.endswith("fly") or is_kind(low)):
            after = self.low(i + 1)
            inner = before_noun and not self.ends_phrase(i + 1) and not (is_adjective(after) or is_ed(after))
            return "J" if inner else "R"  # "the kindly corgi", "the brightly lit room"
        return self.open(i)

    def is_name(self, i: int) -> bool:
        word = self.words[i]
        if not word.capital or word.low == "i":
            return False
        if not self.starts(i):
            return word.low not in NEVER_NAMES
        return opens_as_name(self.words, i)


def is_be(low: str) -> bool:
    """Forms of "to be", the clitics too."""
    return low in BE or low in {"'s", "'re", "'m"}
