"""Decide if "it" means nobody ("it rained") or a thing ("Luna found a ball. It was red.")."""

from __future__ import annotations

from .english.adjectives import is_adjective
from .english.clauses import Clause, Parsed
from .english.kinds import word_set
from .english.nouns import BODY, TIMES, WEATHERS, is_kind
from .english.tagging import is_be
from .person import Person

AMBIENT = word_set(
    """
    cold hot warm cool chilly dark light bright late early sunny windy foggy cloudy rainy snowy stormy misty quiet
    silent noon midnight dawn dusk time day night morning evening afternoon raining snowing hailing freezing pouring
    drizzling thundering storming winter spring summer autumn christmas peaceful calm humid icy frosty easy hard
    difficult impossible possible clear true no nothing only almost nearly lovely wonderful beautiful
    """
)
# What a thing does, so that "it" may be the ball of the sentence before.
MOVES_OF_THINGS = word_set(
    """
    rolled bounced fell broke floated popped sank landed opened grew spun disappeared vanished glittered sparkled lay
    stood looked felt tasted smelled smelt had has rolls falls
    """
)
OF_THINGS = word_set(
    """
    flowed shone glowed rained snowed poured melted happened ended worked burned burnt rang ticked creaked tasted
    smelled smelt rains snows shines flows took takes cost costs exploded
    """
)
WHENS = TIMES | WEATHERS
NO_THINGS = BODY | TIMES


def is_about_nobody(parsed: Parsed, clause: Clause) -> bool:
    """True if "it" in a clause means nobody: "it was cold", "it rained", "it was a warm day", "it seemed that"."""
    if clause.verb is None:
        return True
    verb = parsed.words[clause.verb].low
    after = [word for word in parsed.words[clause.verb + 1 :] if word.text[0].isalnum()]
    rest = [word for word in after if word.tag not in {"R", "T", "D"} or word.low in AMBIENT][:3]
    if verb in OF_THINGS:
        return True
    if verb in {"seemed", "seems", "looked", "appeared"} and after and after[0].low in {"that", "as", "like"}:
        return True
    if verb in {"began", "started", "begins", "starts"}:
        return any(word.low in {"rain", "snow", "pour", "raining", "snowing", "hail"} for word in after[:3])
    if verb in WEATHERS or verb in AMBIENT or verb in {"rain", "snow", "pour"}:
        return True
    if not is_be(verb):
        return False
    if not rest:
        return True  # "what a day it was"
    if rest[0].tag == "E" or any(word.low in WHENS for word in rest):
        return True
    if rest[0].low in AMBIENT:
        return True
    first = next((p for p in clause.after_verb() if p.start > clause.verb), None)
    if first is not None and first.determiner in {"a", "an"} and not is_kind(first.head):
        return True  # "it was a lonely song"
    return len(rest) > 1 and rest[0].tag == "J" and rest[1].low in {"that", "to"}


def may_be_thing(parsed: Parsed, clause: Clause) -> bool:
    """True if a thing can do what the clause says: "it was red", "it rolled"; a caterpillar burps."""
    verb = parsed.words[clause.verb].low if clause.verb is not None else ""
    return is_be(verb) or verb in MOVES_OF_THINGS or any(map(is_be, clause.auxiliaries))


def plural_thing_before(parsed: Parsed) -> bool:
    """True if the last text speaks of several things: "He lost his acorns." """
    return any(p.plural for clause in parsed.clauses for p in clause.phrases if p not in clause.subjects())


def thing_before(parsed: Parsed, people: list[Person]) -> bool:
    """True if the last text speaks of a thing that "it" may mean: "Luna found a ball"."""
    known = {id(person.phrase) for person in people}
    for clause in parsed.clauses:
        for phrase in clause.after_verb():
            thing = bool(phrase.head) and id(phrase) not in known and phrase.head not in NO_THINGS
            if thing and (phrase.determiner or phrase.owner) and not is_adjective(phrase.head):
                return True
    return False
