"""Later words complete a known hero: a name, a kind, looks, clothes."""

from __future__ import annotations

from dataclasses import replace

from .english.clauses import Parsed
from .english.noun_phrases import NounPhrase, join
from .english.nouns import CLOTHES, WORN, is_kind
from .english.tagging import is_be
from .person import Person, kind_of, looks_of
from .subject import Hero, Subject

WEARING = frozenset({"has", "had", "wears", "wore", "put", "puts", "wearing"})


def completed(known: Subject, parsed: Parsed, people: list[Person]) -> Subject:
    hero = known.hero
    if hero.name and hero.kind:
        return known
    for person in people:
        if person.denied or person.plural:
            continue
        if hero.name and person.name == hero.name and person.kind and not person.owned:
            return _filled(known, person)
        if hero.kind and person.name and person.kind and known.is_kind(person.kind):
            looks = hero.looks or tuple(person.looks)
            return replace(known, heroes=(replace(hero, name=person.name, looks=looks, sex=person.sex or hero.sex),))
    if not hero.name and (name := _stated_name(parsed, known, people)):
        return replace(known, heroes=(replace(hero, name=name),))
    if not hero.kind:
        owner = _kind_of_owner(parsed)
        if owner is not None:
            return replace(
                known, heroes=(replace(hero, kind=kind_of(owner), looks=tuple(looks_of(owner)) or hero.looks),)
            )
        return _stated_kind(known, people)
    return known


def _filled(known: Subject, person: Person) -> Subject:
    found = hero_of(person)
    hero = replace(found, sex=found.sex or known.hero.sex, wears=known.hero.wears or found.wears)
    return replace(known, heroes=(hero,))


def _stated_name(parsed: Parsed, known: Subject, people: list[Person]) -> str | None:
    """ "Its name was Ember.", "They called him Tom.", "Kito was frightened." """
    for clause in parsed.clauses:
        if clause.verb is None:
            continue
        verb = parsed.words[clause.verb].low
        after = clause.after_verb()
        name = next((p.name for p in after if p.name and not p.head), None)
        subjects = clause.subjects()
        if name and is_be(verb) and subjects and subjects[0].head == "name":
            return name
        if name and verb in {"named", "called"} and any(p.pronoun in {"him", "her", "it"} for p in after):
            return name
    bare = [p for p in people if p.name and not p.kind and p.part == "subject" and not p.owned and not p.mates]
    other = any(known.is_kind(p.kind) for p in people if p.kind)
    return bare[0].name if bare and not other and _starts(parsed, bare[0]) else None


def _starts(parsed: Parsed, person: Person) -> bool:
    return all(word.tag in {"R", "C", ",", ".", "E"} for word in parsed.words[: person.phrase.start])


def _stated_kind(known: Subject, people: list[Person]) -> Subject:
    """ "Max ran." ... "The corgi barked.": a definite kind that is the subject."""
    for person in people:
        definite = person.phrase.determiner == "the" and person.phrase.owner is None
        if (
            definite
            and person.part == "subject"
            and is_kind(person.kind.split()[-1])
            and not person.plural
            and not person.name
        ):
            hero = replace(known.hero, kind=person.kind, looks=tuple(person.looks) or known.hero.looks)
            return replace(known, heroes=(replace(hero, sex=hero.sex or person.sex),))
    return known


def _kind_of_owner(parsed: Parsed) -> NounPhrase | None:
    """ "The labrador's eyes shone": the labrador."""
    owners = [phrase.owner for phrase in parsed.phrases if phrase.owner is not None]
    return next((o for o in owners if o.determiner == "the" and not o.name and is_kind(o.head)), None)


def with_looks(subject: Subject, parsed: Parsed, people: list[Person]) -> Subject:
    """Looks of a known hero that the text adds: "Luna wore a hat", "The white fox ran"."""
    if len(subject.heroes) != 1 or subject.plural:
        return subject
    hero = subject.hero
    for person in people:
        if person.denied or not (hero.name and person.name == hero.name):
            continue
        hero = replace(hero, looks=hero.looks or tuple(person.looks), wears=hero.wears or tuple(person.wears[:2]))
        hero = replace(hero, sex=hero.sex or person.sex)
    if not hero.wears and (found := _worn_by_pronoun(parsed, people, hero)):
        hero = replace(hero, wears=found)
    return replace(subject, heroes=(hero,))


def _worn_by_pronoun(parsed: Parsed, people: list[Person], hero: Hero) -> tuple[str, ...]:
    """ "She has a blue bow", "he wore a red scarf", "Luna put on her boots", if nobody else is spoken of."""
    if any(p.name != (hero.name or "") and p.kind != hero.kind for p in people):
        return ()
    for clause in parsed.clauses:
        if (
            clause.verb is None
            or clause.negated
            or not any(p.pronoun in {"he", "she", "it"} for p in clause.before_verb())
        ):
            continue
        verb = parsed.words[clause.verb].low
        for phrase in clause.phrases:
            own = phrase.start > clause.verb and phrase.head in WORN and phrase.modifiers and verb in WEARING
            if own and phrase.preposition in {"", "on"}:
                text = join(parsed.words[phrase.start + (phrase.determiner in {"his", "her", "its"}) : phrase.end])
                return (f"{'wearing' if phrase.head in CLOTHES else 'with'} {text}",)
    return ()


def hero_of(person: Person) -> Hero:
    return Hero(person.name or None, person.kind or None, tuple(person.looks), tuple(person.wears[:2]), person.sex)
