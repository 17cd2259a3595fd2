"""Noun phrases of a tagged sentence, each with the preposition that leads it in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from .adjectives import is_adjective
from .closed import LONG_PREPOSITIONS, OWNERS, PRONOUNS
from .nouns import BODY, CLOTHES, TIMES, is_kind, is_plural
from .places import PLACE_FAMILIES
from .tagging import Tagged

_ON_BODY = BODY | CLOTHES
_LONGEST = max(len(words) for words in LONG_PREPOSITIONS)


@dataclass(frozen=True)
class NounPhrase:
    """ "In a small blue hut": words ``start`` to ``end``, the preposition's first word at ``lead``.

    ``name`` is the proper name in it ("the hedgehog Spike", "Benny the beagle"), ``owner`` the phrase before "'s" (or a
    possessive determiner's word in ``determiner``). A pronoun alone has ``pronoun`` set.
    """

    start: int
    end: int
    lead: int
    preposition: str = ""
    determiner: str = ""
    number: str = ""
    modifiers: tuple[Tagged, ...] = ()  # adjectives and nouns before the head
    head: str = ""
    name: str = ""
    pronoun: str = ""
    owner: NounPhrase | None = field(default=None, compare=False)

    @cached_property
    def plural(self) -> bool:
        """ "three ducks", "the geese"."""
        return bool(self.number) or (bool(self.head) and is_plural(self.head))

    @property
    def adjectives(self) -> list[str]:
        """Its modifiers that are adjectives, in order."""
        return [word.low for word in self.modifiers if word.tag == "J" or is_adjective(word.low)]

    @property
    def definite(self) -> bool:
        """ "the", "his", "this": something known."""
        return self.determiner in OWNERS | {"the", "this", "that", "these", "those"} or self.owner is not None

    def text(self, words: tuple[Tagged, ...]) -> str:
        """The phrase as it is written, without its preposition."""
        return join(words[self.start : self.end])


def join(words: tuple[Tagged, ...]) -> str:
    """Words with the spaces they had (one at most)."""
    parts: list[str] = []
    for i, word in enumerate(words):
        if i and word.start > words[i - 1].end:
            parts.append(" ")
        parts.append(word.text)
    return "".join(parts)


def find_noun_phrases(words: tuple[Tagged, ...]) -> list[NounPhrase]:
    """All noun phrases in order; they do not overlap. What somebody says is passed over."""
    found: list[NounPhrase] = []
    i = 0
    while i < len(words):
        phrase = None if words[i].quoted else _phrase_at(words, i)
        if phrase is None:
            i += 1
            continue
        found.append(_with_too(words, found, _led(words, phrase)))
        i = phrase.end
    return found


def _phrase_at(words: tuple[Tagged, ...], i: int) -> NounPhrase | None:
    if words[i].tag == "K":
        return (
            NounPhrase(i, i + 1, i, pronoun=words[i].low) if words[i].low in PRONOUNS or words[i].tag == "K" else None
        )
    if words[i].tag not in {"D", "Q", "J", "N", "E"}:
        return None
    phrase = _core(words, i)
    while phrase is not None and phrase.end < len(words) and words[phrase.end].tag == "B":
        inner = _core(words, phrase.end + 1) if phrase.end + 1 < len(words) else None
        if inner is None or inner.determiner:
            return replace(phrase, end=phrase.end + 1)
        phrase = replace(inner, start=i, lead=i, owner=phrase)
    return phrase


def _core(words: tuple[Tagged, ...], i: int) -> NounPhrase | None:
    """A phrase without possessives: determiner, number, modifiers, head, name; or a name and "the" with a kind."""
    start, determiner, number = i, "", ""
    led = bool(start) and words[start - 1].tag == "I"
    if words[i].tag == "E":
        j = i
        while j < len(words) and words[j].tag == "E":
            j += 1
        kind = _kind_after_name(words, j)
        name = join(words[i:j])
        if led and j - i > 1 and words[j - 1].low in PLACE_FAMILIES:
            return NounPhrase(i, j, i, modifiers=words[i : j - 1], head=words[j - 1].low)  # "on Willow Lane"
        if kind is not None:
            return replace(kind, start=i, lead=i, name=name)
        if j < len(words) and words[j].tag == "N" and is_kind(words[j].low) and _ends(words, j + 1):
            return NounPhrase(i, j + 1, i, modifiers=words[i:j], head=words[j].low)  # "Arctic foxes"
        return NounPhrase(i, j, i, name=name)
    while i < len(words) and words[i].tag in {"D", "Q"}:
        if words[i].tag == "D":
            determiner = words[i].low
        else:
            number = words[i].low if words[i].low != "one" else ""
            determiner = determiner if number else "one"
        i += 1
    body: list[Tagged] = []
    while i < len(words):
        tag = words[i].tag
        after = words[i + 1].tag if i + 1 < len(words) else "."
        if tag == "J" and any(w.tag == "N" for w in body) and after not in {"N", "J"}:
            break  # "a forest vibrant with fireflies"
        if (
            tag in {"J", "N", "Q"}
            or (tag == "R" and after == "J" and not any(w.tag == "N" for w in body))
            or (tag == "E" and _capital_modifier(words, i, bool(determiner)))
            or (tag in {",", "C"} and _joins_adjectives(words, i, body))
        ):
            body.append(words[i])
        else:
            break
        i += 1
    j = i
    if body and body[-1].tag == "N" and _name_follows(words, i, body[-1].low, led, determiner):
        while j < len(words) and words[j].tag == "E":
            j += 1
    elif not body and determiner:
        while j < len(words) and words[j].tag == "E":
            j += 1
        if j > i:
            return NounPhrase(start, j, start, "", determiner, number, words[i : j - 1], words[j - 1].low)
    if not body:
        return NounPhrase(start, i, start, "", determiner, number) if number else None
    modifiers = tuple(word for word in body[:-1] if word.tag not in {",", "C", "R"} or word.tag == "C")
    return NounPhrase(start, j, start, "", determiner, number, modifiers, body[-1].low, join(words[i:j]))


def _kind_after_name(words: tuple[Tagged, ...], i: int) -> NounPhrase | None:
    """ "Benny the beagle": the phrase that "the" begins right after a name."""
    if i >= len(words) or words[i].low != "the" or words[i].tag != "D":
        return None
    kind = _core(words, i)
    return kind if kind is not None and kind.head and not kind.name and kind.head not in TIMES else None


def _capital_modifier(words: tuple[Tagged, ...], i: int, determined: bool) -> bool:
    """ "the Siberian tiger", "an Arctic fox": a capital inside of a phrase with a noun to come."""
    return determined and i + 1 < len(words) and words[i + 1].tag == "N" and words[i - 1].tag != "N"


def _joins_adjectives(words: tuple[Tagged, ...], i: int, body: list[Tagged]) -> bool:
    """ "a small, quiet pond", "the black and white cow"."""
    if not body or body[-1].tag != "J" or i + 1 >= len(words):
        return False
    if words[i + 1].tag == "J":
        return i + 2 < len(words) and words[i + 2].tag in {"J", "N", ",", "C"}
    return False


def _name_follows(words: tuple[Tagged, ...], i: int, head: str, led: bool, determiner: str) -> bool:
    """ "the hedgehog Spike", "his friend Anna"; but in "by the mill Otis sat" the name begins the clause."""
    if i >= len(words) or words[i].tag != "E":
        return False
    if is_kind(head):
        return True
    return not led and bool(determiner) and head not in PLACE_FAMILIES and head not in TIMES


def _ends(words: tuple[Tagged, ...], i: int) -> bool:
    return i >= len(words) or words[i].tag not in {"J", "N", "E"}


def _with_too(words: tuple[Tagged, ...], found: list[NounPhrase], phrase: NounPhrase) -> NounPhrase:
    """ "with grey fur and green eyes": the second belongs to the first's preposition."""
    before = found[-1] if found else None
    if before is None or before.preposition not in {"with", "in"} or phrase.preposition or phrase.end == len(words):
        return phrase
    both = before.head in _ON_BODY and phrase.head in _ON_BODY
    if both and before.end == phrase.start - 1 and words[before.end].low == "and":
        return replace(phrase, preposition=before.preposition)
    return phrase


def _led(words: tuple[Tagged, ...], phrase: NounPhrase) -> NounPhrase:
    """The phrase with its preposition, of one word or more."""
    start = phrase.start
    for length in range(min(_LONGEST, start), 1, -1):
        lows = tuple(word.low for word in words[start - length : start])
        if lows in LONG_PREPOSITIONS:
            return replace(phrase, lead=start - length, preposition=LONG_PREPOSITIONS[lows])
    if start and words[start - 1].tag == "I":
        return replace(phrase, lead=start - 1, preposition=words[start - 1].low)
    return phrase
