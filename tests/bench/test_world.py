import dataclasses
import time as clock
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.bench.storyworld.draw.coats import PALETTES
from acdc.bench.storyworld.draw.props import IN_THE_AIR, PROP_INKS
from acdc.bench.storyworld.draw.scene import render
from acdc.bench.storyworld.world.kinds import (
    ACTIONS,
    ANIMALS,
    COATS,
    EDITIONS,
    FACE_MARKS,
    PROPS,
    SETTINGS,
    TIMES,
    TRUNK_MARKS,
    Individual,
    Scene,
    sample_individual,
)

pytestmark = pytest.mark.measuring

PLAIN = Scene(Individual("fox", 0), "meadow", "day", 4, "sit")


def pixels(scene: Scene, size: int = 48) -> np.ndarray:
    return np.asarray(render(scene, size), dtype=np.int16)


scenes = st.builds(
    lambda seed, edition, **names: Scene(
        sample_individual(np.random.default_rng(seed), edition=edition), **names, edition=edition
    ),
    seed=st.integers(0, 10_000),
    edition=st.sampled_from(EDITIONS),
    setting=st.sampled_from(SETTINGS),
    time=st.sampled_from(TIMES),
    layout=st.integers(0, 2**40),
    action=st.sampled_from(ACTIONS),
    prop=st.sampled_from(PROPS),
    facing=st.sampled_from((-1, 1)),
    x=st.floats(0, 1),
)


@settings(deadline=None, max_examples=40)
@given(scene=scenes, size=st.sampled_from((16, 37, 64)))
def test_same_scene_same_picture(scene: Scene, size: int) -> None:
    first, second = render(scene, size), render(scene, size)
    assert first.mode == "RGB"
    assert first.size == (size, size)
    assert first.tobytes() == second.tobytes()


@settings(deadline=None, max_examples=25)
@given(scene=scenes)
def test_mirrored_facing_differs(scene: Scene) -> None:
    assert np.any(pixels(scene) != pixels(dataclasses.replace(scene, facing=-scene.facing)))


@pytest.mark.parametrize("animal", ANIMALS)
def test_every_animal_does_everything(animal: str) -> None:
    """Actions, coats and times all render, and no two actions of an animal look the same."""
    for coat in range(len(COATS[animal])):
        for time in TIMES:
            who = Individual(animal, coat)
            seen = {pixels(Scene(who, "park", time, 1, action)).tobytes() for action in ACTIONS}
            assert len(seen) == len(ACTIONS)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("time", TIMES)
def test_every_place_holds_every_prop(setting: str, time: str) -> None:
    scene = dataclasses.replace(PLAIN, setting=setting, time=time)
    assert len({pixels(dataclasses.replace(scene, prop=prop)).tobytes() for prop in PROPS}) == len(PROPS)


def test_settings_and_layouts_differ() -> None:
    pictures = {pixels(dataclasses.replace(PLAIN, setting=s, layout=n)).tobytes() for s in SETTINGS for n in range(5)}
    assert len(pictures) == 5 * len(SETTINGS)


def test_animals_differ_without_colour() -> None:
    """All species in one coat still differ in grayscale, and by more than a trace."""
    shared = [(a, COATS[a].index("orange")) for a in ANIMALS if "orange" in COATS[a]]
    shared = [Individual(a, c) for a, c in shared]
    gray = [np.asarray(render(Scene(w, "snow", "day", 2, "sit"), 64).convert("L"), dtype=np.int16) for w in shared]
    for i, a in enumerate(gray):
        for b in gray[i + 1 :]:
            assert np.abs(a - b).mean() > 1.5


def test_story_keeps_its_background() -> None:
    """The sky corners of a story's frames agree whatever the animal does."""
    frames = [pixels(dataclasses.replace(PLAIN, action=action), 64) for action in ACTIONS]
    for frame in frames[1:]:
        np.testing.assert_array_equal(frame[:5], frames[0][:5])


def test_rendering_leaves_the_shared_background_alone() -> None:
    before = pixels(PLAIN)
    render(dataclasses.replace(PLAIN, action="spin", prop="kite"), 48)
    np.testing.assert_array_equal(pixels(PLAIN), before)


@pytest.mark.parametrize("animal", ANIMALS)
def test_animal_is_large_and_seen_at_night(animal: str) -> None:
    """The animal is visible against the empty night and covers a good part of the picture."""
    for coat in range(len(COATS[animal])):
        one = Scene(Individual(animal, coat), "forest", "night", 3, "sit")
        other = dataclasses.replace(one, x=1.0, facing=1)
        moved = np.abs(pixels(one, 64) - pixels(other, 64)).max(axis=-1) > 24
        assert moved.any(axis=1).sum() >= 0.45 * 64


