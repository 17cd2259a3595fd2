"""Unified-IO 2's stories: frames as pixels in the encoder, one frame decoded, exact however it is computed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acdc.engine.models.attention import TRITON
from acdc.engine.models.layers.fused import Fused, fuse
from acdc.engine.models.layers.kernels import enable_triton
from acdc.engine.models.unified_io2.batch import RunningBatch, SequenceState
from acdc.engine.models.unified_io2.config import SIZES, UnifiedIO2Config
from acdc.engine.models.unified_io2.family import UnifiedIO2Arm
from acdc.engine.models.unified_io2.model import UnifiedIO2
from acdc.engine.models.unified_io2.text import GENERATE, NULL_PROMPT, earlier_frame, prompt_ids
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.utils.rng import Purpose, make_keys
from tests.helpers.unified_io2_restated import logits as restated

SENTENCES = ["a cat", "an image of a cat.", "a picture", "a random cat", "a cat of a picture", "an image", "a cat."]
DEFAULTS = {"temperature": 1.0, "top_k": 0, "top_p": 0.9, "arm_guidance_scale": 3.0, "context": "full"}
OPTIONS = make_options(**DEFAULTS)


def frame(seed: int) -> tuple[Tensor, Tensor]:
    """Codes of a frame, and the pixels that are shown for it."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 64, (16,), generator=generator), torch.rand(3, 32, 32, generator=generator).mul(2).sub(1)


def story(arm: UnifiedIO2Arm, frames: int, first: int = 0) -> SequenceState:
    """A story whose first frames are given."""
    sequence = arm.new_sequence(SENTENCES)
    given_frames = [frame(first + index) for index in range(frames)]
    sequence.restore(SENTENCES[:frames], [codes for codes, _ in given_frames])
    for index, (_, pixels) in enumerate(given_frames):
        sequence.show(index, pixels)
    return sequence


def begun(arm: UnifiedIO2Arm, stories: list[SequenceState], options: StoryOptions = OPTIONS) -> RunningBatch:
    batch = arm.new_batch(stories, options)
    batch.begin([SENTENCES[len(one.images)] for one in stories])
    return batch


def keys(seeds: list[int], frames: list[int]) -> Tensor:
    return make_keys(seeds, frames, Purpose.TOKEN)


def drawn(arm: UnifiedIO2Arm, stories: list[SequenceState], options: StoryOptions = OPTIONS) -> list[Tensor]:
    """The next frame of each."""
    batch = begun(arm, stories, options)
    batch.start(keys(list(range(len(stories))), [len(one.images) for one in stories]))
    assert batch.advance() == [True] * len(stories)
    return [batch.pop(place) for place in range(len(stories))]


def largest(one: Tensor, other: Tensor) -> float:
    assert one.shape == other.shape
    return float((one - other).abs().max())


@pytest.mark.long
@pytest.mark.parametrize(("kind", "context", "frames"), [
    ("normed", "full", 0), ("normed", "full", 1), ("normed", "window", 3), ("cosine", "full", 3), ("normed", "full", 6),
])  # fmt: skip
def test_the_logits_of_a_storys_next_frame_are_the_restated_ones(
    request: pytest.FixtureRequest, kind: str, context: str, frames: int
) -> None:
    """Both branches, code by code through the caches, against one pass over everything without any."""
    arm, tensors, config = request.getfixturevalue(kind)
    batch = begun(arm, [story(arm, frames)], OPTIONS.replace(context=context))
    first, caches, codes = batch.session.last_logits, batch.session.caches, frame(99)[0]
    assert first is not None
    assert caches is not None
    rows = [first]
    for code in codes[:-1]:
        read = caches.read
        hidden = arm.model.decode(code.repeat(2, 1), caches.drawn, (read.keys, read.values, read.lengths))
        rows.append(arm.model.code_logits(hidden[:, 0]))
    shown = range(max(0, frames - (5 if context == "full" else 1)), frames)
    pictures = [((frame(index)[1] + 1) * 127.5).round().to(torch.uint8) for index in shown]
    texts = [arm.encode(sentence) for sentence in SENTENCES[shown.start if frames else 0 : frames + 1]]
    for row, ids in enumerate((prompt_ids(texts, 512), NULL_PROMPT)):
        expected = restated(tensors, config, ids, pictures, codes[:-1].tolist())[:, 2:66]
        assert largest(torch.stack(rows, 1)[row], expected) < 1e-10


