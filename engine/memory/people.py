"""Find the people of a text: each animal or person once, with name, kind, looks and part in its clause."""

from __future__ import annotations

from .english.clauses import Clause, Parsed
from .english.closed import OWNERS
from .english.kinds import PAIR_KINDS
from .english.noun_phrases import NounPhrase
from .english.nouns import CLOTHES, RELATIONS, TIMES, is_kind
from .english.places import PLACE_FAMILIES, family_of
from .person import ABSTRACT, GROUPS, NAMINGS, VEHICLES, Person, complete, group_members
from .predicates import read_predicate
from .wearing import begins_wearing, is_look, wear

ROLES = frozenset({"twins", "friends", "brothers", "sisters", "siblings", "heroes", "cousins", "neighbours"})
PHRASE_NAMINGS = ("who was called", "who is called", "whose name was", "whose name is", "which they named",
                  "that they named", "who was named", "who is named", "that was called", "which was called",
                  "that they called", "known as", ", known as", ", named", ", called", ", who was called")  # fmt: skip


def find_people(parsed: Parsed) -> list[Person]:
    """Everybody in order of mention; names and kinds of one person are put together."""
    people: list[Person] = []
    by_start: dict[int, Person] = {}
    roots: dict[int, Person] = {}  # id of a person in a list -> the first of the list
    worn: list[NounPhrase] = []  # "Wearing a purple cape, Mina ..."
    for i, phrase in enumerate(parsed.phrases):
        before = parsed.phrases[i - 1] if i else None
        previous = _whose(by_start, before, parsed) if before is not None else None
        if previous is not None and before is not None and _same(parsed, previous, before, phrase):
            for one in [previous, *previous.mates] if phrase.plural and not phrase.name else [previous]:
                complete(one, phrase, parsed)
            root = roots.get(id(previous))
            if root is not None and phrase.plural and not phrase.name:
                for one in [root, *root.mates]:
                    complete(one, phrase, parsed)
            by_start[phrase.start] = previous
            continue
        known = next((p for p in people if phrase.name and p.name == phrase.name), None)
        if known is not None:  # named before
            complete(known, phrase, parsed)
            if _part(parsed, phrase, parsed.clause_of(phrase)) == "subject":
                known.part = "subject"
            by_start[phrase.start] = known
            continue
        person = _person(parsed, phrase)
        if person is None:
            if previous is None and phrase.head in CLOTHES and begins_wearing(parsed, phrase):
                worn.append(phrase)
            if previous is not None and is_look(parsed, before, phrase):
                wear(previous, phrase, parsed)
                by_start[phrase.start] = previous
            continue
        if previous is not None and before is not None and _listed(parsed, before, phrase):
            root = roots.get(id(previous), previous)
            root.mates.append(person)
            roots[id(person)] = root
        if worn and person.part == "subject":
            for clothes in worn:
                wear(person, clothes, parsed)
            worn = []
        by_start[phrase.start] = person
        people.append(person)
    for clause in parsed.clauses:
        read_predicate(parsed, clause, people, by_start)
    return people or _owners(parsed)


def _owners(parsed: Parsed) -> list[Person]:
    """ "Marta the fox's den lay by a lake": whom things belong to, where nobody else is spoken of."""
    owners = [p.owner for p in parsed.phrases if p.owner is not None and p.owner.name and p.owner.head]
    people = [Person(owner, None, "subject") for owner in owners]
    for person in people:
        complete(person, person.phrase, parsed)
    return people[:1]


def _person(parsed: Parsed, phrase: NounPhrase) -> Person | None:
    if phrase.pronoun or phrase.determiner == "no" or not (phrase.name or phrase.head):
        return None
    if phrase.preposition == "of" and _is_group_of(parsed, phrase):
        return None  # "a flock of geese" is known by "flock"
    clause = parsed.clause_of(phrase)
    part = _part(parsed, phrase, clause)
    if not phrase.name:
        if (
            phrase.head in ABSTRACT
            or phrase.head in PLACE_FAMILIES.keys() - VEHICLES
            or not _alive(parsed, phrase, part, clause)
        ):
            return None
    elif not phrase.head and phrase.preposition in {"in", "at", "from", "to", "near", "around", "into", "through"}:
        return None  # a town
    elif not phrase.head and phrase.preposition and family_of(phrase.name.lower()) is not None:
        return None  # "on Mars"
    elif phrase.head in PLACE_FAMILIES.keys() - VEHICLES or phrase.head in TIMES or phrase.name.lower() in TIMES:
        return None
    if not phrase.head and clause is not None and clause.verb is None and _goes_on(parsed, phrase):
        return None  # no English: "Ein Hund lief"
    person = Person(phrase, clause, part)
    denied = clause is not None and clause.negated and clause.verb is not None and phrase.start > clause.verb
    person.denied = denied and not phrase.adjectives  # "no lazy cat" is a cat
    person.owned = phrase.owner is not None or phrase.determiner in OWNERS - {"my", "our", "your"}
    complete(person, phrase, parsed)
    return person


