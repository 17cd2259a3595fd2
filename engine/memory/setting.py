"""Find the setting of a text."""

from __future__ import annotations

from collections.abc import Callable

from .english.clauses import Clause, Parsed
from .english.nouns import is_kind
from .english.places import PARTS_OF, ROOMS, SIDES
from .motion import ELSEWHERE
from .place_text import Setting, family_of_place, setting_of
from .presence import STILL, WEAK, Place, end_of_chain, is_place, places_of

INNER = frozenset({"in", "inside", "on", "under", "aboard", "within", "out of"})
NEARNESS = frozenset(
    {"near", "beside", "next to", "by", "close to", "alongside", "under", "beneath", "between", "along", "among"}
)
AFTER_NONE = NEARNESS | WEAK | {"to", "into"}


def find_setting(
    parsed: Parsed,
    known: Setting | None = None,
    is_hero: Callable[[Clause], bool | None] = lambda clause: None,
    opening: bool = True,
) -> Setting | None:
    """The newest setting: one that the text states, else ``known``.

    ``is_hero`` says whether a clause is about the hero; None if nobody else is either. ``opening``: the text begins a
    story, so that even a small place is a setting.
    """
    found = [places_of(parsed, clause, is_hero(clause)) for clause in parsed.clauses]
    if known is None:
        places = [p for group in found for p in group if opening or p.listed or p.preposition in INNER]
        known = _first(parsed, places, opening)
        here = [i for i, group in enumerate(found) if known and any(p.phrase.head == known.noun for p in group)]
        found = found[here[0] + 1 :] if here else []
    for places in found:
        changed = [p for p in places if known is not None and p.listed and p.sure and not _same_place(p, known)]
        known = setting_of(parsed, _chain(parsed, changed[0], places)) if changed else known
    return known


def _first(parsed: Parsed, places: list[Place], opening: bool) -> Setting | None:
    """The first setting of a story: a listed place if there is one, with the phrases that lead to it."""
    sure = [place for place in places if place.sure]
    for choices in (sure, places):
        main = next((place for place in choices if place.listed and place.preposition not in WEAK), None)
        if main is not None:
            main = _last_fronted(parsed, main, choices)
        main = main or next((place for place in choices if place.preposition not in WEAK | {"to"}), None)
        if main is not None:
            weak = None if main.listed else _hinted(parsed)
            return weak or setting_of(parsed, _chain(parsed, main, choices))
    hinted = _hinted(parsed)
    if hinted is None and not places and opening:
        places = _around(parsed)
    return hinted or next((setting_of(parsed, [place]) for place in places), None)


def _last_fronted(parsed: Parsed, main: Place, places: list[Place]) -> Place:
    """ "Far out at sea, on a tiny island, ...": of places that commas part before the subject, the last."""
    for place in places[places.index(main) + 1 :]:
        comma = place.listed and place.phrase.lead == main.last.end + 1 and parsed.words[main.last.end].text == ","
        closed = place.last.end < len(parsed.words) and parsed.words[place.last.end].text == ","
        if comma and closed and main.phrase.lead <= 2:
            return place
    return main


def _around(parsed: Parsed) -> list[Place]:
    """Places that are a subject or an object: "the farmer ploughed the field", "when the museum closes"."""
    found = []
    for clause in parsed.clauses:
        verb = parsed.words[clause.verb].low if clause.verb is not None else ""
        for phrase in clause.phrases:
            last = end_of_chain(parsed, phrase)
            listed = is_place(phrase.head) or (phrase.head in SIDES and is_place(last.head))
            own = phrase.preposition == "of" and any(p.end == phrase.lead and is_kind(p.head) for p in parsed.phrases)
            plain = (own or not phrase.preposition) and not phrase.name and listed and phrase.determiner
            being = phrase in clause.before_verb() and verb in {"was", "is", "were", "are"}  # "The lake was calm."
            far = "far" in {word.low for word in parsed.words[phrase.end : phrase.end + 3]}
            if plain and not clause.negated and (own or verb not in ELSEWHERE or (being and not far)):
                found.append(Place(phrase, "", last, True))
    return found


def _hinted(parsed: Parsed) -> Setting | None:
    """A listed place that the text only shows, as "the moonlight falling over the meadow below"."""
    for clause in parsed.clauses:
        for phrase in clause.phrases:
            low = parsed.words[phrase.end].low if phrase.end < len(parsed.words) else ""
            over = phrase.preposition in {"over", "above", "with"} and not clause.negated
            if over and is_place(phrase.head) and (low in {"below", "spread"} or phrase.preposition == "above"):
                return setting_of(parsed, [Place(phrase, "into", phrase, True)])
    return None


def _chain(parsed: Parsed, main: Place, places: list[Place]) -> list[Place]:
    """ "on a shelf in a toy shop", "in a flat above a shop in Paris": places that touch each other, two around it."""
    chain = [main]
    for place in reversed(places[: places.index(main)]):
        if (
            place.last.end == chain[0].phrase.lead
            and len(chain) < 2
            and place.preposition not in WEAK
            and chain[0].preposition in STILL
        ):
            chain.insert(0, place)
    for place in places[places.index(main) + 1 :]:
        touches = place.phrase.lead == chain[-1].last.end and len(chain) < 3
        if (touches and (place.listed or place.phrase.name) and place.preposition not in AFTER_NONE) or (
            touches and not main.listed and place.preposition in {"in", "on", "inside", "at"}
        ):
            chain.append(place)
    return chain


def _same_place(place: Place, known: Setting) -> bool:
    """True if a place is the known setting or a part of it: the shore of the lake, a room of the house."""
    family = family_of_place(place)
    inner = place.last if place.phrase.head in SIDES and place.last is not place.phrase else place.phrase
    if family == known.family or inner.head == known.noun:
        return True
    wholes = PARTS_OF.get(inner.head, frozenset())
    if not wholes & {known.family, known.noun}:
        return False
    plain = inner.definite and not inner.modifiers
    return plain or inner.head in ROOMS
