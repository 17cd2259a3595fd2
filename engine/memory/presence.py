"""Which phrases of a clause say where its subject is."""

from __future__ import annotations

from dataclasses import dataclass

from .english.clauses import Clause, Parsed
from .english.closed import OWNERS
from .english.kinds import word_set
from .english.noun_phrases import NounPhrase
from .english.nouns import BODY, CLOTHES, MANNERS, TIMES, is_kind
from .english.participles import NAMING
from .english.places import SIDES, family_of
from .motion import (
    ARRIVING,
    CALLING,
    CLIMBING,
    HANGING,
    HEADING,
    JUMPING,
    LEADING,
    LOOKING,
    MENTAL,
    PEEKING,
    PERCEIVING,
)

STILL = word_set(
    """
    in at on by near beside inside within under along amid outside behind beneath between among amongst atop upon
    underneath aboard alongside opposite amidst astride
    """
) | {"in front of", "on top of", "next to", "close to"}  # fmt: skip


MOVING = word_set(
    """
    through throughout across into over around round onto above beyond to below down up about
    """
)
WEAK = word_set("from against")
CONTAINERS = word_set(
    """
    boot boots shoe hat sock helmet bag backpack rucksack slipper slippers glove pocket
    """
)
PASSING = word_set("at by over across to beyond into through up down")
WAYS = word_set(
    """
    path road way trail door gate bridge route lane journey trip track street key map entrance ticket stairs steps
    tunnel passage ladder staircase bus train ship boat flight walk ride
    """
)
SKIES = word_set(
    """
    sun moon stars star sky wind breeze fog mist storm thunderstorm sunlight moonlight sunshine starlight air darkness
    dark light rain weather music silence song sound noise heat cold warmth distance middle world life sleep rainbow
    """
)
COVERED = word_set("covered buried carpeted blanketed cloaked")
WITH_BY = word_set(
    """
    captivated fascinated surrounded startled followed chased watched covered filled dotted
    """
)
LOOKING_AT = frozenset({"at", "for", "toward", "towards", "about"})
LOCATING = STILL | MOVING | WEAK
NOT_PLACES = TIMES | MANNERS | BODY | CLOTHES - CONTAINERS
AIMING = LOOKING | CALLING


@dataclass(frozen=True)
class Place:
    """A phrase that says where: ``last`` ends it ("a field of snow"), ``sure`` if the hero is there for certain."""

    phrase: NounPhrase
    preposition: str
    last: NounPhrase
    listed: bool
    sure: bool = True


def is_place(noun: str) -> bool:
    """True if a noun is a listed place or a compound of one."""
    return family_of(noun) is not None


def places_of(parsed: Parsed, clause: Clause, hero: bool | None) -> list[Place]:
    """The places of one clause in the order of its words."""
    found: list[Place] = []
    if clause.negated and not set(clause.auxiliaries) & {"can", "could", "ca"}:
        return found
    verb = parsed.words[clause.verb].low if clause.verb is not None else ""
    for phrase in clause.phrases:
        preposition = _leads_to_place(parsed, clause, phrase, verb)
        if preposition is None:
            continue
        last = end_of_chain(parsed, phrase)
        listed = is_place(phrase.head or phrase.name.lower()) or (is_place(last.head) and phrase.head in SIDES)
        sure = hero is not False and preposition not in WEAK and not _maybe_seen(parsed, phrase, verb)
        sure = sure and not _of_subject(parsed, clause, phrase)
        found.append(Place(phrase, preposition, last, listed, sure))
    if clause.marker in {"where", "which"} and clause.antecedent is not None and hero and not found:
        antecedent = clause.antecedent
        if not antecedent.preposition and antecedent.head not in TIMES:
            last = end_of_chain(parsed, antecedent)
            found.append(Place(antecedent, "", last, is_place(antecedent.head)))
    return found


def _leads_to_place(parsed: Parsed, clause: Clause, phrase: NounPhrase, verb: str) -> str | None:
    """The preposition if ``phrase`` says where the clause takes place, "" for "reached a lake"; None if it does not."""
    side = phrase.head in SIDES and end_of_chain(parsed, phrase) is not phrase
    if phrase.pronoun or (phrase.head in NOT_PLACES and not (side or phrase.head == "patch")):
        return None
    preposition = phrase.preposition
    if phrase.head in CONTAINERS and (
        (clause.verb is not None and phrase.start < clause.verb) or preposition not in {"in", "inside"}
    ):
        return None
    if preposition == "from" and is_place(phrase.head) and _belongs_to_person(parsed, phrase):
        return ""
    if preposition == "from" and _is_in_source(parsed, phrase, verb):
        return "out of" if parsed.words[phrase.lead].low == "out" else "hung from"
    if preposition == "from" and parsed.words[phrase.lead].low == "out":
        return "against" if is_place(phrase.head) else None
    if not preposition:
        before = parsed.words[phrase.start - 1].low if phrase.start else ""
        if before in CLIMBING and phrase.head not in BODY and not is_kind(phrase.head):
            return ""
        reached = before in ARRIVING
        covers = verb in COVERED and is_place(phrase.head) and phrase in clause.after_verb()
        return "" if (reached or covers) and is_place(phrase.head) else None
    if preposition not in LOCATING or (
        phrase.head in SKIES and not side and (phrase.head, preposition) != ("moon", "on")
    ):
        return None
    if preposition in WEAK and not is_place(phrase.head):
        return None
    town = preposition in {"in", "at", "near", "through", "across"} or is_place(phrase.name.lower())
    if phrase.name and (phrase.head or not town or phrase.name.lower() in TIMES):
        return None
    if is_kind(phrase.head) and not is_place(phrase.head):
        return None
    return preposition if _is_there(parsed, clause, phrase, verb) else None


