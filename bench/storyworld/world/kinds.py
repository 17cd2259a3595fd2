"""Plain data of the storyworld: who is where, doing what, beside which thing.

No drawing and no torch here: the grammar, the renderer and the judge all share these names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ANIMALS = ("beagle", "corgi", "golden retriever", "fox", "rabbit", "owl", "cat", "bear")
SETTINGS = ("garden", "meadow", "forest", "lake", "snow", "park", "beach", "desert")
ACTIONS = ("sit", "run", "jump", "sleep", "sniff", "look up", "spin", "bark")
PROPS = ("none", "ball", "butterfly", "kite", "balloon", "apple", "basket", "flower", "log")
TIMES = ("day", "night")

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
        tint: colour jitter added to the coat, one shift a channel as a fraction of full scale (about +-0.04).
    """

    animal: str
    coat: int
    build: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    tint: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """One picture. `layout` seeds the background's arrangement and stays the same within a story.

    Args:
        who: the individual shown.
        setting, time, action, prop: names from the tables above.
        layout: any non-negative integer.
        facing: +1 looks right, -1 looks left.
        x: place of the animal from 0 (left) to 1 (right).
    """

    who: Individual
    setting: str
    time: str
    layout: int
    action: str
    prop: str = "none"
    facing: int = 1
    x: float = 0.5


def sample_individual(rng: np.random.Generator, animal: str | None = None) -> Individual:
    """Draw an individual; `animal` fixes the species.

    Raises:
        ValueError: `animal` is none of `ANIMALS`.
    """
    if animal is None:
        animal = ANIMALS[int(rng.integers(len(ANIMALS)))]
    check("animal", animal, ANIMALS)
    coat = int(rng.integers(len(COATS[animal])))
    size, leg, ear, body = (float(v) for v in np.round(rng.uniform(-1, 1, 4) * (0.06, 0.10, 0.10, 0.07) + 1, 4))
    red, green, blue = (float(v) for v in np.round(rng.uniform(-0.035, 0.035, 3), 4))
    return Individual(animal, coat, (size, leg, ear, body), (red, green, blue))


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
    coats = len(COATS[scene.who.animal])
    if not 0 <= scene.who.coat < coats:
        raise ValueError(f"coat must be 0 to {coats - 1} for a {scene.who.animal}, got {scene.who.coat}")
    if scene.facing not in (-1, 1):
        raise ValueError(f"facing must be +1 (right) or -1 (left), got {scene.facing}")
    if not 0.0 <= scene.x <= 1.0:
        raise ValueError(f"x must be between 0 and 1, got {scene.x}")
    if scene.layout < 0:
        raise ValueError(f"layout must be a non-negative integer, got {scene.layout}")