def test_a_prompt_names_the_frames_in_their_order() -> None:
    own, a, b = [7], [5], [6]
    assert prompt_ids([own], 512) == [33221, *GENERATE, 7, 1]
    assert prompt_ids([a, own], 512) == [33221, 33216, 5, *GENERATE, 7, 1]
    assert prompt_ids([a, b, own], 512) == [33221, earlier_frame(1), 5, 33216, 6, *GENERATE, 7, 1]
    assert [earlier_frame(k) for k in (1, 2, 8)] == [33200, 33202, 33214]
    assert prompt_ids([a, b, own], 11) == [33221, earlier_frame(1), 33216, 6, *GENERATE, 7, 1], "the oldest is left out"


@given(st.lists(st.lists(st.integers(3, 31999), max_size=256), min_size=1, max_size=6))
def test_a_prompt_has_its_own_sentence_and_never_too_many_ids(sentences: list[list[int]]) -> None:
    ids = prompt_ids(sentences, 512)
    assert len(ids) <= 512
    assert ids[-1 - len(sentences[-1]) :] == [*sentences[-1], 1]
    assert sum(piece >= 33200 for piece in ids) == len(sentences)


def test_a_sentence_that_is_too_long_is_refused(arm: UnifiedIO2Arm) -> None:
    with pytest.raises(
        ValueError, match=r"^sentence 'a a a .*\.\.\.' has 257 tokens; the limit \(max_text_tokens\) is 256$"
    ):
        arm.new_sequence(["a cat", "a " * 257])


@pytest.mark.parametrize("name", ["arm_steps", "layout", "carry_over"])
def test_options_of_another_family_are_refused(arm: UnifiedIO2Arm, name: str) -> None:
    value = {"arm_steps": 4, "layout": "independent", "carry_over": 0.5}[name]
    with pytest.raises(ValueError, match=f"^{name} {value!r} is for Show-o"):
        arm.check(OPTIONS.replace(**{name: value}))


@pytest.mark.long
@settings(deadline=None, max_examples=6)
@given(
    frames=st.lists(st.integers(0, 6), min_size=2, max_size=3),
    scale=st.sampled_from([1.0, 3.0]),
    context=st.sampled_from(["full", "window"]),
    decoding=st.sampled_from(["sequential", "parallel"]),
)
def test_stories_side_by_side_draw_what_each_draws_alone(
    arm: UnifiedIO2Arm, frames: list[int], scale: float, context: str, decoding: str
) -> None:
    options = OPTIONS.replace(arm_guidance_scale=scale, context=context)
    stories = [story(arm, count, 10 * place) for place, count in enumerate(frames)]
    together = drawn(arm, stories, options.replace(decoding=decoding))
    for place, count in enumerate(frames):
        batch = begun(arm, [story(arm, count, 10 * place)], options)
        batch.start(keys([place], [count]))
        batch.advance()
        assert torch.equal(together[place], batch.pop(0))


def test_draws_that_meet_and_part_are_those_of_each_alone(arm: UnifiedIO2Arm) -> None:
    alone = [drawn(arm, [story(arm, count)])[0] for count in (0, 2)]
    batches = [begun(arm, [story(arm, count)]) for count in (0, 2)]
    for batch, passes, count in zip(batches, (3, 7), (0, 2), strict=True):
        batch.start(keys([0], [count]))
        assert batch.advance(passes) == [False]
    merged, places = batches[0].merge(arm, [(batch, 0) for batch in batches])
    assert places == [0, 1]
    assert merged.advance(9) == [False, True]
    assert torch.equal(merged.pop(1), alone[1])
    rest, (place,) = merged.merge(arm, [(merged, 0)])
    assert rest is merged
    assert rest.advance()[place]
    assert torch.equal(rest.pop(place), alone[0])
    assert merged.session.caches is None, "the buffers serve the next batch"


def test_a_replaced_frame_is_as_if_it_had_been_drawn(arm: UnifiedIO2Arm) -> None:
    changed, fresh = story(arm, 3), story(arm, 3)
    drawn(arm, [changed])  # its vectors are made, and a frame of its own enters
    changed.forget(3)
    codes, pixels = frame(77)
    changed.replace(codes)
    changed.show(2, pixels)
    fresh.images[2] = codes
    fresh.show(2, pixels)
    assert torch.equal(drawn(arm, [changed])[0], drawn(arm, [fresh])[0])
    assert not torch.equal(drawn(arm, [story(arm, 3)])[0], changed.images[3]), "the picture is seen"


def test_a_frame_is_read_once_as_the_last_one_and_once_as_an_earlier_one(
    arm: UnifiedIO2Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, int]] = []
    vit = arm.model.image.vit
    run = vit.forward
    monkeypatch.setattr(
        vit, "forward", lambda pictures, side: read.append((len(pictures), side)) or run(pictures, side)
    )
    sequence = story(arm, 2)
    for _ in range(3):
        drawn(arm, [sequence])
        sequence.show(len(sequence.images) - 1, frame(len(sequence.images))[1])
    assert read == [(1, 6), (1, 4), (1, 6), (1, 4), (1, 6), (1, 4)]
    assert sorted(sequence.vectors) == [(0, False), (1, False), (2, False), (3, True)], "and nothing else is kept"
    sequence.show(4, frame(4)[1])
    assert (3, True) in sequence.vectors
    sequence.show(3, frame(3)[1])
    assert sorted(sequence.vectors) == [(0, False), (1, False), (2, False)]


