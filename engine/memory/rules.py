"""Memory by rules: offline and deterministic. It puts name, kind and setting first and resolves the referent."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .lexicon import word_set
from .rewrite import Memory
from .setting import Setting, find_setting, find_time
from .subject import Subject, find_subject, kind_at
from .words import Words, split_words

# A prompt's head must fit well into the 77 tokens of a CLIP text encoder, in front of everything else.
HEAD_WORDS = 16
NOBODY_AFTER_IT = word_set("was is seemed seems rained snowed began started had would could")


@dataclass(frozen=True)
class Told:
    """What a story has said so far."""

    subject: Subject | None = None
    setting: Setting | None = None
    time: str | None = None

    def after(self, sentence: str) -> "Told":
        """What is known once ``sentence`` is told too."""
        return Told(
            find_subject(sentence, self.subject),
            find_setting(sentence, self.setting),
            find_time(sentence, self.time),
        )


class Rules(Memory):
    """The rewrite of sentence k uses sentences 0..k only, so stories can be told while they are drawn."""

    name = "rules"

    def __init__(self) -> None:
        self._after = lru_cache(maxsize=4096)(Told.after)  # sentence k is refined after k - 1 others, again and again

    def refine(self, prompts: Sequence[str]) -> str:
        """Rewrite ``prompts[-1]``; text without a protagonist comes back unchanged. Empty: ``ValueError``."""
        if not prompts:
            raise ValueError("refine needs at least one sentence, got none")
        before, told = Told(), Told()
        for sentence in prompts:
            before, told = told, self._after(told, sentence)
        return rewrite(prompts[-1], told, first=before.subject is None)

    def refine_story(self, prompts: Sequence[str]) -> list[str]:
        """All rewrites of a story; entry k equals ``refine(prompts[: k + 1])``."""
        return [self.refine(prompts[: k + 1]) for k in range(len(prompts))]


def rewrite(sentence: str, told: Told, first: bool) -> str:
    """Head ("Benny the beagle in a vibrant garden.") and the sentence with its first referent named."""
    if told.subject is None:
        return sentence
    if first and _stands_alone(sentence, told):
        return sentence
    return f"{head(told)} {resolve(sentence.strip(), told.subject)}".strip()


def head(told: Told) -> str:
    """Who, where, and "at night" unless the setting's own words say so."""
    assert told.subject is not None
    place = told.setting.phrase if told.setting else ""
    dark = told.time == "night" and find_time(place) != "night"
    return " ".join(part for part in (told.subject.full, place, "at night" if dark else "") if part) + "."


def resolve(sentence: str, subject: Subject) -> str:
    """Name the subject where ``sentence`` first refers to it; at most one place changes."""
    words = split_words(sentence)
    span = _named(words, subject) or _by_kind(words, subject) or _by_pronoun(words)
    if span is None:
        return sentence
    start, end, owner = span
    text = subject.short + ("'s" if owner else "")
    if start == 0 or sentence[:start].rstrip()[-1:] in {".", "!", "?", ""}:
        text = text[0].upper() + text[1:]
    return sentence[:start] + text + sentence[end:]


def _stands_alone(sentence: str, told: Told) -> bool:
    """True if a first sentence begins with its subject and soon names its setting."""
    assert told.subject is not None
    words = [word.low for word in split_words(sentence)]
    who = (told.subject.kind or told.subject.name or "").lower().split()[-1]
    begins = who in words[:6] and (told.subject.name is None or told.subject.name.lower() in words[:8])
    if told.setting is None:
        return begins
    place = split_words(told.setting.phrase)[-1].low
    return begins and place in words[:HEAD_WORDS]


def _named(words: Words, subject: Subject) -> tuple[int, int, bool] | None:
    """The name, together with an apposition that the head already gives ("Ruby, the rabbit,")."""
    if subject.name is None:
        return None
    for i, word in enumerate(words):
        if re.sub(r"['’]s$", "", word.text) != subject.name:
            continue
        if word.text != subject.name:
            return word.start, word.end, True
        return word.start, _end_of_apposition(words, i, subject), False
    return None


def _end_of_apposition(words: Words, i: int, subject: Subject) -> int:
    if i + 2 >= len(words) or words[i + 1].low not in {"the", "a", "an"}:
        return words[i].end
    comma = words[i + 1].gap.strip() == ","
    for j in range(i + 2, min(i + 6, len(words))):
        kind = kind_at(words, j) or (words[j].low, 1)
        if kind[0] == subject.kind:
            last = j + kind[1] - 1
            after = words[last + 1] if last + 1 < len(words) else None
            closed = comma and after is not None and after.gap.strip() == ","
            return words[last].end + (len(after.gap.rstrip()) if closed and after is not None else 0)
    return words[i].end


def _by_kind(words: Words, subject: Subject) -> tuple[int, int, bool] | None:
    """ "The wise owl", "the beagle's": the subject by its kind."""
    if subject.kind is None:
        return None
    pronoun = next((word.start for word in words if word.low in {"he", "she"}), None)
    for i, word in enumerate(words):
        if word.low not in {"the", "this"}:
            continue
        for j in range(i + 1, min(i + 4, len(words))):
            if not words[j].joined:
                break
            kind = kind_at(words, j) or (words[j].low, 1)
            if kind[0] != subject.kind:
                continue
            last = words[j + kind[1] - 1]
            if pronoun is not None and pronoun < word.start:
                return None
            return word.start, last.end, bool(re.search(r"['’]s$", last.text))
    return None


def _by_pronoun(words: Words) -> tuple[int, int, bool] | None:
    """The sentence's first "he" or "she", unless it opens with a possessive one or with "it"."""
    if not words:
        return None
    first = words[0]
    after = words[1].low if len(words) > 1 else ""
    if first.low in {"his", "her", "its"}:
        return first.start, first.end, True
    if first.text.lower() == "it" and after not in NOBODY_AFTER_IT:  # "it's" is "it is"
        return first.start, first.end, False
    told = {"he", "she", "it"} if any(word.low == "its" for word in words) else {"he", "she"}
    subject = next((word for word in words if word.low in told), None)  # also in "he's"
    return (subject.start, subject.start + len(subject.low), False) if subject else None