def _is_there(parsed: Parsed, clause: Clause, phrase: NounPhrase, verb: str) -> bool:
    """True if the subject of the clause is where ``phrase`` says; "gazed at the lake" and "the path to it" are not."""
    words, preposition = parsed.words, phrase.preposition
    if clause.verb is None or phrase.start < clause.verb:
        return _leads_in(parsed, clause, phrase)
    verb = next(w.low for w in reversed(words[clause.verb : phrase.lead]) if w.tag in {"V", "A", "G", "Z"})
    tags = [word.tag for word in words[clause.verb : phrase.lead]]
    if (verb in MENTAL and preposition in MOVING) or (preposition == "to" and verb in HEADING):
        return False
    if "O" in tags:
        return False  # "wanted to go to the sea"
    before = words[phrase.lead - 1]
    side = phrase.head in SIDES and end_of_chain(parsed, phrase) is not phrase
    first = not any(clause.verb < p.end <= phrase.lead for p in clause.phrases)
    if first and not side and _is_aimed_at(verb, preposition, phrase):
        return False
    if before.tag == "Z" and (preposition in {"by", "with"} or before.low in WITH_BY):
        return False
    if preposition == "by" and words[clause.verb].tag == "Z" and not is_place(phrase.head):
        return False
    earlier = next((p for p in parsed.phrases if p.end == phrase.lead), None)
    if earlier is not None and preposition == "to" and earlier.head in WAYS:
        return False
    if earlier is not None and preposition in {"to", "from"} and not earlier.preposition and verb not in LEADING:
        return earlier not in clause.after_verb()
    if preposition == "on" and earlier_is_aim(parsed, phrase) and _maybe_seen(parsed, phrase, verb):
        return False
    return not _of_another(parsed, clause, phrase)


def _of_subject(parsed: Parsed, clause: Clause, phrase: NounPhrase) -> bool:
    """ "the oldest owl in the wood lived ...": it tells which owl; her place comes after the verb."""
    before = clause.verb is not None and phrase.start < clause.verb
    return before and any(p.end == phrase.lead and not p.preposition and p.head for p in parsed.phrases)


def _belongs_to_person(parsed: Parsed, phrase: NounPhrase) -> bool:
    """ "a hen from a farm": it says where she lives."""
    return any(p.end == phrase.lead and is_kind(p.head) for p in parsed.phrases)


def _is_in_source(parsed: Parsed, phrase: NounPhrase, verb: str) -> bool:
    """ "peeked out of a shoebox", "hung from the ceiling"."""
    out = parsed.words[phrase.lead].low == "out"
    called = verb in AIMING and not out and (phrase.head in SIDES or is_place(phrase.head))
    return (verb in PEEKING and out and phrase.head != "window") or (verb in HANGING and not out) or called


def earlier_is_aim(parsed: Parsed, phrase: NounPhrase) -> bool:
    """True if the phrase before is what somebody looks at: "a boat" in "pointed at a boat on the sea"."""
    return any(p.end == phrase.lead and p.preposition in LOOKING_AT for p in parsed.phrases)


def _maybe_seen(parsed: Parsed, phrase: NounPhrase, verb: str) -> bool:
    """True if it may be the thing looked at that is there: "barked at a cat in the garden"."""
    earlier = next((p for p in parsed.phrases if p.end == phrase.lead), None)
    if earlier is None or earlier.head in SKIES | {"clouds", "treetops"}:
        return False
    if not earlier.preposition and not earlier.pronoun and earlier.start:
        return parsed.words[earlier.start - 1].low in PERCEIVING
    return earlier.preposition == "with" or (earlier.preposition in LOOKING_AT and verb in AIMING)


def _is_aimed_at(verb: str, preposition: str, phrase: NounPhrase) -> bool:
    """ "gazed across the lake", "barked at the road", "leaped over a pond": the hero is elsewhere."""
    if verb in LOOKING:
        return preposition in PASSING
    if verb in CALLING:
        return preposition in {"at", "to", "over"}
    return verb in JUMPING and (
        preposition in {"over", "to", "beyond"} or (preposition == "at" and not is_place(phrase.head))
    )


def _leads_in(parsed: Parsed, clause: Clause, phrase: NounPhrase) -> bool:
    """Before the verb: a fronted place, or one that belongs to the subject ("the cat in the window slept")."""
    earlier = next((p for p in parsed.phrases if p.end == phrase.lead), None)
    if earlier is not None and phrase.preposition in {"to", "from"} and earlier.head in WAYS:
        return False
    before = parsed.words[phrase.lead - 1] if phrase.lead else None
    return not (before is not None and before.tag == "Z" and before.low in WITH_BY)


def _of_another(parsed: Parsed, clause: Clause, phrase: NounPhrase) -> bool:
    """True if a participle of something else leads there: "leaves fluttering to the ground"."""
    assert clause.verb is not None
    for i in range(clause.verb + 1, phrase.lead):
        if parsed.words[i].tag not in {"G", "Z"} or parsed.words[i].low in NAMING:
            continue
        owner = next((p for p in parsed.phrases if p.end == i), None)
        own = owner is not None and owner.head in BODY and owner.determiner in OWNERS
        if owner is not None and owner.start > clause.verb and not own:
            return True
    return False


def end_of_chain(parsed: Parsed, phrase: NounPhrase) -> NounPhrase:
    """The last phrase of "the edge of a field of snow"."""
    last = phrase
    for following in parsed.phrases:
        if following.preposition == "of" and following.lead == last.end and not following.pronoun:
            last = following
    return last