def test_the_null_prompt_without_frames_is_read_once(arm: UnifiedIO2Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh, rows = UnifiedIO2Arm(arm.model, arm.encode), []
    run = fresh.prefill_pass
    monkeypatch.setattr(fresh, "prefill_pass", lambda x, *rest: rows.append(len(x)) or run(x, *rest))
    first = begun(fresh, [story(fresh, 0), story(fresh, 2)])
    again = begun(fresh, [story(fresh, 0)])
    assert rows == [1, 3, 1], "the null prompt; two prompts and a null branch with frames; a prompt"
    for batch in (first, again):
        batch.session.close()
    given_rows = [fresh.read(NULL_PROMPT), None]
    found = fresh.prefill(given_rows)
    assert largest(found.logits[0], found.logits[1]) < 1e-12
    assert largest(found.read[0][:, 0], found.read[0][:, 1]) < 1e-12


def copied(arm: UnifiedIO2Arm) -> UnifiedIO2:
    """The same weights in a model that may be changed."""
    model = UnifiedIO2(arm.stream).double()
    assert model.load_state_dict(arm.model.state_dict(), strict=False).missing_keys == []
    return model


@pytest.mark.slow  # the sampler's kernel is interpreted
@pytest.mark.parametrize("decoding", ["sequential", "parallel"])
def test_our_kernels_take_the_places_of_plain_products(arm: UnifiedIO2Arm, decoding: str) -> None:
    """Norms, gates, attention over the codes, and the sampler."""
    options = OPTIONS.replace(decoding=decoding)
    plain = drawn(arm, [story(arm, 0), story(arm, 2)], options)
    model = copied(arm)
    enable_triton(model)
    fused = UnifiedIO2Arm(model, arm.encode)
    assert fused.model.read_backend is TRITON
    for one, other in zip(drawn(fused, [story(fused, 0), story(fused, 2)], options), plain, strict=True):
        assert torch.equal(one, other)


def test_products_that_are_joined_are_the_same(arm: UnifiedIO2Arm) -> None:
    """As on a GPU: queries, keys and values from one product, and gate and value."""
    model = copied(arm)
    fuse(model, "cuda")
    assert sum(isinstance(module, Fused) for module in model.modules()) == 4 + 4
    joined = UnifiedIO2Arm(model, arm.encode)
    assert torch.equal(drawn(joined, [story(joined, 2)])[0], drawn(arm, [story(arm, 2)])[0])


def test_guidance_without_a_null_branch_is_refused(arm: UnifiedIO2Arm) -> None:
    batch = begun(arm, [story(arm, 0)], OPTIONS.replace(arm_guidance_scale=1.0))
    assert batch.session.rows == 1
    batch.params = replace(batch.params, guidance_scale=3.0)
    with pytest.raises(ValueError, match=r"guidance_scale 3\.0 needs a guided session"):
        batch.start(keys([0], [0]))


def test_its_tensors_are_known_to_the_streams(arm: UnifiedIO2Arm) -> None:
    sequence = story(arm, 2)
    batch = begun(arm, [sequence])
    batch.start(keys([0], [2]))
    held = {id(tensor) for tensor in batch.tensors()}
    assert batch.session.caches is not None
    wanted = [*sequence.pictures, *sequence.images, *sequence.vectors.values(), batch.session.caches.read.keys]
    assert {id(tensor) for tensor in wanted} <= held


def test_sizes_that_do_not_fit_are_refused() -> None:
    sizes = SIZES["large"]
    for changes, message in (
        ({"head_dim": 6}, "head_dim 6 is not a multiple of 4"),
        ({"text_vocab": 32000}, "text_vocab 32000 has no room for the 33225 text ids"),
        ({"image_vocab": 16384}, "image_vocab 16384 has no room for 16384 codes"),
        ({"shown_frames": 9}, "shown_frames 9 is more than history_frames 8"),
        ({"width": 0}, "width is 0, expected a positive integer"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(sizes, **changes)
    with pytest.raises(ValueError, match="unknown vit setting 'depth'; choose from width"):
        UnifiedIO2Config.from_dict({"width": 32, "heads": 2, "head_dim": 16, "mlp": 48, "vit": {"depth": 3}})
    with pytest.raises(ValueError, match=r"incomplete transformer config: .*'mlp'"):
        UnifiedIO2Config.from_dict({"width": 32, "heads": 2, "head_dim": 16})
