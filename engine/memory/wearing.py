"""Clothes and other things on the body: "in a red coat", "with golden wings"."""

from __future__ import annotations

from .english.adjectives import is_colour
from .english.clauses import Parsed
from .english.closed import OWNERS
from .english.noun_phrases import NounPhrase, join
from .english.nouns import CLOTHES, LOOKS, WORN
from .person import Person

PUT_ON = frozenset({"put on", "wearing", "wore", "wears"})
VERBS = PUT_ON | {
    "with", "in", "and", "dressed in", "clad in", "has", "had", "who has", "who had", "who wears", "who wore",
    "is wearing", "was wearing", "who is wearing", "who was wearing",
}  # fmt: skip


def begins_wearing(parsed: Parsed, phrase: NounPhrase) -> bool:
    before = " ".join(word.low for word in parsed.words[max(0, phrase.start - 2) : phrase.start])
    return before.split(" ")[-1] == "wearing" or before in {"dressed in", "clad in"}


def is_look(parsed: Parsed, before: NounPhrase | None, phrase: NounPhrase) -> bool:
    """ "in a red coat", "with golden wings and green eyes", "wearing a hat", "dressed in blue", ", red as a tomato"."""
    if before is None:
        return False
    gap = parsed.between(before, phrase).strip(" ,")
    if phrase.head not in WORN:
        colour = is_colour(phrase.head) and not phrase.determiner
        return colour and gap in {"", "dressed in", "dressed all in", "clad in"}
    if gap not in VERBS:
        return False
    return phrase.determiner not in OWNERS or (gap in PUT_ON and phrase.head in CLOTHES)


def wear(person: Person, phrase: NounPhrase, parsed: Parsed) -> None:
    words = parsed.words[phrase.start : phrase.end]
    if phrase.head not in WORN:
        person.looks.append(phrase.head)
        return
    if phrase.head in LOOKS and len(words) < 2:
        return
    before = parsed.words[phrase.start - 1].low if phrase.start else ""
    text = join(words[1:] if phrase.determiner in OWNERS else words)
    own = before in {"with", "in"} and parsed.words[phrase.start - 2].low not in {"dressed", "clad"}
    lead = before if own or (before == "and" and person.wears) else "wearing" if phrase.head in CLOTHES else "with"
    person.wears.append(f"{lead} {text}")
