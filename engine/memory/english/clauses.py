"""Clauses of a tagged text: one verb each, with the noun phrases around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from .context import STOPS
from .noun_phrases import NounPhrase, find_noun_phrases
from .nouns import TIMES
from .tagging import Tagged, tag_text

PAUSES = frozenset({",", "(", ")", "-", "–", "—", '"', "“", "”"})


@dataclass
class Clause:
    """``marker`` is the word that begins it ("where", "who", "while"), ``antecedent`` the phrase before that word.

    ``verb`` is the main verb's word number (None in a fragment), ``auxiliaries`` the forms of "be", "have" and "can"
    before it. ``parent`` is the clause that it interrupts.
    """

    marker: str = ""
    antecedent: NounPhrase | None = None
    parent: Clause | None = None
    phrases: list[NounPhrase] = field(default_factory=list)
    verb: int | None = None
    auxiliaries: list[str] = field(default_factory=list)
    negated: bool = False
    existential: bool = False  # "there was"
    shares: Clause | None = None  # the clause whose subject it has: "sat down and slept"
    start: int = 0

    def before_verb(self) -> list[NounPhrase]:
        """Noun phrases without a preposition before the verb, times of day left out: its subjects."""
        plain = [p for p in self.phrases if not p.preposition and p.head not in TIMES]
        return [p for p in plain if self.verb is None or p.start < self.verb]

    def after_verb(self) -> list[NounPhrase]:
        """Noun phrases without a preposition after the verb."""
        return [p for p in self.phrases if not p.preposition and self.verb is not None and p.start > self.verb]

    def subjects(self) -> list[NounPhrase]:
        """Subject of the clause: before the verb, after it ("on a post sat an owl"), the antecedent, or the last
        clause's."""
        before = self.before_verb()
        if before and not self.existential:
            return before
        if self.marker in {"who", "which", "that"} and self.antecedent is not None:
            return [self.antecedent]
        if self.shares is not None:
            return self.shares.subjects()
        return self.after_verb()


@dataclass(frozen=True)
class Parsed:
    """A text with its words, noun phrases and clauses."""

    words: tuple[Tagged, ...]
    phrases: tuple[NounPhrase, ...]
    clauses: tuple[Clause, ...]

    def clause_of(self, phrase: NounPhrase) -> Clause | None:
        """The clause that holds ``phrase``."""
        return next((clause for clause in self.clauses if phrase in clause.phrases), None)

    def between(self, first: NounPhrase, second: NounPhrase) -> str:
        """The words between two phrases, in lower case; a preposition counts."""
        return " ".join(word.low for word in self.words[first.end : second.start])


@lru_cache(maxsize=256)
def parse(text: str) -> Parsed:
    """Tags, noun phrases and clauses of ``text``; a text may hold several sentences."""
    words = tag_text(text)
    phrases = find_noun_phrases(words)
    return Parsed(words, tuple(phrases), tuple(_Splitter(words, phrases).run()))


