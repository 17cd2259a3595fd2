"""The pictures that constrain frames: what they may be, which frame each is for, and what is recorded of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from acdc.engine.constraints import HALF, NONE, Constraints
from acdc.engine.options import make_options
from acdc.engine.sdedit.region import cut
from acdc.engine.storage.stories_file import read_requests

WHITE = np.full((4, 6), 255, np.uint8)
HALVES = np.concatenate([WHITE, 0 * WHITE], 1)
DEPTH = np.stack([HALVES] * 3, -1)


def test_a_frames_own_picture_comes_before_that_of_every_frame():
    found = Constraints(mask=WHITE, masks={2: HALVES}, depths={3: DEPTH}, canvases={2: DEPTH})
    assert found
    assert np.array_equal(found.of(0).mask, WHITE)
    assert np.array_equal(found.of(1).mask, HALVES)
    assert np.array_equal(found.of(1).canvas, DEPTH)
    assert (found.of(0).depth, found.of(0).canvas) == (None, None)
    assert np.array_equal(found.of(2).depth, DEPTH)
    assert not NONE
    assert NONE.of(7) == (None, None, None)


@pytest.mark.parametrize(
    "picture",
    [
        HALVES,
        HALVES > 0,
        Image.fromarray(HALVES),
        Image.fromarray(HALVES).convert("RGB"),
        Image.fromarray(HALVES).convert("1"),
        Image.fromarray(HALVES).convert("P"),
        Image.fromarray(HALVES.astype(np.uint16) * 257),
    ],
)
def test_masks_of_any_mode(picture, tmp_path):
    assert np.array_equal(Constraints(mask=picture).mask, HALVES)
    if isinstance(picture, Image.Image):
        picture.save(tmp_path / "m.png")
        assert np.array_equal(Constraints(mask=tmp_path / "m.png").mask, HALVES)


def test_transparent_parts_of_a_mask_are_black():
    painted = Image.new("RGBA", (4, 4), (255, 255, 255, 0))
    painted.putpixel((1, 2), (255, 255, 255, 255))
    mask = Constraints(mask=painted).mask
    assert (mask[2, 1], mask.sum()) == (255, 255)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mask": 0 * WHITE}, "mask of every frame is black, so that nothing may change"),
        ({"masks": {2: WHITE // 255 * (HALF - 1)}}, "mask of frame 2 is black"),
        ({"masks": {0: WHITE}}, "mask of frame 0: frames count from 1"),
        ({"depths": {"2": DEPTH}}, "depth of frame '2': frames count from 1"),
        ({"mask": "nowhere.png"}, "mask of every frame 'nowhere.png' does not exist; give a PNG or JPEG file"),
        ({"depths": {3: __file__}}, "is not a readable picture; give a PNG or JPEG file"),
        ({"masks": {1: "."}}, "mask of frame 1 '.' is a directory"),
        ({"mask": 3}, "mask of every frame is a int; give a PIL image, a uint8 array or a file's name"),
        ({"mask": WHITE / 255}, "mask of every frame is an array of float64 4x6; give uint8 HxW or HxWx3"),
        ({"depth": WHITE[0]}, "depth of every frame is an array of uint8 6"),
    ],
)
def test_unfit_pictures_are_one_line(given, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - every line is compared
        Constraints(**given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        ({"masks": {4: WHITE}}, {}, "mask of frame 4: the story has frames 1 to 3"),
        ({"masks": {2: WHITE}}, {"correct_first": 1}, "mask of frame 2, which these options do not correct"),
        ({"mask": WHITE}, {"correction": False}, "these options correct no frame"),
    ],
)
def test_frames_that_cannot_be_constrained(given, options, words):
    with pytest.raises(ValueError, match=words):
        Constraints(**given).check(3, make_options(**options))


def test_what_is_recorded_changes_with_every_picture_and_option():
    def record(options=None, **given):
        return Constraints(**given).recorded(3, make_options(**options or {}))

    plain = record(masks={2: HALVES})
    assert list(plain) == ["2"]
    assert ("strength" in plain["2"], plain["2"]["paste_back"]) == (False, True)
    assert record(mask=HALVES).keys() == {"1", "2", "3"}
    assert record(mask=HALVES)["2"] == plain["2"]
    assert record(mask=HALVES, options={"correct_first": 1}).keys() == {"1"}
    others = [
        record(masks={2: WHITE}),
        record(masks={2: HALVES.T.copy()}),
        record(masks={2: HALVES}, depths={2: DEPTH}),
        record(masks={2: HALVES}, canvases={2: DEPTH}),
        record(masks={2: HALVES}, options={"mask_strength": 0.7}),
        record(masks={2: HALVES}, options={"paste_back": False}),
        record(masks={1: HALVES}),
        record(),
    ]
    assert all(other != plain for other in others)


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))), st.tuples(st.integers(1, 12), st.integers(1, 12))
)
def test_a_mask_cut_at_any_size(mask, size):
    found = cut(mask, size)
    assert (found.shape, found.dtype) == (size, np.bool_)
    assert np.array_equal(cut(mask, mask.shape), mask >= HALF)
    if (mask >= HALF).all() or not (mask >= HALF).any():
        assert cut(np.full_like(mask, 255 * (mask >= HALF)[0, 0]), size).all() == (mask >= HALF)[0, 0]


def test_pictures_in_a_stories_file(tmp_path):
    Image.fromarray(HALVES).save(tmp_path / "m.png")
    Image.fromarray(DEPTH).save(tmp_path / "d.png")
    lines = [
        '{"sentences": ["A fox sat.", "It ran."], "mask": {"2": "m.png"}, "depth": "d.png"}',
        '{"sentences": ["A fox sat."]}',
    ]
    (tmp_path / "s.jsonl").write_text("\n".join(lines), encoding="utf-8")
    first, second = read_requests(tmp_path / "s.jsonl", 0)
    assert first.constraints.of(0).mask is None
    assert np.array_equal(first.constraints.of(1).mask, HALVES)
    assert np.array_equal(first.constraints.of(0).depth, DEPTH)
    assert not second.constraints


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ('"mask": "none.png"', "none.png' does not exist"),
        ('"mask": {"two": "m.png"}', "'mask' is {'two': 'm.png'}; give a picture's file"),
        ('"depth": 3', "'depth' is 3; give a picture's file"),
        ('"masks": {"2": "m.png"}', "key 'masks' is unknown; did you mean 'mask'?"),
    ],
)
def test_wrong_pictures_in_a_stories_file(tmp_path, entry, words):
    (tmp_path / "s.jsonl").write_text(f'{{"sentences": ["A fox sat."], {entry}}}', encoding="utf-8")
    with pytest.raises(ValueError, match="line 1") as caught:
        read_requests(tmp_path / "s.jsonl", 0)
    assert words in str(caught.value)


def test_constraints_are_equal_by_their_pictures():
    white = np.full((8, 8), 255, np.uint8)
    one, other = (Constraints(masks={2: white.copy()}) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert Constraints() == Constraints()
    assert one != Constraints()
    assert one != Constraints(masks={3: white})
    assert one != Constraints(mask=white)
    assert one != Constraints(masks={2: white[:, :4]})
