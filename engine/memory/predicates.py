"""Descriptions of somebody in a clause: "Luna was a young fox", "the fawn was called Clover"."""

from __future__ import annotations

from .english.adjectives import is_colour
from .english.clauses import Clause, Parsed
from .english.noun_phrases import NounPhrase
from .english.nouns import singular
from .english.tagging import is_be
from .person import ABSTRACT, NAMINGS, Person, complete, sex_of


def read_predicate(parsed: Parsed, clause: Clause, people: list[Person], by_start: dict[int, Person]) -> None:
    """Put together the people that a clause says are one: "Luna was a young fox", "The fawn was called Clover"."""
    after = [p for p in clause.phrases if clause.verb is not None and p.start > clause.verb]
    if clause.verb is None or not after:
        return
    verb, first = parsed.words[clause.verb].low, after[0]
    if clause.marker == "whose" and clause.antecedent is not None and any(p.head == "name" for p in clause.phrases):
        _read_naming(first.name, by_start.get(clause.antecedent.start), by_start.get(first.start), people)
        return
    subject = next((by_start[p.start] for p in clause.subjects() if p.start in by_start), None)
    if subject is None and any(p.pronoun in {"he", "she", "i"} for p in clause.subjects()):
        subject = next((p for p in people if not p.kind and not p.owned), None)
    other = by_start.get(first.start)
    if is_be(verb) and not clause.existential and not first.preposition:
        if first.head == "name":
            _read_name_of(after, subject, people, by_start)
        elif other is None or not other.denied:
            _read_being(parsed, first, subject, other, people)
    elif verb in NAMINGS and any(map(is_be, clause.auxiliaries)) and first.name and not first.head:
        _read_naming(first.name, subject, other, people)


def _read_being(
    parsed: Parsed, first: NounPhrase, subject: Person | None, other: Person | None, people: list[Person]
) -> None:
    """ "Luna was a young fox", "the fawn was brown", "it was Bonnie"."""
    if subject is None:
        if other is not None:
            other.part = "subject"
    elif other is not None and other is not subject:
        _merge(subject, other, people)
    elif first.determiner == "no" and first.adjectives and not subject.kind:
        complete(subject, first, parsed)  # "no ordinary duck" is a duck
    elif is_colour(first.head):
        subject.looks = subject.looks or [first.head]
    elif first.determiner in {"a", "an", "the"} and not (first.name or subject.kind or first.head in ABSTRACT):
        complete(subject, first, parsed)


def _read_name_of(
    after: list[NounPhrase], subject: Person | None, people: list[Person], by_start: dict[int, Person]
) -> None:
    """ "Teddy was the name of a panda"."""
    named = by_start.get(after[1].start) if len(after) > 1 and after[1].preposition == "of" else None
    if subject is not None and named is not None and named is not subject and not named.name:
        named.name, named.part = subject.name, "subject"
        people.remove(subject)


def _read_naming(name: str, subject: Person | None, other: Person | None, people: list[Person]) -> None:
    """ "The fawn was called Clover"."""
    if not name or subject is None or subject.name or other is subject:
        return
    subject.name = name
    subject.sex = subject.sex or sex_of(subject)
    if other is not None:
        people.remove(other)


def _merge(person: Person, other: Person, people: list[Person]) -> None:
    """``other`` is said to be ``person``."""
    group = [person, *person.mates]
    for each in group:
        if other.name and other.kind and each.name:
            continue
        each.name = each.name or other.name
        if not each.kind:
            each.kind = singular(other.kind) if len(group) > 1 else other.kind
            each.looks, each.wears = other.looks or each.looks, other.wears or each.wears
        each.sex = each.sex or sex_of(each)
    if other in people:
        people.remove(other)