class _Splitter:
    """Walks through the words and deals noun phrases and verbs out to clauses."""

    def __init__(self, words: tuple[Tagged, ...], phrases: list[NounPhrase]) -> None:
        self.words, self.at = words, {phrase.start: phrase for phrase in phrases}
        self.clauses = [Clause()]
        self.last: NounPhrase | None = None

    @property
    def now(self) -> Clause:
        return self.clauses[-1] if self.resumed is None else self.resumed

    resumed: Clause | None = None

    def run(self) -> list[Clause]:
        i = 0
        while i < len(self.words):
            phrase = self.at.get(i)
            if phrase is not None:
                self.now.phrases.append(phrase)
                self.last, i = phrase, phrase.end
                continue
            if not self.words[i].quoted or self.words[i].tag in STOPS:
                self.take(i)
            i += 1
        return [clause for clause in self.clauses if clause.phrases or clause.verb is not None]

    def begin(self, i: int, **fields: object) -> None:
        self.clauses.append(Clause(start=i, **fields))  # type: ignore[arg-type]
        self.resumed = None

    def waiting(self) -> Clause | None:
        """The clause around the present one that still lacks its verb ("The knight who ... was called")."""
        clause = self.now.parent
        while clause is not None and clause.verb is not None:
            clause = clause.parent
        return clause

    def take(self, i: int) -> None:
        tag, now = self.words[i].tag, self.now
        if tag in STOPS:
            self.begin(i)
            self.last = None
        elif tag in {"W", "S"}:
            self.begin(i, marker=self.words[i].low, antecedent=self.last, parent=now)
        elif tag == "C":
            self.join(i)
        elif tag in PAUSES:
            self.pause(i)
        elif tag == "T":
            if self.words[i - 1].tag in {"C", ","} and i and (now.verb is not None or now.auxiliaries):
                self.begin(i, shares=now, parent=now.parent, negated=True)  # "a bear, and not a clever one"
            now = self.now
            now.negated = True
        elif tag in {"V", "A"}:
            if i and self.words[i - 1].tag == "O":
                return  # "waited to sing"
            self.take_verb(i)
        elif tag in {"Z", "G"} and now.verb is None and now.auxiliaries:
            now.verb = i
        elif self.words[i].low == "there" and i + 1 < len(self.words) and self.words[i + 1].tag in {"V", "A"}:
            now.existential = True

    def join(self, i: int) -> None:
        """ "and": another verb of the same subject, a clause of its own, or a mere list."""
        after = self.next_solid(i + 1)
        now = self.now
        finished = now.verb is not None or bool(now.auxiliaries)
        if after < len(self.words) and self.words[after].tag in {"V", "A"} and after not in self.at and finished:
            self.begin(i, shares=now, parent=now.parent)
        elif finished and self.clause_starts(i + 1):
            self.begin(i, parent=now.parent)
        elif self.words[i].low == "but":
            if now.negated and not finished:
                now.phrases.clear()  # "not a dog but a fox"
            elif finished:
                self.begin(i, shares=now, parent=now.parent)
                self.now.verb, self.now.auxiliaries = now.verb, list(now.auxiliaries)
            now = self.now
            now.negated = False

    def pause(self, i: int) -> None:
        now, waiting = self.now, self.waiting()
        finished = now.verb is not None or bool(now.auxiliaries)
        if finished and waiting is not None:
            self.resumed = waiting
        elif finished and (after := self.next_solid(i + 1)) < len(self.words):
            if self.words[after].tag in {"V", "A"} and after not in self.at:
                self.begin(i, shares=now, parent=now.parent)
            elif self.clause_starts(i + 1):
                self.begin(i, parent=now.parent)

    def take_verb(self, i: int) -> None:
        now = self.now
        chained = bool(now.auxiliaries) and (now.verb is None or self.words[now.verb].tag == "A")
        if (now.verb is not None or now.auxiliaries) and not chained and self.has_own_subject(i):
            self.begin(i, parent=now, phrases=[now.phrases.pop()])
            now = self.now
        elif (now.verb is not None or now.auxiliaries) and not chained:
            waiting = self.waiting()
            if waiting is not None:
                self.resumed = now = waiting
            else:
                self.begin(i, shares=now, parent=now.parent)
                now = self.now
        if self.words[i].tag == "A":
            now.auxiliaries.append(self.words[i].low)
            now.verb = now.verb if now.verb is not None else None
            after = self.next_solid(i + 1)
            if after >= len(self.words) or self.words[after].tag not in {"V", "Z", "G", "A"}:
                now.verb = i
        else:
            now.verb = i

    def has_own_subject(self, i: int) -> bool:
        """ "he thinks he is a lion": a pronoun right before the second verb."""
        last = self.now.phrases[-1] if self.now.phrases else None
        return last is not None and last.end == i and last.pronoun in {"he", "she", "it", "they", "i", "we", "you"}

    def next_solid(self, i: int) -> int:
        while i < len(self.words) and self.words[i].tag in {"R", "T"}:
            i += 1
        return i

    def clause_starts(self, i: int) -> bool:
        """True if a subject and its verb follow: "..., and Igor the stork saw"."""
        subject = False
        while i < len(self.words):
            phrase = self.at.get(i)
            if phrase is not None:
                subject = subject or not phrase.preposition
                i = phrase.end
                continue
            tag = self.words[i].tag
            if tag in {"V", "A"}:
                return subject
            if tag in STOPS or tag in {"S", "W", "C"} or (tag in PAUSES and not subject):
                return False
            if tag in PAUSES and (i + 1 >= len(self.words) or self.words[i + 1].tag not in {"V", "A"}):
                return False
            i += 1
        return False
