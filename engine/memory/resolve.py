"""Names the hero, or a companion, where a sentence first refers to it."""

from __future__ import annotations

import re

from .companions import Companion, others_before, with_companions
from .english.clauses import Clause, Parsed, parse
from .english.noun_phrases import NounPhrase
from .english.tagging import Tagged
from .english.verbs import IRREGULAR_PAST
from .person import kind_of, looks_of
from .reference import meant
from .state import State
from .subject import Subject, differs
from .things import is_about_nobody, may_be_thing, plural_thing_before, thing_before

SINGULAR = {"were": "was", "are": "is", "have": "has", "'re": "'s", "'ve": "'s"}
POSSESSIVES = frozenset({"his", "her", "its", "their"})


Change = tuple[int, int, str]


def resolve(sentence: str, state: State) -> str:
    """``sentence`` with its first referent named; at most one place changes.

    ``state`` is what is known after the sentence, with what the text before it said in ``recent``.
    "He woke." gives "Bo woke.", "The wise owl hooted." "Oliver hooted."
    """
    assert state.subject is not None
    parsed = parse(sentence)
    change = _named(parsed, state.subject) or _by_kind(parsed, state.subject) or _by_pronoun(parsed, state)
    if change is None:
        return sentence
    start, end, text = change
    if not text:
        return sentence
    if start == 0 or sentence[:start].rstrip()[-1:] in {".", "!", "?", ""}:
        text = text[0].upper() + text[1:]
    return sentence[:start] + text + sentence[end:]


def _named(parsed: Parsed, subject: Subject) -> Change | None:
    """The name, together with an apposition that the head already gives ("Ruby, the rabbit,")."""
    for name in subject.names():
        for i, phrase in enumerate(parsed.phrases):
            if phrase.name != name and (phrase.owner is None or phrase.owner.name != name):
                continue
            words = parsed.words
            if phrase.name != name or subject.many:
                return words[phrase.start].start, words[phrase.start].start, ""
            start = words[phrase.start].start
            if phrase.head and words[phrase.start].tag == "E" and subject.is_kind(phrase.head):
                return start, words[phrase.end - 1].end, name  # "Benny the beagle"
            end = words[phrase.end - 1].end
            following = parsed.phrases[i + 1] if i + 1 < len(parsed.phrases) else None
            return _without_apposition(parsed, phrase, following, subject) or (end, end, "")
        if any(word.text == name for word in parsed.words if not word.quoted):
            return 0, 0, ""
    return None


def _without_apposition(
    parsed: Parsed, phrase: NounPhrase, following: NounPhrase | None, subject: Subject
) -> Change | None:
    """The name without a following ", the rabbit,"."""
    words = parsed.words
    if (
        phrase.head
        or following is None
        or following.preposition
        or not following.head
        or not subject.is_kind(kind_of(following))
    ):
        return None
    if parsed.between(phrase, following) != "," or following.determiner not in {"the", "a", "an"}:
        return None
    end = words[following.end - 1].end
    if following.end < len(words) and words[following.end].text == ",":
        end = words[following.end].end
    return words[phrase.start].start, end, phrase.name


def _by_kind(parsed: Parsed, subject: Subject) -> Change | None:
    """ "The wise owl", "the beagle's": the hero by its kind."""
    if subject.many and not subject.plural:
        return None
    first = min((word.start for word in parsed.words if word.low in {"he", "she"}), default=None)
    for phrase in parsed.phrases:
        whole = phrase.owner if phrase.owner is not None and phrase.owner.head else phrase
        if whole.determiner not in {"the", "this"} or whole.owner is not None or whole.name or not whole.head:
            continue
        if not subject.is_kind(kind_of(whole)) or differs(subject, looks_of(whole)) or whole.plural != subject.plural:
            continue
        start = parsed.words[whole.start].start
        if first is not None and first < start:
            return None
        return start, parsed.words[whole.end - 1].end, subject.short
    return None


def _by_pronoun(parsed: Parsed, state: State) -> Change | None:
    """The sentence's first pronoun that means somebody: "he", "she", "it", "they", or a possessive that opens it."""
    words = [word for word in parsed.words if word.text[0].isalnum()]
    if not words:
        return None
    if words[0].low in POSSESSIVES and words[0].tag == "D":
        owner = _whose(words[0], parsed, state)
        return (words[0].start, words[0].end, _possessive(owner)) if owner else None
    for clause in parsed.clauses:
        for phrase in clause.before_verb():
            if phrase.pronoun in {"he", "she", "it", "they"}:
                change = _subject_pronoun(parsed, clause, phrase, state)
                if change is not None:
                    return change
                if phrase.pronoun != "it":
                    return None
    return _possessive_subject(parsed, state)


def _subject_pronoun(parsed: Parsed, clause: Clause, phrase: NounPhrase, state: State) -> Change | None:
    word = parsed.words[phrase.start]
    who = _who(phrase.pronoun, parsed, clause, state)
    if who is None:
        return None
    end = word.end
    if phrase.pronoun == "they" and state.subject is not None and who == state.subject.short and not state.subject.many:
        after = parsed.words[phrase.end] if phrase.end < len(parsed.words) else None
        if after is None or (after.tag == "V" and not re.search("ed$", after.low) and after.low not in IRREGULAR_PAST):
            return None
        if after.low in SINGULAR:
            gap = "" if after.low.startswith("'") else " "
            return word.start, after.end, f"{who}{gap}{SINGULAR[after.low]}"
    return word.start, end, who


def _who(pronoun: str, parsed: Parsed, clause: Clause, state: State) -> str | None:
    subject = state.subject
    assert subject is not None
    if pronoun == "they":
        if subject.many:
            return subject.short
        joined = with_companions(subject, state.companions, state.joined)
        if joined is not None:
            return joined
        things = state.before is not None and plural_thing_before(state.before)
        return None if things or others_before(state.recent, subject) else subject.short
    if pronoun == "it":
        return _it(parsed, clause, state)
    return _called(meant(pronoun, subject, state.sex, state.sure, state.earlier, state.recent), subject)


def _it(parsed: Parsed, clause: Clause, state: State) -> str | None:
    subject = state.subject
    assert subject is not None
    if subject.many or (state.sure and state.sex in {"he", "she"}) or is_about_nobody(parsed, clause):
        return None
    thing = state.before is not None and thing_before(state.before, state.recent)
    if state.sex != "it" and thing and may_be_thing(parsed, clause):
        return None
    return subject.short


def _called(who: Subject | Companion | None, subject: Subject) -> str | None:
    return who.short if isinstance(who, Subject) else who.called(subject) if who is not None else None


def _whose(word: Tagged, parsed: Parsed, state: State) -> str | None:
    subject = state.subject
    assert subject is not None
    if word.low == "their":
        return subject.short if subject.many or not others_before(state.recent, subject) else None
    if word.low == "its":
        return subject.short if not (state.sure and state.sex in {"he", "she"}) and not subject.many else None
    return _called(meant(word.low, subject, state.sex, state.sure, state.earlier, state.recent), subject)


def _possessive(name: str) -> str:
    return f"{name}'s"


def _possessive_subject(parsed: Parsed, state: State) -> Change | None:
    """ "Just then, her gaze went up": a possessive in the first subject."""
    for clause in parsed.clauses:
        for phrase in clause.before_verb():
            word = parsed.words[phrase.start]
            if word.low in POSSESSIVES and word.tag == "D" and clause.verb is not None:
                owner = _whose(word, parsed, state)
                return (word.start, word.end, _possessive(owner)) if owner else None
            return None
    return None
