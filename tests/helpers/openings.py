"""Openings of ordinary stories with what a rewrite has to say, and how rewrites are scored against them.

A line of `tests/engine/memory/openings_*.jsonl` is a story of two to five sentences and, for each frame after the
first, the slots that its prompt must fill: name, species, look, place, time, says (the sentence with its referent
named), and phrases that it must *not* hold. A slot lists what must all be found; "a|b" is found if either is. The
development half was looked at while the rules were written. The held-out half was written first and looked at once, at
the end: docs/log.md has its figure from before that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "engine" / "memory"
HALVES = ("development", "heldout")
SLOTS = ("name", "species", "look", "place", "time", "says")
# Words that a prompt's head may hold without the story's having said them.
GLUE = frozenset(["the", "a", "an", "and", "in", "on", "at", "by", "near", "of", "with", "wearing", "night"])


NUMBERS = frozenset(["two", "three", "four", "five", "six", "several"])


@dataclass(frozen=True)
class Opening:
    """A story, its kind, and the slots of its frames 2, 3, ..."""

    kind: str
    story: tuple[str, ...]
    frames: tuple[dict[str, list[str]], ...]


@dataclass(frozen=True)
class Scored:
    """One frame: which slots its prompt fills, and what it says that the story does not."""

    opening: Opening
    frame: int
    prompt: str
    right: tuple[tuple[str, str], ...]
    wrong: tuple[tuple[str, str], ...]
    invented: tuple[str, ...]


def read_openings(half: str) -> list[Opening]:
    """The openings of one half ("development" or "heldout")."""
    lines = (FOLDER / f"openings_{half}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [Opening(row["kind"], tuple(row["story"]), tuple(row["frames"])) for row in rows]


def score(openings: Sequence[Opening], refine_story: Callable[[Sequence[str]], list[str]]) -> Iterator[Scored]:
    """Each frame after the first, rewritten by ``refine_story`` and compared with its slots."""
    for opening in openings:
        for k, prompt in enumerate(refine_story(opening.story)[1:]):
            slots = opening.frames[k]
            wanted = [(slot, phrase) for slot in SLOTS for phrase in slots.get(slot, [])]
            found = {pair: any(holds(prompt, choice) for choice in pair[1].split("|")) for pair in wanted}
            right, wrong = ([pair for pair in wanted if found[pair] == value] for value in (True, False))
            invented = [*_forbidden(prompt, slots), *_unsaid(prompt, opening.story[: k + 2])]
            invented += _unsaid_look(prompt, slots, opening.story[: k + 2])
            yield Scored(opening, k + 2, prompt, tuple(right), tuple(wrong), tuple(invented))


def holds(text: str, phrase: str) -> bool:
    """True if ``phrase`` occurs in ``text`` word by word; a possessive ending of its last word is ignored."""
    words, wanted = _words(text), _words(phrase)
    return any(
        words[i : i + len(wanted) - 1] == wanted[:-1] and _same(words[i + len(wanted) - 1], wanted[-1])
        for i in range(len(words) - len(wanted) + 1)
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:[-'’][^\W_]+)*", text.lower().replace("’", "'"))


def _same(word: str, wanted: str) -> bool:
    return wanted in {word, re.sub(r"'s?$", "", word)}


def _forbidden(prompt: str, slots: dict[str, list[str]]) -> list[str]:
    return [phrase for phrase in slots.get("not", []) if holds(prompt, phrase)]


def _unsaid(prompt: str, expected: Sequence[str]) -> list[str]:
    """Words of the prompt that occur nowhere in the story so far."""
    said = {re.sub(r"'s?$", "", word) for word in _words(" ".join(expected))}
    plain = [re.sub(r"'(s|re|d|ll|ve)?$", "", word) for word in _words(prompt)]
    return [word for word in plain if word not in GLUE and not any(_stems(word, expected) for expected in said)]


def _stems(word: str, expected: str) -> bool:
    """ "snow" from "snowing", "foxes" from "fox": another form of a word that was said."""
    return (
        word == expected
        or (len(word) > 3 and expected.startswith(word))
        or (len(expected) > 2 and word in {expected + "s", expected + "es"})
    )


def _unsaid_look(prompt: str, slots: dict[str, list[str]], expected: Sequence[str]) -> list[str]:
    """Adjectives right before the species that the story does not put there and no slot expects."""
    text = " ".join(_words(" ".join(expected)))
    looks = {word for phrase in slots.get("look", []) for word in re.split(r"[\s|]+", phrase)}
    kinds = {choice.split()[-1] for kind in slots.get("species", []) for choice in kind.split("|")}
    species = {word for kind in slots.get("species", []) for word in re.split(r"[\s|]+", kind)}
    names = {word for name in slots.get("name", []) for word in _words(name)}
    found = []
    for sentence in re.split(r"[.!?]", prompt):
        words = _words(sentence)
        for before, word in pairwise(words):
            if (
                word in kinds
                and before not in GLUE | NUMBERS | looks | species | names
                and f"{before} {word}" not in text
            ):
                found.append(f"{before} {word}")
    return found


@dataclass(frozen=True)
class Total:
    """Shares of slots found and of frames without an invention, of all frames or of one kind's."""

    found: int
    slots: int
    clean: int
    frames: int

    def __str__(self) -> str:
        return f"{self.found} of {self.slots} slots, {self.clean} of {self.frames} frames without an invention"


def total(scored: Sequence[Scored]) -> Total:
    """The sums over ``scored``."""
    found = sum(len(frame.right) for frame in scored)
    slots = found + sum(len(frame.wrong) for frame in scored)
    return Total(found, slots, sum(not frame.invented for frame in scored), len(scored))


def report(scored: Sequence[Scored]) -> str:
    """Totals by kind of opening, then each frame that is not right."""
    kinds = sorted({frame.opening.kind for frame in scored})
    lines = [f"{kind}: {total([frame for frame in scored if frame.opening.kind == kind])}" for kind in kinds]
    for frame in scored:
        if frame.wrong or frame.invented:
            story = " / ".join(frame.opening.story[: frame.frame])
            lines += [story, f"  => {frame.prompt}", f"  missing {frame.wrong}, invented {frame.invented}"]
    return "\n".join(lines)
