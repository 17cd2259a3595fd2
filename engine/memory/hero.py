"""Finds the hero among the people of a text."""

from __future__ import annotations

from dataclasses import replace

from .completion import completed, hero_of, with_looks
from .english.clauses import Parsed
from .english.nouns import is_kind, singular
from .person import Person
from .subject import Hero, Subject, plural_of

AWAY = frozenset(
    {"with", "behind", "beside", "near", "by", "for", "from", "to", "against", "without", "like", "next to"}
)


def find_subject(parsed: Parsed, people: list[Person], known: Subject | None) -> Subject | None:
    """The subject after a text: ``known``, completed by what the text reveals; else its likeliest hero."""
    if known is None:
        best = max((p for p in people if not p.denied), key=_rank, default=None)
        if best is None or _rank(best) < 1:
            return None
        known = subject_of(best)
        return with_looks(known if known.many else completed(known, parsed, people), parsed, people)
    if not known.many:
        known = completed(known, parsed, people)
    return with_looks(known, parsed, people)


def group_of(person: Person) -> list[Person]:
    """The person and those joined to it who are heroes too; "his dog" and "her calf" only come along."""
    return [person, *(mate for mate in person.mates if not (mate.owned and mate.phrase.determiner))]


def _rank(person: Person) -> float:
    rank = 4.0 if person.part == "subject" else 2.0 if person.part in {"object", "of", "on"} else 1.0
    rank += 4 if person.name and person.kind else 2 if person.name else 0
    kind = is_kind(person.kind.split()[-1] if person.kind else "")
    rank += 1 if kind or person.members else 0
    rank -= 3 if person.owned and person.phrase.determiner else 0
    rank -= 1 if person.plural and not person.members else 0
    rank -= 2 if person.part in AWAY else 0
    first = person.clause is not None and person.clause.start == 0 and not person.clause.marker
    plain = kind and not person.plural and not person.name and person.phrase.determiner in {"a", "an", "the", "one"}
    rank += 4 if first and plain and person.part == "subject" else 0
    rank -= 2 if not person.name and person.clause is not None and person.clause.marker else 0
    return rank


def subject_of(person: Person) -> Subject:
    if person.members:
        kind = singular(person.kind) if len(person.members) == 1 else person.kind
        heroes = tuple(Hero(name, kind, tuple(person.looks)) for name in person.members)
        return Subject(heroes, plural=len(heroes) > 1)
    group = group_of(person)
    heroes = tuple(hero_of(each) for each in group)
    if len(group) == 1:
        return Subject(heroes, person.plural and not person.name, person.number)
    if len({hero.kind for hero in heroes}) == 1 and all(hero.name for hero in heroes) and heroes[0].kind:
        kind = group[0].phrase.head if group[0].phrase.plural else plural_of(heroes[0].kind)
        return Subject(tuple(replace(hero, kind=kind) for hero in heroes), plural=True)
    return Subject(heroes)
