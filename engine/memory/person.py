"""Somebody in a text, as far as it tells: name, kind, looks and part in its clause."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .english.adjectives import is_adjective, is_colour, is_visible
from .english.clauses import Clause, Parsed
from .english.first_names import sex_of_name
from .english.kinds import PAIR_KINDS, word_set
from .english.noun_phrases import NounPhrase
from .english.nouns import BODY, CLOTHES, FEMALE, MALE, MANNERS, NATURE, TIMES, is_kind, singular
from .english.places import SIDES

NAMINGS = word_set("named called nicknamed")
VEHICLES = word_set("train boat ship bus plane aeroplane airplane submarine spaceship spacecraft")
CHILDREN = word_set("girl boy child kid lad")
GROUPS = word_set(
    """
    family flock herd pack group pair couple litter swarm dozens hundreds thousands lots dozen bunch pod gaggle brood
    team crowd band troop colony pride school gang
    """
)
ABSTRACT = NATURE | TIMES | BODY | CLOTHES | MANNERS | SIDES | word_set("name story tale hero heroine one ones")


@dataclass
class Person:
    """Somebody in a text. ``part`` is "subject", "object", or the preposition that leads to it."""

    phrase: NounPhrase
    clause: Clause | None
    part: str
    name: str = ""
    kind: str = ""
    looks: list[str] = field(default_factory=list)
    wears: list[str] = field(default_factory=list)
    number: str = ""
    plural: bool = False
    sex: str | None = None
    owned: bool = False  # "his sister", "Anna's dog": known by its owner
    denied: bool = False
    members: list[str] = field(default_factory=list)  # names of a plural ("Two foxes, Ada and Ben")
    mates: list[Person] = field(default_factory=list)  # joined by "and"


def kind_of(phrase: NounPhrase) -> str:
    """The head in the singular, with the nouns before it that make it another kind: "golden retriever", "bear cub".

    Adjectives and what one can see are left out: they are looks.
    """
    head = singular(phrase.head) if not phrase.plural else phrase.head
    if not phrase.modifiers:
        return head
    last = phrase.modifiers[-1]
    if f"{last.low} {head}" in PAIR_KINDS:
        return f"{last.low} {head}"
    if last.tag == "E" or (last.tag == "N" and not is_adjective(last.low)):
        return f"{last.text} {head}"
    return head


def looks_of(phrase: NounPhrase) -> list[str]:
    """Adjectives of a phrase that one can see, as they are written: ["old", "black and white"]."""
    kind = kind_of(phrase).lower().split()
    words = [word for word in phrase.modifiers if word.low not in kind[:-1]]
    looks: list[str] = []
    for i, word in enumerate(words):
        seen = is_visible(word.low) or (word.low == "little" and phrase.head in CHILDREN)
        if word.low == "and" and looks and i + 1 < len(words) and is_colour(words[i + 1].low):
            looks[-1] += " and"
        elif seen and looks and looks[-1].endswith(" and"):
            looks[-1] += f" {word.text.lower()}"
        elif seen:
            looks.append(word.text.lower())
    return looks[-2:]


def group_members(parsed: Parsed, phrase: NounPhrase) -> NounPhrase | None:
    """The geese of "a flock of geese"."""
    of = next((p for p in parsed.phrases if p.preposition == "of" and p.lead == phrase.end), None)
    if of is None or not of.head or (is_kind(phrase.head) and phrase.head not in GROUPS):
        return None
    return of if phrase.head in GROUPS or (of.plural and is_kind(of.head) and not of.determiner) else None


def complete(person: Person, phrase: NounPhrase, parsed: Parsed) -> None:
    """Add what ``phrase`` says of ``person``."""
    if phrase.name:
        if not person.name and (phrase.plural if phrase.head else person.plural):
            person.members.append(phrase.name)
        elif not person.name:
            person.name = phrase.name
    if phrase.head and phrase.plural and not person.plural and person.name:
        phrase = replace(phrase, head=singular(phrase.head), number="")
    if phrase.head and not (person.kind and person.kind not in {"hero", "heroine", "friend"}):
        of = group_members(parsed, phrase)
        if of is not None:
            phrase, person.plural, person.number = of, True, ""
        if phrase.head in {"hero", "heroine"} and person.kind:
            return
        person.kind = kind_of(phrase)
        person.looks = looks_of(phrase) or person.looks
        person.plural = person.plural or phrase.plural
        person.number = phrase.number or person.number
    elif phrase.head:
        person.looks = person.looks or looks_of(phrase)  # "the apprentice, a skinny boy"
    if not person.plural:
        person.sex = person.sex or sex_of(person)


def sex_of(person: Person) -> str | None:
    last = singular(person.kind.split()[-1]) if person.kind else ""
    title = person.name.lower().split()[0] if person.name else ""
    if last in MALE or title in MALE or title == "mr.":
        return "he"
    if last in FEMALE or title in FEMALE or title in {"mrs.", "ms."}:
        return "she"
    return sex_of_name(person.name)