@pytest.mark.parametrize("prop", PROPS[1:])
def test_props_are_large_enough_for_the_tokenizer(prop: str) -> None:
    other = "ball" if prop in IN_THE_AIR else "kite"
    pair = [pixels(dataclasses.replace(PLAIN, prop=p, x=0.0), 128) for p in (prop, other)]
    changed = np.abs(pair[0] - pair[1]).max(axis=-1) > 20
    changed = changed[:76] if prop in IN_THE_AIR else changed[76:]
    assert changed.any(axis=1).sum() >= 14
    assert changed.any(axis=0).sum() >= 14


def test_tables_agree() -> None:
    assert set(COATS) == set(ANIMALS)
    assert all(len(row) >= 3 and set(row) <= set(PALETTES) for row in COATS.values())
    wearers = {coat: [a for a in ANIMALS if coat in COATS[a]] for coat in PALETTES}
    assert all(len(animals) >= 2 for animals in wearers.values()), "a coat of one species would give it away"
    assert set(PROP_INKS) == set(PROPS) - {"none"}
    assert set(IN_THE_AIR) <= set(PROPS)


def test_individuals_vary_and_keep_their_species() -> None:
    rng = np.random.default_rng(0)
    drawn = [sample_individual(rng, "owl") for _ in range(20)]
    assert {d.animal for d in drawn} == {"owl"}
    assert len(set(drawn)) == 20
    assert sample_individual(np.random.default_rng(5)) == sample_individual(np.random.default_rng(5))


@pytest.mark.parametrize("animal", ANIMALS)
def test_markings_are_seen_in_every_pose_and_differ(animal: str) -> None:
    """Each marking changes at least a few pixels well, whatever the animal does, by day and by night."""
    for coat in range(len(COATS[animal])):
        plain = Scene(Individual(animal, coat), "meadow", "day", 2, "sit", edition=2)
        for action in ACTIONS:
            scene = dataclasses.replace(plain, action=action, time=TIMES[coat % 2])
            marks = [(trunk, "plain") for trunk in TRUNK_MARKS] + [("plain", face) for face in FACE_MARKS[1:]]
            seen = [
                pixels(dataclasses.replace(scene, who=Individual(animal, coat, trunk=trunk, face=face)), 64)
                for trunk, face in marks
            ]
            for i, first in enumerate(seen):
                for second in seen[i + 1 :]:
                    assert (np.abs(first - second).max(-1) > 20).sum() >= 4, (action, marks[i])


def test_markings_of_the_second_edition_are_even_and_of_the_first_none() -> None:
    drawn = {e: [sample_individual(np.random.default_rng(seed), edition=e) for seed in range(600)] for e in EDITIONS}
    assert {(who.trunk, who.face) for who in drawn[1]} == {("plain", "plain")}
    for marks, name in ((TRUNK_MARKS, "trunk"), (FACE_MARKS, "face")):
        shares = [np.mean([getattr(who, name) == mark for who in drawn[2]]) for mark in marks]
        np.testing.assert_allclose(shares, 1 / len(marks), atol=0.07)


def test_editions_draw_the_same_scene_differently() -> None:
    assert np.any(pixels(PLAIN) != pixels(dataclasses.replace(PLAIN, edition=2)))


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        ({"setting": "moon"}, "garden"),
        ({"time": "noon"}, "night"),
        ({"action": "fly"}, "sniff"),
        ({"prop": "car"}, "kite"),
        ({"facing": 0}, "facing"),
        ({"x": 1.5}, "x must"),
        ({"layout": -1}, "layout"),
        ({"who": Individual("dragon", 0)}, "beagle"),
        ({"who": Individual("fox", 9)}, "coat"),
        ({"who": Individual("fox", 0, trunk="stars")}, "saddle"),
        ({"who": Individual("fox", 0, face="scar")}, "patch"),
        ({"edition": 3}, "edition"),
    ],
)
def test_bad_scene_is_named(change: dict[str, Any], needle: str) -> None:
    with pytest.raises(ValueError, match=needle) as error:
        render(dataclasses.replace(PLAIN, **change))
    assert "\n" not in str(error.value)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        render(PLAIN, 8)
    with pytest.raises(ValueError, match="choose one of"):
        sample_individual(np.random.default_rng(0), "dragon")


def test_a_frame_takes_milliseconds() -> None:
    render(PLAIN)
    start = clock.process_time()
    for action in ACTIONS:
        render(dataclasses.replace(PLAIN, action=action))
    assert (clock.process_time() - start) / len(ACTIONS) < 0.06
