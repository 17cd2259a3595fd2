"""Samples stories of the storyworld: sentences together with the scenes they tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from . import templates as text
from .kinds import ACTIONS, COATS, PROPS, SETTINGS, Individual, Scene, check_edition, sample_individual
from .names import NAMES, pronouns
from .phrases import ACTION_PHRASES, CRIES, FIRST_VERBS, GROUPS, WHOLE
from .places import LIGHT, PLACES, SKY, SKY_DETAILS, TIME_ADJECTIVES
from .things import ABOVE, BESIDE, DIRECT, FLYING, PROP_WORDS

SPLITS = ("train", "heldout")
T = TypeVar("T")


@dataclass(frozen=True)
class StorySample:
    """A story: one sentence and one scene a frame."""

    sentences: tuple[str, ...]
    scenes: tuple[Scene, ...]
    name: str


def sample_story(seed: int, split: str = "train", length: int = 6, edition: int = 1) -> StorySample:
    """Story number ``seed`` of ``split``; equal arguments give equal stories; splits and editions share no stream.

    In the second edition no sentence names the coat, so that only the pictures tell what the individual looks like.

    Raises:
        ValueError: an unknown split or edition, a length below 1 or a negative seed.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; choose one of: {', '.join(SPLITS)}")
    if length < 1 or seed < 0:
        raise ValueError(f"length must be at least 1 and seed at least 0, got {length} and {seed}")
    check_edition(edition)
    stream = [SPLITS.index(split), seed] if edition == 1 else [SPLITS.index(split), seed, 0, edition]
    return _Teller(np.random.default_rng(stream), split, edition).tell(length)


