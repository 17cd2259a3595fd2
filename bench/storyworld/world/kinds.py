"""Plain data of the storyworld: who is where, doing what, next to which thing.

No drawing and no torch here: the grammar, the renderer and the judge all share these names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

ANIMALS = ("beagle", "corgi", "golden retriever", "fox", "rabbit", "owl", "cat", "bear")
SETTINGS = ("garden", "meadow", "forest", "lake", "snow", "park", "beach", "desert")
ACTIONS = ("sit", "run", "jump", "sleep", "sniff", "look up", "spin", "bark")
PROPS = ("none", "ball", "butterfly", "kite", "balloon", "apple", "basket", "flower", "log")
TIMES = ("day", "night")
EDITIONS = (1, 2)  # of the world: the shipped weights learned the first; individuals of the second bear markings
TRUNK_MARKS = ("plain", "spots", "saddle")
FACE_MARKS = ("plain", "patch")
# Half width of the random build factors (size, leg, ear, body) and of the tint, by edition.
BUILD_SPREAD = {1: (0.06, 0.10, 0.10, 0.07), 2: (0.08, 0.20, 0.22, 0.13)}
TINT_SPREAD = {1: 0.035, 2: 0.05}

# Coats are shared between animals on purpose: a judge that sees colours could otherwise accept a recoloured
# animal of another species as the right one. `Individual.coat` indexes the animal's own row.
COATS: dict[str, tuple[str, ...]] = {
    "beagle": ("chestnut", "gold", "grey", "charcoal"),
    "corgi": ("orange", "chestnut", "gold", "charcoal"),
    "golden retriever": ("gold", "cream", "chestnut", "orange"),
    "fox": ("orange", "brown", "grey", "white"),
    "rabbit": ("white", "grey", "brown", "cream"),
    "owl": ("brown", "grey", "white", "chestnut"),
    "cat": ("orange", "grey", "white", "charcoal"),
    "bear": ("brown", "charcoal", "white", "gold"),
}


@dataclass(frozen=True)
class Individual:
    """One animal that stays itself through a story.

    Args:
        animal: one of `ANIMALS`.
        coat: index into `COATS[animal]`.
        build: (size, leg, ear, body) scale factors around 1.
        tint: colour jitter added to the coat, one shift a channel as a fraction of full scale (about +-0.05).
        trunk, face: markings from `TRUNK_MARKS` and `FACE_MARKS`; no sentence of the world names them.
    """

    animal: str
    coat: int
    build: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    tint: tuple[float, float, float] = (0.0, 0.0, 0.0)
    trunk: str = "plain"
    face: str = "plain"


@dataclass(frozen=True)
class Scene:
    """One picture. `layout` seeds the background's arrangement and stays the same within a story.

    Args:
        who: the individual shown.
        setting, time, action, prop: names from the tables above.
        layout: any non-negative integer.
        facing: +1 looks right, -1 looks left.
        x: place of the animal from 0 (left) to 1 (right).
        edition: of the world; the second has stronger contours and larger eyes.
    """

    who: Individual
    setting: str
    time: str
    layout: int
    action: str
    prop: str = "none"
    facing: int = 1
    x: float = 0.5
    edition: int = 1


def sample_individual(rng: np.random.Generator, animal: str | None = None, edition: int = 1) -> Individual:
    """Draw an individual of an edition of the world; `animal` fixes the species.

    Raises:
        ValueError: `animal` is none of `ANIMALS`, or an unknown edition.
    """
    check_edition(edition)
    if animal is None:
        animal = ANIMALS[int(rng.integers(len(ANIMALS)))]
    check("animal", animal, ANIMALS)
    coat = int(rng.integers(len(COATS[animal])))
    size, leg, ear, body = (float(v) for v in np.round(rng.uniform(-1, 1, 4) * BUILD_SPREAD[edition] + 1, 4))
    spread = TINT_SPREAD[edition]
    red, green, blue = (float(v) for v in np.round(rng.uniform(-spread, spread, 3), 4))
    who = Individual(animal, coat, (size, leg, ear, body), (red, green, blue))
    if edition == 1:
        return who
    trunk, face = (marks[int(rng.integers(len(marks)))] for marks in (TRUNK_MARKS, FACE_MARKS))
    return replace(who, trunk=trunk, face=face)


def check_edition(edition: int) -> None:
    """Raise a one-line ValueError for an unknown edition."""
    if edition not in EDITIONS:
        raise ValueError(f"unknown edition {edition}; choose one of {', '.join(map(str, EDITIONS))}")


def check(what: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise a one-line ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r}; choose one of {', '.join(choices)}")


def check_scene(scene: Scene) -> None:
    """Raise a one-line ValueError for a scene that cannot be drawn."""
    check("animal", scene.who.animal, ANIMALS)
    check("setting", scene.setting, SETTINGS)
    check("time", scene.time, TIMES)
    check("action", scene.action, ACTIONS)
    check("prop", scene.prop, PROPS)
    check("trunk marking", scene.who.trunk, TRUNK_MARKS)
    check("face marking", scene.who.face, FACE_MARKS)
    check_edition(scene.edition)
    coats = len(COATS[scene.who.animal])
    if not 0 <= scene.who.coat < coats:
        raise ValueError(f"coat must be 0 to {coats - 1} for a {scene.who.animal}, got {scene.who.coat}")
    if scene.facing not in (-1, 1):
        raise ValueError(f"facing must be +1 (right) or -1 (left), got {scene.facing}")
    if not 0.0 <= scene.x <= 1.0:
        raise ValueError(f"x must be between 0 and 1, got {scene.x}")
    if scene.layout < 0:
        raise ValueError(f"layout must be a non-negative integer, got {scene.layout}")
