"""Samples clips of the storyworld: one sentence, and the moments of one moving scene.

frame    0       1       2      ...    31
scene    x .05   x .08   x .11         x 1.0     a fox that runs to the right
motion   0       .07     .25           .07       its stride; clouds drift besides
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .grammar import SPLITS, StorySample, sample_story
from .kinds import ACTIONS, Scene
from .motion import MOTIONS, TRAVEL, Motion
from .things import FLYING

FRAMES = 32
PERIODS = (8, 10, 12)  # frames from one wag to the next
WIND = 0.3  # percent of the picture a frame, at most
CLOUDY = ("garden", "meadow", "lake", "beach")
SEEDS_A_CLIP = 1 << 12  # stories looked through for a first frame that suits


@dataclass(frozen=True)
class ClipSample:
    """A clip: one sentence, and for every frame the scene and the moment of its motion."""

    sentence: str
    scenes: tuple[Scene, ...]
    motions: tuple[Motion, ...]
    name: str

    @property
    def moments(self) -> list[tuple[Scene, Motion]]:
        """Inputs of `render`, frame by frame."""
        return list(zip(self.scenes, self.motions, strict=True))


def sample_clip(
    seed: int, split: str = "train", frames: int = FRAMES, action: str | None = None, edition: int = 1
) -> ClipSample:
    """Clip number ``seed`` of ``split``: equal arguments give equal clips, shorter ones are beginnings of longer ones.

    Its sentence and its first frame are those of a one-frame story, but that an animal which walks begins as far back
    as its way is long; ``action`` is drawn evenly where None; ``edition`` is the world's.

    Raises:
        ValueError: an unknown split, action or edition, fewer than 1 frame or a negative seed.
    """
    if split not in SPLITS or frames < 1 or seed < 0:
        known = ", ".join(SPLITS)
        raise ValueError(f"need a split of {known}, frames >= 1 and a seed >= 0; got {split!r}, {frames} and {seed}")
    if action is not None and action not in ACTIONS:
        raise ValueError(f"unknown action {action!r}; choose one of {', '.join(ACTIONS)}")
    rng = np.random.default_rng([SPLITS.index(split), seed, FRAMES])
    drawn = ACTIONS[int(rng.integers(len(ACTIONS)))]
    story = _first_frame(seed, split, action or drawn, edition)
    scene = story.scenes[0]
    wind = float(rng.uniform(-WIND, WIND)) if scene.setting in CLOUDY else 0.0
    tempo, strength = PERIODS[int(rng.integers(len(PERIODS)))], float(rng.uniform(0.8, 1.2))
    blinks = {int(blink) + k for blink in rng.integers(3, FRAMES, 2) for k in (0, 1)}
    motions = tuple(_moment(scene.action, k, tempo, strength, wind, k in blinks) for k in range(frames))
    return ClipSample(story.sentences[0], _walk(scene, frames), motions, story.name)


def _first_frame(seed: int, split: str, action: str, edition: int) -> StorySample:
    """The first one-frame story of this clip's seeds that shows ``action``, its thing in view standing still."""
    for attempt in range(SEEDS_A_CLIP):
        story = sample_story(seed * SEEDS_A_CLIP + attempt, split, 1, edition)
        scene = story.scenes[0]
        carried = action in TRAVEL and scene.prop not in FLYING | {"none"}  # it would slide along
        if scene.action == action and not carried:
            return story
    raise AssertionError(f"no story begins with {action!r}")


def _walk(scene: Scene, frames: int) -> tuple[Scene, ...]:
    """The scene's places: the animal goes where it looks, from as far back as it must to stay in the picture."""
    way = TRAVEL.get(scene.action, 0.0)
    if not way:
        return (scene,) * frames
    first = min(scene.x, 1 - way) if scene.facing > 0 else max(scene.x, way)
    steps = (min(k, FRAMES - 1) / (FRAMES - 1) for k in range(frames))
    return tuple(replace(scene, x=round(first + scene.facing * way * step, 4)) for step in steps)


def _moment(action: str, k: int, tempo: int, strength: float, wind: float, blink: bool) -> Motion:
    full = MOTIONS[action](2 * np.pi * k / tempo)
    scaled = {name: strength * getattr(full, name) for name in ("wag", "nod", "drift")}
    return replace(full, **scaled, blink=blink, wind=round(wind * k, 4))