class _Teller:
    """One story's random stream, hero and state."""

    def __init__(self, rng: np.random.Generator, split: str, edition: int) -> None:
        self.rng, self.split, self.edition = rng, split, edition
        self.name, pronoun = self.pick(NAMES[split])
        self.he, self.his, self.him = pronouns("it" if rng.random() < 0.05 else pronoun)
        self.who: Individual = sample_individual(rng, edition=edition)
        self.animal = self.who.animal
        self.time = "night" if rng.random() < 0.22 else "day"
        self.setting = self.pick(SETTINGS)
        self.layout = self.new_layout()
        self.unnamed = rng.random() < (0.08 if split == "train" else 0.1)

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def new_layout(self) -> int:
        """Even numbers for training, odd ones for the held-out split."""
        return int(self.rng.integers(1 << 30)) * 2 + SPLITS.index(self.split)

    def tell(self, length: int) -> StorySample:
        sentences, scenes = [], []
        move_at = int(self.rng.integers(2, length)) if length > 2 and self.chance(0.15) else None
        for k in range(length):
            action = self.action(k)
            prop = "none" if self.chance(0.6 if k == 0 else 0.4) else self.pick(PROPS[1:])
            if k == 0:
                sentence = self.first(action, prop)
            elif k == move_at:
                old, self.setting = self.setting, self.pick([s for s in SETTINGS if s != self.setting])
                self.layout = self.new_layout()
                sentence = self.move(action, prop, old)
            else:
                sentence = self.later(action, prop, k)
            sentences.append(sentence[0].upper() + sentence[1:])
            scenes.append(self.scene(action, prop))
        return StorySample(tuple(sentences), tuple(scenes), self.name)

    def action(self, k: int) -> str:
        return "sit" if k == 0 and self.chance(0.6) else self.pick(ACTIONS)

    def scene(self, action: str, prop: str) -> Scene:
        facing = 1 if self.chance(0.5) else -1
        x = round(float(self.rng.uniform(0.2, 0.8)), 3)
        return Scene(self.who, self.setting, self.time, self.layout, action, prop, facing, x, self.edition)

    # -- sentences ------------------------------------------------------------------------------------------

    def first(self, action: str, prop: str) -> str:
        if self.animal == "owl" and action == "sit" and prop == "none" and not self.unnamed and self.chance(0.3):
            sentence = self.pick(text.OWL_FIRST[self.split])
        else:
            sentence = self.pick((text.UNNAMED if self.unnamed else text.FIRST)[self.split])
        verb = self.pick(self.grouped(FIRST_VERBS[action]))
        opener = ""
        detail, marked, adjective = self.detail()
        if "{detail}" not in sentence:
            marked = adjective is not None or "{light}" in sentence
        elif self.time == "night" and not marked:
            detail, marked = " " + self.pick(SKY_DETAILS["night"][self.split]), True
        if (self.time == "night" and not marked) or (not marked and self.chance(0.06)):
            opener = self.pick(text.DAY_OPENERS[self.time][self.split]) + " "
        place, noun_phrase = self.place(adjective, action not in {"bark", "look up", "sniff"})
        tie = self.tie(action, prop)
        slots = self.slots() | {
            "v": verb, "place": place, "Place": place[0].upper() + place[1:], "detail": detail, "o": tie,
            "the_place": "the " + noun_phrase.split(" ", 1)[1],
        }  # fmt: skip
        sentence = self.fill(sentence, slots)
        return opener + (_lower_first(sentence, self.name) if opener else sentence)

    def detail(self) -> tuple[str, bool, str | None]:
        """The words after the place, whether it gives the time away, and an adjective of time for the place."""
        roll = self.rng.random()
        time_adjective = self.pick(TIME_ADJECTIVES[self.time][self.split]) if self.chance(0.25) else None
        scenery = self.pick(PLACES[self.setting].details[self.split])
        sky = self.pick(SKY_DETAILS[self.time][self.split])
        if roll < 0.3:
            return "", time_adjective is not None, time_adjective
        if roll < 0.65:
            return self.attach(scenery), time_adjective is not None, time_adjective
        if roll < 0.85:
            return f" {sky}", True, time_adjective
        return f"{self.attach(scenery)} {sky}", True, time_adjective

    def attach(self, scenery: str) -> str:
        return f", {scenery}" if scenery.split()[0].endswith("s") and "ing" in scenery else f" {scenery}"

    def later(self, action: str, prop: str, k: int) -> str:
        naming = self.unnamed and k == 1
        sentence = self.pick([t for t in text.LATER[self.split] if not (naming and "{whole}" in t)])
        subject = f"{self.name}, the {self.animal}," if naming else self.subject()
        phrase, tie = self.phrase(action, prop)
        slots = self.slots() | self.who_slots(subject) | {"v": phrase, "o": tie}
        if "{whole}" in sentence:
            slots |= {"whole": self.pick(WHOLE[self.split][action]), "o": self.tie(action, prop)}
        return self.fill(sentence, slots)

    def move(self, action: str, prop: str, old: str) -> str:
        sentence = self.pick(text.MOVES[self.split])
        place, noun_phrase = self.place(None)
        phrase, tie = self.phrase(action, prop)
        subject = f"{self.name}, the {self.animal}," if self.unnamed and self.chance(0.5) else self.subject()
        slots = self.slots() | self.who_slots(subject)
        slots |= {"v": phrase, "o": tie, "np": noun_phrase, "old": old, "Place_plain": place[0].upper() + place[1:]}
        return self.fill(sentence, slots)

    # -- parts ----------------------------------------------------------------------------------------------

    def subject(self) -> str:
        roll = self.rng.random()
        if roll < 0.35:
            return self.name
        if roll < 0.8:
            return self.he
        if roll < 0.92:
            return f"the {self.animal}"
        if roll < 0.97:
            return f"the {self.pick(text.TRAITS[self.split])} {self.animal}"
        return f"{self.name}, the {self.animal},"

    def who_slots(self, subject: str) -> dict[str, str]:
        named = subject if subject != self.he else self.him
        return {"s": subject, "S": subject[0].upper() + subject[1:], "s_obj": named.rstrip(",")}

    def slots(self) -> dict[str, str]:
        """Slots that need no scene; several are drawn and not all are used."""
        place = PLACES[self.setting]
        coat = COATS[self.animal][self.who.coat].replace("gold", "golden")
        coloured = self.edition == 1 and self.animal != "golden retriever" and self.chance(0.3)
        adjective = coat if coloured else self.pick(text.TRAITS[self.split])
        animal, adjective_a = _with_article(self.animal), _with_article(adjective)
        cry, call = self.pick(self.cries())
        empty = ("",)
        return {
            "N": self.name, "a": self.animal, "aa": animal, "Aa": animal[0].upper() + animal[1:], "adj": adjective,
            "an_adj": adjective_a, "An_adj": adjective_a[0].upper() + adjective_a[1:], "he": self.he, "his": self.his,
            "himself": {"he": "himself", "she": "herself", "it": "itself"}[self.he], "ground": self.pick(place.ground),
            "him": self.him, "feet": "claws" if self.animal == "owl" else "paws",
            "smell": self.pick(place.smell), "sky": self.pick(SKY[self.time]), "light": self.pick(LIGHT[self.time]),
            "cry": cry, "call": call, "opener": self.pick(text.OPENERS[self.split]),
            "start": self.pick(text.STARTS[self.split]), "clause": self.pick(text.CLAUSES[self.split]),
            "clause_first": self.pick(text.CLAUSES_FIRST[self.split] or empty),
            "remark": self.pick(text.REMARKS[self.split] or empty),
        }  # fmt: skip

    def fill(self, template: str, slots: dict[str, str]) -> str:
        """Fill nested slots; slots in slots go two levels deep."""
        for _ in range(3):
            template = template.format(**slots)
        return template.replace(",.", ".").replace(",,", ",").replace(", :", ":")

    def cries(self) -> tuple[tuple[str, str], ...]:
        return next(CRIES[group] for group in GROUPS[self.animal] if group in CRIES)

    def grouped(self, table: dict[str, str]) -> list[str]:
        return [phrase for group in GROUPS[self.animal] for phrase in table.get(group, "").split("|") if phrase]

    def phrase(self, action: str, prop: str) -> tuple[str, str]:
        """A verb phrase and the tie to the thing in view."""
        wordings = "train" if self.split == "train" or self.chance(0.5) else "heldout"
        if prop != "none" and self.chance(0.5):
            key = "jump up" if action == "jump" and prop in FLYING else action
            key = "chase" if action == "run" and prop in FLYING | {"ball"} and self.chance(0.7) else key
            return self.pick(DIRECT[wordings][key]).replace("{prop}", self.pick(PROP_WORDS[prop])), ""
        table = ACTION_PHRASES[wordings][action]
        choices = [phrase for group in GROUPS[self.animal] for phrase in table.get(group, ())]
        return self.pick(choices), self.tie(action, prop)

    def tie(self, action: str, prop: str) -> str:
        if prop == "none":
            return ""
        ties = (ABOVE if prop in FLYING else BESIDE)[self.split]
        if action == "sleep":
            ties = tuple(tie for tie in ties if "watching" not in tie)
        return self.pick(ties).replace("{prop}", self.pick(PROP_WORDS[prop]))

    def place(self, time_adjective: str | None, at_rest: bool = True) -> tuple[str, str]:
        """The setting with its preposition, and as a bare noun phrase."""
        place = PLACES[self.setting]
        noun = place.noun if self.chance(0.65) else self.pick(place.others)
        # "barked at a park" would be read as barking at it
        preposition = self.pick([p for p in place.prepositions if p != "at" or at_rest])
        adjective = time_adjective or (self.pick(place.adjectives[self.split]) if self.chance(0.75) else "")
        words = f"{adjective} {noun}".strip()
        if noun == "snow" or noun in {"sand dunes", "dunes", "woods", "seaside"} or self.chance(0.1):
            article = "the "
        else:
            article = _with_article(words)[: -len(words)]
        return f"{preposition} {article}{words}", f"{article}{words}"


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _lower_first(sentence: str, name: str) -> str:
    return sentence if sentence.startswith(name) else sentence[0].lower() + sentence[1:]
