"""Whom "he" and "she" mean: the hero or a companion."""

from __future__ import annotations

from .companions import Companion, is_hero
from .english.clauses import Parsed
from .person import Person
from .subject import Subject, mentions

SEX_OF = {"he": "he", "his": "he", "him": "he", "she": "she", "her": "she", "it": "it", "its": "it"}


def sex_shown(parsed: Parsed, people: list[Person], subject: Subject, companions: tuple[Companion, ...]) -> str | None:
    """The hero's sex where a possessive in its own clause shows it: "Rex sat with his friend"."""
    others = companions or [p for p in people if not is_hero(p, subject)]
    for clause in parsed.clauses:
        if clause.verb is None or not mentions(subject, clause):
            continue
        ends = [p.end for p in clause.phrases] + [clause.verb]
        for word in parsed.words[clause.start : max(ends)]:
            if word.low in {"his", "her", "its", "himself", "herself", "itself"} and not word.quoted:
                return (
                    {"h": "he", "s": "she", "i": "it"}[word.low[0]]
                    if word.low != "her" and word.low != "herself"
                    else "she"
                )
    if not others:
        for word in parsed.words:
            if word.low in {"he", "she", "his", "her"} and not word.quoted:
                return SEX_OF[word.low]
    return None


def meant(
    pronoun: str, subject: Subject, sex: str | None, sure: bool, companions: tuple[Companion, ...], recent: list[Person]
) -> Subject | Companion | None:
    """Whom "he" or "she" means. ``sex`` is the hero's, ``sure`` if a pronoun or its kind showed it."""
    wanted = SEX_OF[pronoun]
    others = [one for one in reversed(companions) if not one.plural]
    if subject.many:
        return next((one for one in others if one.sex == wanted), None)
    if sex == wanted:
        return subject
    same = next((one for one in others if one.sex == wanted), None)
    open_ = next((one for one in others if one.sex is None and one.owned), None)
    if sex is None:
        fresh = same is not None and any(p.name == same.name and p.kind == same.kind for p in recent)
        return same if fresh and same is not None and not same.agent else subject
    near = next((one for one in others if one.sex is None and any(p.kind == one.kind for p in recent)), None)
    other = same or open_ or near
    if other is not None:
        return other
    return None if sure and sex != "it" else subject