def _goes_on(parsed: Parsed, phrase: NounPhrase) -> bool:
    return phrase.end < len(parsed.words) and parsed.words[phrase.end].tag in {"N", "J"}


def _is_group_of(parsed: Parsed, phrase: NounPhrase) -> bool:
    return any(p.end == phrase.lead and group_members(parsed, p) is phrase for p in parsed.phrases)


def _alive(parsed: Parsed, phrase: NounPhrase, part: str, clause: Clause | None) -> bool:
    if is_kind(phrase.head) or phrase.head in GROUPS or group_members(parsed, phrase) is not None:
        return True
    if phrase.modifiers and f"{phrase.modifiers[-1].low} {phrase.head}" in PAIR_KINDS:
        return True
    return (
        part == "subject"
        and bool(phrase.determiner or phrase.number)
        and clause is not None
        and clause.verb is not None
    )


def _part(parsed: Parsed, phrase: NounPhrase, clause: Clause | None) -> str:
    if phrase.preposition:
        return phrase.preposition
    if clause is None or clause.verb is None or phrase in clause.subjects():
        return (
            "subject" if clause is not None and (clause.verb is not None or phrase is clause.phrases[0]) else "object"
        )
    return "object"


def _whose(by_start: dict[int, Person], before: NounPhrase, parsed: Parsed) -> Person | None:
    """The person that ``before`` is about; "of the bees" still belongs to "the queen"."""
    person = by_start.get(before.start)
    if before.preposition == "of" or (person is None and before.preposition in {"by", "on", "in"}):
        owner = next((p for p in parsed.phrases if p.end == before.lead), None)
        return by_start.get(owner.start, person) if owner is not None else person
    return person


def _same(parsed: Parsed, person: Person, before: NounPhrase, phrase: NounPhrase) -> bool:
    """True if ``phrase`` is another word for ``person``: "Rex, a beagle", "a bear called Bo", "a giant, Boris"."""
    if phrase.pronoun:
        return False
    gap = parsed.between(before, phrase)
    if person.members and phrase.name and not phrase.head:
        return gap in {"and", ",", ", and"}
    if phrase.name and not phrase.head and not person.name:
        if gap.split(" ")[-1:] and (gap in NAMINGS or gap in PHRASE_NAMINGS):
            return True
        if gap.endswith("of") and before.head == "name" and before.preposition == "by":
            return True
    if phrase.preposition or person.denied:
        return False
    if gap not in {",", "(", "-", "–", "—", ":", ", the", ""}:
        return False
    if not gap:
        return bool(phrase.name and not phrase.head and not person.name and not before.preposition)
    if phrase.name and not phrase.head:
        return _names_next(parsed, person, phrase)
    if phrase.head in ABSTRACT and phrase.head not in RELATIONS and phrase.head not in {"hero", "heroine"}:
        return False
    if phrase.head in PLACE_FAMILIES:
        return False
    if person.owned and not person.name and phrase.determiner in {"a", "an"} and is_kind(phrase.head):
        return True
    if _is_repeated(parsed, person, phrase):
        return True
    if person.members and person.kind in ROLES and phrase.plural and is_kind(phrase.head):
        person.kind = ""
        return True
    if (person.name and not person.kind) or person.kind in {"hero", "heroine", "friend"}:
        return bool(phrase.head) and (
            bool(phrase.determiner or phrase.owner) or phrase.plural or _closed_by_comma(parsed, phrase)
        )
    return False


def _is_repeated(parsed: Parsed, person: Person, phrase: NounPhrase) -> bool:
    """ "The apprentice, a skinny boy named Wat, ...": a kind, then a closer word for it."""
    after = parsed.words[phrase.end].low if phrase.end < len(parsed.words) else ""
    plain = bool(person.kind) and not person.name and not person.plural and person.phrase.determiner == "the"
    closer = phrase.determiner in {"a", "an"} and is_kind(phrase.head)
    return plain and closer and after in {"named", "called", "with", "who"}


def _names_next(parsed: Parsed, person: Person, phrase: NounPhrase) -> bool:
    """ "the rabbit, Cotton, sat", "A giant, Boris stumbled", "Two foxes, Ada and Ben, sat": the name of a kind."""
    if person.plural and not person.name:
        return True
    return (not person.name and bool(person.kind) and person.part != "object") or _closed_by_comma(parsed, phrase)


def _closed_by_comma(parsed: Parsed, phrase: NounPhrase) -> bool:
    return (phrase.end < len(parsed.words) and parsed.words[phrase.end].text in {",", ")", "-", "–", "—", "."}) or any(
        later.preposition == "of" and later.lead == phrase.end for later in parsed.phrases
    )


def _listed(parsed: Parsed, before: NounPhrase, phrase: NounPhrase) -> bool:
    """ "Tom and Rita", "Nico, Nora and Nell"."""
    gap = parsed.between(before, phrase)
    return gap == "and" or (gap in {",", ", and"} and bool(phrase.name))
