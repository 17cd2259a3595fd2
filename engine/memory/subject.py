"""The subject of a story: one hero or several, with what is known of how they look."""

from __future__ import annotations

from dataclasses import dataclass

from .english.clauses import Clause
from .english.noun_phrases import NounPhrase
from .english.nouns import PLURALS, SAME_PLURAL, singular
from .person import GROUPS, kind_of, looks_of


@dataclass(frozen=True)
class Hero:
    """One animal or person; at least one of ``name`` and ``kind`` is set."""

    name: str | None = None
    kind: str | None = None
    looks: tuple[str, ...] = ()  # adjectives one can see ("black")
    wears: tuple[str, ...] = ()  # "wearing a red scarf", "with golden wings"
    sex: str | None = None  # "he", "she" or "it"

    @property
    def described(self) -> str:
        """Looks and kind: "old brown bear"."""
        return " ".join([*self.looks, *([self.kind] if self.kind else [])])

    @property
    def full(self) -> str:
        """ "Benny the old beagle", "the rabbit", "Max"."""
        if self.name and self.kind:
            return f"{self.name} the {self.described}"
        return self.name or f"the {self.described}"


@dataclass(frozen=True)
class Subject:
    """The subject of a story. ``number`` and ``plural``: heroes without names that are counted, or not ("the
    geese")."""

    heroes: tuple[Hero, ...]
    plural: bool = False
    number: str = ""

    @property
    def hero(self) -> Hero:
        """The first hero."""
        return self.heroes[0]

    @property
    def many(self) -> bool:
        """True if "they" are the subject."""
        return self.plural or len(self.heroes) > 1

    @property
    def short(self) -> str:
        """Name of the subject within a sentence: "Benny", "the rabbit", "Ada and Ben"."""
        if len(self.heroes) == 1:
            number = f"{self.number} " if self.number else ""
            return self.hero.name or f"the {number}{self.hero.kind}"
        return listed([hero.name or f"the {hero.kind}" for hero in self.heroes])

    @property
    def full(self) -> str:
        """At the head of a prompt: "Benny the beagle", "The rabbit", "Ada and Ben, the foxes,"."""
        if len(self.heroes) == 1:
            number = f"{self.number} " if self.number else ""
            text = f"the {number}{self.hero.described}" if not self.hero.name else self.hero.full
        elif self.plural:
            text = f"{self.short}, the {self.hero.described},"
        else:
            text = listed([hero.full for hero in self.heroes])
        return text[0].upper() + text[1:]

    @property
    def wears(self) -> str:
        """Clothes of the first hero, to follow its kind."""
        return " ".join(self.hero.wears) if len(self.heroes) == 1 else ""

    def names(self) -> list[str]:
        """All names."""
        return [hero.name for hero in self.heroes if hero.name]

    def is_kind(self, kind: str) -> bool:
        """True if ``kind`` names the heroes' kind ("dog" also names a "border collie dog")."""
        kinds = {singular(hero.kind.split()[-1]) for hero in self.heroes if hero.kind}
        return singular(kind.split()[-1]) in kinds


def listed(texts: list[str]) -> str:
    """ "Ada", "Ada and Ben", "Ada, Ben and Cleo"."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def plural_of(kind: str) -> str:
    """ "foxes", "puppies", "geese"; the plural of a kind's last word."""
    first, _, last = kind.rpartition(" ")
    irregular = next((plural for plural, one in PLURALS.items() if one == last), None)
    if irregular is not None or last in SAME_PLURAL:
        last = irregular or last
    elif last.endswith("man"):
        last = last[:-2] + "en"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "es" if last.endswith(("s", "x", "ch", "sh", "z")) else "s"
    return f"{first} {last}".strip()


def is_meant_by(subject: Subject, phrase: NounPhrase) -> bool:
    """True if a phrase names the hero: by a name, or by its kind unless with a name or looks of another."""
    if phrase.name:
        return phrase.name in subject.names()
    if not phrase.head or phrase.head in GROUPS or phrase.determiner in {"another", "no"}:
        return False
    return subject.is_kind(kind_of(phrase)) and not differs(subject, looks_of(phrase))


def mentions(subject: Subject, clause: Clause) -> bool:
    """True if a clause's subject names the hero by name or kind."""
    return any(is_meant_by(subject, phrase) for phrase in clause.subjects())


def differs(subject: Subject, looks: list[str]) -> bool:
    """True if ``looks`` tell another one than the hero: "the white fox" is not a red one."""
    return bool(looks and subject.hero.looks) and not set(looks) & set(subject.hero.looks)
