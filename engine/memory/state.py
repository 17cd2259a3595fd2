"""Facts that a story has stated so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .companions import Companion, companions_of
from .english.clauses import Clause, Parsed, parse
from .hero import find_subject
from .people import find_people
from .person import Person
from .place_text import Setting
from .reference import meant, sex_shown
from .setting import find_setting
from .subject import Subject, is_meant_by, mentions
from .things import is_about_nobody, may_be_thing, thing_before
from .times import Time, find_time


@dataclass(frozen=True)
class State:
    """Heroes, place, time and companions after some sentences.

    ``sex`` is the hero's pronoun, ``sure`` if the story showed it. ``recent`` and ``before`` are the people and the
    parse of the last sentence before the newest that spoke of any, ``joined`` those of the one that named the hero.
    """

    subject: Subject | None = None
    setting: Setting | None = None
    time: Time = field(default_factory=Time)
    companions: tuple[Companion, ...] = ()
    sex: str | None = None
    sure: bool = False
    earlier: tuple[Companion, ...] = ()  # companions before the newest sentence
    recent: list[Person] = field(default_factory=list, compare=False)
    before: Parsed | None = field(default=None, compare=False)
    joined: list[Person] = field(default_factory=list, compare=False)
    newest_parsed: Parsed | None = field(default=None, compare=False)
    newest: list[Person] = field(default_factory=list, compare=False)
    parsed: Parsed | None = field(default=None, compare=False)

    def after(self, sentence: str) -> State:
        """The state after ``sentence``; the same sentence again tells nothing new."""
        parsed = parse(sentence)
        if self.parsed is not None and parsed.words == self.parsed.words:
            return self
        people = find_people(parsed)
        subject = find_subject(parsed, people, self.subject)
        companions = companions_of(people, subject, self.companions)
        opening = self.subject is None
        state = replace(
            self,
            subject=subject,
            companions=companions,
            earlier=companions if opening else self.companions,
            joined=people if opening else self.joined,
            recent=self.newest,
            before=self.newest_parsed,
            newest=people or self.newest,  # "They danced.": "they" are those of the sentence before
            newest_parsed=parsed if people or any(p.head for p in parsed.phrases) else self.newest_parsed,
            parsed=parsed,
        )._with_sex(parsed, people)
        setting = find_setting(parsed, self.setting, state.is_hero, opening)
        return replace(state, setting=setting, time=find_time(parsed, self.time))

    def _with_sex(self, parsed: Parsed, people: list[Person]) -> State:
        """The hero's pronoun: its kind, what the text shows, else its name's hint."""
        if self.subject is None or self.subject.many:
            return replace(self, sex=None, sure=False)
        if self.sure:
            return self
        hero = self.subject.hero
        shown = sex_shown(parsed, people, self.subject, self.companions) or self._pronoun_of(parsed)
        if shown is not None:
            return replace(self, sex=shown, sure=True)
        return replace(self, sex=self.sex or hero.sex)

    def _pronoun_of(self, parsed: Parsed) -> str | None:
        """The pronoun of a later sentence, if it can only mean the hero."""
        assert self.subject is not None
        for clause in parsed.clauses:
            for phrase in clause.before_verb():
                if phrase.pronoun in {"he", "she"}:
                    who = meant(phrase.pronoun, self.subject, self.sex, self.sure, self.earlier, self.recent)
                    return phrase.pronoun if who is self.subject else None
                if phrase.pronoun == "it" and not is_about_nobody(parsed, clause):
                    thing = self.before is not None and thing_before(self.before, self.recent)
                    return None if thing and may_be_thing(parsed, clause) else "it"
        return None

    def is_hero(self, clause: Clause) -> bool | None:
        """True if a clause is about the hero: by name or kind, or by a pronoun that means it; None if about nobody."""
        if self.subject is None:
            return None
        subjects = clause.subjects()
        if not subjects or mentions(self.subject, clause):
            return True
        for phrase in subjects:
            if phrase.pronoun in {"he", "she"}:
                return (
                    meant(phrase.pronoun, self.subject, self.sex, self.sure, self.earlier, self.recent) is self.subject
                )
            if phrase.pronoun in {"it", "they", "there"}:
                return None if phrase.pronoun == "it" and self.sure and self.sex != "it" else True
            owned = phrase.owner is not None and is_meant_by(self.subject, phrase.owner)
            if owned or phrase.determiner in {"his", "her", "its", "their"}:
                return None
        moved = any(
            p.pronoun in {"him", "her", "it", "them"} or is_meant_by(self.subject, p) for p in clause.after_verb()
        )
        return True if moved else None if self.setting is None else False
