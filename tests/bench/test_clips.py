"""Moving clips: the same each time, one look throughout, smooth, and begun by an ordinary picture of a story."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.bench.storyworld.draw.moving import move_pose
from acdc.bench.storyworld.draw.owl import OWL_POSES
from acdc.bench.storyworld.draw.poses import POSES, Figure
from acdc.bench.storyworld.draw.scene import render
from acdc.bench.storyworld.judge.judge import load
from acdc.bench.storyworld.study.temporal import describe, movement, right_frames, smoother, temporal_jump
from acdc.bench.storyworld.study.video import truth_of
from acdc.bench.storyworld.train.video_data import draw_clip
from acdc.bench.storyworld.world.clips import CLOUDY, ClipSample, sample_clip
from acdc.bench.storyworld.world.kinds import ACTIONS, Individual, Scene
from acdc.bench.storyworld.world.motion import MOTIONS, STILL, TRAVEL, Motion

pytestmark = pytest.mark.training

FIGURE = Figure(14, 27, 9, 12, 3.3)


def changes(pictures: np.ndarray) -> np.ndarray:
    """Mean absolute change in levels from each picture to the next."""
    return np.abs(np.diff(pictures.astype(np.float32), axis=0)).mean(axis=(1, 2, 3))


@settings(deadline=None, max_examples=12)
@given(
    seed=st.integers(0, 10_000), split=st.sampled_from(("train", "heldout")), frames=st.integers(1, 32),
    edition=st.sampled_from((1, 2)),
)  # fmt: skip
def test_a_clip_is_a_function_of_its_seed_and_a_short_one_begins_a_long_one(
    seed: int, split: str, frames: int, edition: int
) -> None:
    clip, whole = (sample_clip(seed, split, length, edition=edition) for length in (frames, 32))
    assert clip == sample_clip(seed, split, frames, edition=edition)
    assert {scene.edition for scene in whole.scenes} == {edition}
    assert clip.sentence == whole.sentence
    assert clip.moments == whole.moments[:frames]


@pytest.mark.parametrize("action", ACTIONS)
def test_the_first_picture_is_a_storys(action: str) -> None:
    """At step 0 nothing has moved: the very pixels of the still scene."""
    assert MOTIONS[action](0.0) == STILL
    for seed in range(6):
        clip = sample_clip(seed, action=action)
        assert clip.scenes[0].action == action
        assert render(clip.scenes[0], 48, clip.motions[0]).tobytes() == render(clip.scenes[0], 48).tobytes()


@pytest.mark.parametrize("action", ACTIONS)
def test_motion_is_seen_and_smooth(action: str) -> None:
    """Every few pictures something moves, and never half as much as between clips; far less for a quiet animal."""
    clips = [draw_clip(sample_clip(seed, action=action), 48) for seed in (1, 2, 3)]
    apart = np.abs(clips[0].astype(np.float32) - clips[1]).mean()
    for pictures in clips:
        steps = changes(pictures)
        assert steps.max() < 0.5 * apart
        assert steps.reshape(-1).mean() > 0.2
        assert (steps[:30].reshape(10, 3).max(axis=1) > 0.05).all()


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_who_and_where_stay(seed: int) -> None:
    clip = sample_clip(seed, "heldout")
    fixed = {dataclasses.replace(scene, x=0.5) for scene in clip.scenes}
    assert len(fixed) == 1
    assert all(0 <= scene.x <= 1 for scene in clip.scenes)
    if clip.scenes[0].setting not in CLOUDY:
        assert {motion.wind for motion in clip.motions} == {0.0}


def test_a_runner_goes_where_it_looks() -> None:
    for seed in range(6):
        clip = sample_clip(seed, action="run")
        way = np.diff([scene.x for scene in clip.scenes]) * clip.scenes[0].facing
        assert (way > 0).all()
        assert way.sum() == pytest.approx(TRAVEL["run"], abs=1e-3)


def test_clouds_drift_and_the_ground_stays() -> None:
    scene = Scene(Individual("fox", 0), "garden", "day", 4, "sit")
    still, blown = (np.asarray(render(scene, 64, Motion(wind=wind)), np.int16) for wind in (0.0, 8.0))
    assert (still[:24] != blown[:24]).any()
    np.testing.assert_array_equal(still[26:], blown[26:])


@pytest.mark.parametrize("action", ACTIONS)
def test_a_still_moment_changes_no_pose(action: str) -> None:
    pose, moved = POSES[action](FIGURE), move_pose(POSES[action](FIGURE), STILL)
    for name in ("near", "far", "head", "tail_angle", "tilt", "lift", "turned", "asleep", "mouth"):
        assert getattr(pose, name) == getattr(moved, name)
    assert OWL_POSES[action].at(STILL) == OWL_POSES[action]


def test_splits_share_no_clip() -> None:
    def layouts(split: str) -> set[int]:
        return {sample_clip(seed, split).scenes[0].layout % 2 for seed in range(8)}

    assert layouts("train") == {0}
    assert layouts("heldout") == {1}


def test_actions_come_evenly() -> None:
    drawn = [sample_clip(seed, frames=1).scenes[0].action for seed in range(160)]
    assert min(drawn.count(action) for action in ACTIONS) >= 8


@pytest.mark.parametrize(
    ("given_", "needle"),
    [
        ({"split": "test"}, "heldout"),
        ({"frames": 0}, "frames >= 1"),
        ({"seed": -1}, "seed >= 0"),
        ({"action": "fly"}, "sniff"),
        ({"edition": 3}, "choose one of 1, 2"),
    ],
)
def test_bad_arguments_are_named(given_: dict[str, object], needle: str) -> None:
    with pytest.raises(ValueError, match=needle) as error:
        sample_clip(**{"seed": 0, **given_})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_moments_pair_scenes_with_motions() -> None:
    clip: ClipSample = sample_clip(3, frames=5)
    assert [scene for scene, _ in clip.moments] == list(clip.scenes)
    assert draw_clip(clip, 16).shape == (5, 16, 16, 3)


# -- measures of clips ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def true_clips() -> tuple[list[ClipSample], np.ndarray]:
    samples = [sample_clip(seed, "heldout", 10) for seed in range(5)]
    return samples, np.stack([draw_clip(sample, 64) for sample in samples])


def test_a_smooth_clip_comes_before_a_noised_and_a_shuffled_one(true_clips: tuple) -> None:
    """Clip by clip: the true order is smoother than any other, with noise or without; a frozen clip has no path."""
    judge, (_, clips), rng = load(), true_clips, np.random.default_rng(0)

    def jump(changed: np.ndarray) -> np.ndarray:
        features = judge.features(changed.reshape(-1, *changed.shape[2:])).numpy()
        return temporal_jump(features.reshape(*changed.shape[:2], -1))

    noised = (clips + rng.normal(0, 12, clips.shape)).clip(0, 255).astype(np.uint8)
    order = np.array([0, 5, 2, 8, 1, 6, 9, 3, 7, 4])
    assert (jump(clips) < jump(noised)).all()
    assert (jump(clips) < 0.95 * jump(clips[:, order])).all()
    assert (jump(np.repeat(clips[:, :1], 10, axis=1)) < 1e-4).all()
    found = smoother(judge, clips, clips[:, order])
    assert found.low > 0
    assert found.mean == pytest.approx(float((jump(clips[:, order]) - jump(clips)).mean()))


def test_true_clips_are_right_and_a_swapped_frame_is_counted(true_clips: tuple) -> None:
    judge, (samples, clips) = load(), true_clips
    found = describe(judge, clips, truth_of(samples))
    assert found["through"].mean == found["last"].mean == found["right"].mean == 1.0
    broken = clips.copy()
    other = next(k for k, s in enumerate(samples) if s.scenes[0].setting != samples[0].scenes[0].setting)
    broken[0, 4] = clips[other, 4]
    found = describe(judge, broken, truth_of(samples))
    assert found["by_frame"] == pytest.approx([1.0] * 4 + [0.8] + [1.0] * 5)
    assert found["through"].mean == pytest.approx(0.8)
    assert found["last"].mean == 1.0
    assert found["right"].mean == pytest.approx(0.98)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.integers(2, 6), st.integers(1, 5), st.floats(0.1, 10))
def test_a_jump_is_the_mean_step(clips: int, frames: int, size: int, step: float) -> None:
    """A straight walk by ``step`` along one feature, there and back or not, has steps of just that length."""
    walk = np.zeros((clips, frames, size))
    walk[:, :, 0] = step * np.arange(frames)
    np.testing.assert_allclose(temporal_jump(walk), step)
    walk[:, :, 0] = step * (np.arange(frames) % 2)
    np.testing.assert_allclose(temporal_jump(walk), step)


def test_movement_is_in_levels() -> None:
    clips = np.zeros((2, 3, 4, 4, 3), np.uint8)
    clips[1, 1] = 255
    np.testing.assert_allclose(movement(clips), [0, 255])


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="F >= 2"):
        temporal_jump(np.zeros((2, 1, 4)))
    with pytest.raises(ValueError, match="F >= 2"):
        movement(np.zeros((2, 1, 4, 4, 3)))
    with pytest.raises(ValueError, match="one class for each of 2"):
        right_frames(load(), np.zeros((2, 1, 64, 64, 3), np.uint8), {"animal": [0], "setting": [0, 1]})
