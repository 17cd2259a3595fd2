"""Those who are with the hero, and may be meant by a pronoun."""

from __future__ import annotations

from dataclasses import dataclass

from .english.nouns import is_kind
from .hero import group_of
from .person import Person
from .subject import Subject, differs


@dataclass(frozen=True)
class Companion:
    """Somebody besides the hero: "Anna", "the crow", or whose: "brother" of the hero."""

    name: str
    kind: str
    owned: bool
    sex: str | None
    plural: bool
    agent: bool = False  # only did something to the hero: "was found by a policeman"

    def called(self, subject: Subject) -> str:
        """ "Anna", "Pia's brother", "the crow"."""
        if self.name:
            return self.name
        return f"{subject.short}'s {self.kind}" if self.owned else f"the {self.kind}"


def companions_of(people: list[Person], subject: Subject | None, known: tuple[Companion, ...]) -> tuple[Companion, ...]:
    """Those ``known`` and those of a new text, newest last, at most six."""
    found = list(known)
    for person in people:
        if subject is None or person.denied or is_hero(person, subject):
            continue
        owned = person.phrase.determiner in {"his", "her", "its", "their"}
        if not (person.name or is_kind(person.kind.split()[-1] if person.kind else "")):
            continue
        new = Companion(person.name, person.kind, owned, person.sex, person.plural, person.part == "by")
        found = [one for one in found if (one.name, one.kind) != (new.name, new.kind)] + [new]
    return tuple(found[-6:])


def is_hero(person: Person, subject: Subject) -> bool:
    if person.name or person.members:
        return person.name in subject.names() or bool(set(person.members) & set(subject.names()))
    owned = person.phrase.determiner in {"his", "her", "its", "their"}
    same = bool(person.kind) and subject.is_kind(person.kind) and not differs(subject, person.looks)
    return same and not owned and person.part != "with"


def others_before(people: list[Person], subject: Subject) -> bool:
    """True if the last text speaks of several others, whom "they" may mean."""
    others = [p for p in people if not is_hero(p, subject)]
    return any(p.plural for p in others) or len(others) > 1


def with_companions(subject: Subject, companions: tuple[Companion, ...], people: list[Person]) -> str | None:
    """ "Lars and his dog Balto": the hero and those who were joined to it, as "they"."""
    for person in people:
        if person.name in subject.names() or (person.kind and not person.name and subject.is_kind(person.kind)):
            mates = [mate for mate in person.mates if mate not in group_of(person)]
            if mates:
                return " and ".join([subject.short, *(_mate(mate) for mate in mates)])
    return None


def _mate(person: Person) -> str:
    text = " ".join(part for part in (person.phrase.determiner, person.kind) if part)
    return f"{text} {person.name}" if person.name else text
