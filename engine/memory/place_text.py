"""Text of a place for the head of a prompt."""

from __future__ import annotations

from dataclasses import dataclass

from .english.clauses import Parsed
from .english.closed import OWNERS
from .english.kinds import word_set
from .english.noun_phrases import NounPhrase, join
from .english.places import BY_PLACES, COLD, ON_PLACES, SIDES, family_of
from .english.tagging import is_be
from .presence import COVERED, STILL, Place

ROUND = frozenset({"around", "round", "over", "about"})
LYING = word_set("snow rain ice frost fog mist flowers leaves water sand")
LOOSE = word_set("down up out over off back somewhere deep high")  # "down in the cellar" is in it


@dataclass(frozen=True)
class Setting:
    """A setting as the text describes it: ``phrase`` reads on from the protagonist ("in a vibrant garden by a lake").

    ``short`` is its main place alone ("in a vibrant garden"), ``noun`` that place's noun, ``family`` what is like it.
    """

    phrase: str
    family: str
    noun: str = ""
    short: str = ""


def setting_of(parsed: Parsed, chain: list[Place]) -> Setting:
    """The setting that touching places make: "on a shelf in a toy shop"."""
    texts = [_text(parsed, place) for place in chain]
    main = next((place for place in chain if place.listed), chain[0])
    phrase = " ".join(filter(None, (part for place, text in zip(chain, texts, strict=True)
                                    for part in (text, _relative(parsed, place.last)))))  # fmt: skip
    return Setting(phrase, family_of_place(main), main.phrase.head, texts[chain.index(main)])


def _text(parsed: Parsed, place: Place) -> str:
    """ "in the ruins of an old castle"."""
    noun = _noun_phrase(parsed, place.phrase)
    rest = join(parsed.words[place.phrase.end : place.last.end])
    return " ".join(part for part in (_lead(parsed, place), noun, rest) if part)


def _lead(parsed: Parsed, place: Place) -> str:
    """The preposition of somebody who stays there: the story's own, or for one of movement "in", "on", "by" or "at"."""
    phrase, preposition = place.phrase, place.preposition
    above = preposition == "above" and (not place.listed or _right_after_verb(parsed, phrase))
    if preposition in STILL or above:
        written = parsed.words[phrase.lead : phrase.start]
        return preposition if written[0].low in LOOSE and len(written) > 1 else join(written).lower()
    if phrase.head in SIDES and place.last is not phrase:
        return "on" if phrase.head in ON_PLACES else "at"
    if phrase.head in BY_PLACES or preposition == "against":
        return "by"
    if phrase.head in ON_PLACES or (preposition == "hung from" and not place.listed):
        return "on"
    return "by" if preposition in ROUND and not place.listed else "in"


def _right_after_verb(parsed: Parsed, phrase: NounPhrase) -> bool:
    return (phrase.lead > 0 and parsed.words[phrase.lead - 1].tag in {"V", "R", "."}) or phrase.lead == 0


def _noun_phrase(parsed: Parsed, phrase: NounPhrase) -> str:
    """Article, at most the last three adjectives, noun; "the" becomes no "a": the user's words are kept."""
    words = parsed.words[phrase.start : phrase.end]
    if phrase.owner is not None or not phrase.determiner:
        return join(words)
    article, rest = words[0].low, words[1:]
    if len(rest) > 4 and all(word.low != "and" for word in rest):
        rest = rest[-4:]
        article = article if article not in {"a", "an"} else "an" if rest[0].low[0] in "aeiou" else "a"
    return f"{'the' if article in OWNERS | {'this', 'that'} else article} {join(rest)}".strip()


def _relative(parsed: Parsed, last: NounPhrase) -> str:
    """ "that snow had covered", "covered in snow": what lies on a place, six words at most."""
    words, i = parsed.words, last.end
    if i < len(words) and words[i].low in COVERED:
        inner = next((p for p in parsed.phrases if p.lead == i + 1 and p.preposition in {"in", "with", "by"}), None)
        return join(words[i : inner.end]) if inner is not None and not inner.pronoun else ""
    if i >= len(words) or words[i].low not in {"that", "which"} or words[i].tag != "W":
        return ""
    clause = next((c for c in parsed.clauses if c.antecedent is last and c.start == i), None)
    if clause is None or clause.verb is None or clause.negated or clause.verb - i > 5:
        return ""
    lies = any(p.head in LYING for p in clause.subjects())
    return join(words[i : clause.verb + 1]) if lies and not is_be(words[clause.verb].low) else ""


def family_of_place(place: Place) -> str:
    """Kind of a place: "a snowy field" is snow, "the edge of a wood" a forest."""
    for phrase in (place.phrase, place.last):
        if any(word.low in COLD for word in phrase.modifiers):
            return "snow"
    inner = place.last if place.phrase.head in SIDES and place.last is not place.phrase else place.phrase
    return family_of(inner.head) or inner.head
