"""Families that draw each frame from its sentence alone: invariants of the draw, and their stories in all loops.

Systems of noise at small size in float64.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from acdc.engine.engine import Engine
from acdc.engine.models.causal.family import CausalArm
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.outputs import Frame, StoryResult
from acdc.engine.sampling import choose, make_sampling_params
from acdc.engine.scheduler.policy import SchedulerConfig
from acdc.engine.utils.rng import Purpose, gumbel, make_keys
from tests.helpers.small_systems import small_systems

SENTENCES = ["Benny the beagle sat in a garden.", "He ran.", "Benny slept near a log."]
OTHERS = ["A bear slept.", "It woke."]
QUICK = {"num_inference_steps": 2, "correction_size": 16}
SAMPLED = {"arm_guidance_scale": 3.0, "temperature": 0.7, "top_k": 9}
BUNDLES = ["janus-pro-1b+sd15", "emu3+sd-turbo"]


@pytest.fixture(scope="module", params=BUNDLES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        small_systems(tmp_path_factory.mktemp("systems"), patch)
        yield Engine.from_pretrained(request.param, random_weights=True, dtype="float64")


@pytest.fixture(scope="module")
def arm(engine: Engine) -> CausalArm:
    found = engine.models.arm
    assert isinstance(found, CausalArm)
    for name, value in found.model.named_parameters():
        if name.endswith(("wo.weight", "w2.weight")):
            value.mul_(4)  # so that what a code sees decides it
    return found


def resolved(engine: Engine, **given: Any) -> StoryOptions:
    return make_options(**{**SAMPLED, **given}).resolved(engine.defaults)


def drawn(arm: CausalArm, sentences: list[str], options: StoryOptions, passes: int | None = None) -> list[Tensor]:
    """A frame of each, side by side; the seed of a sentence is its place among all."""
    batch = arm.new_batch([arm.new_sequence([sentence]) for sentence in sentences], options)
    batch.begin(sentences)
    batch.start(make_keys([len(sentence) for sentence in sentences], 0, Purpose.TOKEN))
    while not all(batch.advance(passes)):
        pass
    return [batch.pop(place) for place in range(len(sentences))]


def same(mine: list[Frame], theirs: list[Frame]) -> None:
    assert len(mine) == len(theirs)
    for one, other in zip(mine, theirs, strict=True):
        assert (one.index, one.draft_codes, one.codes) == (other.index, other.draft_codes, other.codes)
        assert np.array_equal(one.image, other.image)


@pytest.mark.long
@torch.no_grad()
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_codes_with_a_cache_are_those_of_one_pass_without(engine: Engine, arm: CausalArm, scale: float) -> None:
    options, stream = resolved(engine, arm_guidance_scale=scale, decoding="sequential"), arm.stream
    (codes,), sentence = drawn(arm, SENTENCES[:1], options), SENTENCES[0]
    slots, text = stream.to_slots(codes), arm.encode(sentence)
    logits = []
    for said in (text, arm.null_text(text)):
        prompt = [*stream.bos, *said, *stream.vision]
        ids = torch.cat((torch.tensor(prompt), slots))[None]
        hidden = arm.model(ids, torch.arange(ids.shape[1])[None] >= len(prompt))
        logits.append(arm.model.vision_logits(hidden)[:, len(prompt) - 1 : -1])
    keys, vocab = make_keys([len(sentence)], 0, Purpose.TOKEN), arm.model.config.vision_vocab
    noise = gumbel(keys, torch.arange(stream.slots), vocab)
    found = choose(logits[0], logits[1] if scale != 1 else None, noise, make_sampling_params(options))
    assert torch.equal(stream.to_codes(found)[0], codes)


@pytest.mark.parametrize("passes", [None, 3])
def test_parallel_decoding_changes_no_code(engine: Engine, arm: CausalArm, passes: int | None) -> None:
    one_by_one = drawn(arm, SENTENCES, resolved(engine, decoding="sequential"))
    together = drawn(arm, SENTENCES, resolved(engine, decoding="parallel"), passes)
    assert torch.equal(torch.stack(together), torch.stack(one_by_one))
    assert len(torch.stack(one_by_one).unique()) > 8


def test_stories_side_by_side_equal_each_alone(engine: Engine, arm: CausalArm) -> None:
    for decoding in ("sequential", "parallel"):
        options = resolved(engine, decoding=decoding)
        alone = [drawn(arm, [sentence], options)[0] for sentence in SENTENCES]
        assert torch.equal(torch.stack(drawn(arm, SENTENCES, options)), torch.stack(alone))


def test_stories_in_the_middle_of_their_draws_come_together(engine: Engine, arm: CausalArm) -> None:
    options = resolved(engine, decoding="sequential")
    expected = torch.stack(drawn(arm, SENTENCES, options))
    batches = []
    for passes, sentence in enumerate(SENTENCES, 2):
        batch = arm.new_batch([arm.new_sequence([sentence])], options)
        batch.begin([sentence])
        batch.start(make_keys([len(sentence)], 0, Purpose.TOKEN))
        batch.advance(passes)
        batches.append(batch)
    merged, places = batches[0].merge(arm, [(batch, 0) for batch in batches])
    assert places == [0, 1, 2]
    merged.advance()
    assert torch.equal(torch.stack([merged.pop(place) for place in places]), expected)


def test_a_replaced_frame_is_that_of_a_fresh_run(engine: Engine, arm: CausalArm) -> None:
    """The next frame sees neither; what is kept are the new codes."""
    options = resolved(engine)
    codes = torch.arange(arm.stream.codes_per_frame)[None] % arm.stream.codebook_size
    replaced, fresh = (arm.session(1, 2, options) for _ in range(2))
    replaced.begin(SENTENCES[:1])
    replaced.generate(make_sampling_params(options), make_keys([1], 0, Purpose.TOKEN))
    replaced.replace(0, codes)
    fresh.begin(SENTENCES[:1])
    fresh.extend(codes)
    for session in (replaced, fresh):
        session.begin(SENTENCES[1:2])
    assert torch.equal(replaced.codes(0), fresh.codes(0))
    assert replaced.last_logits is not None
    assert fresh.last_logits is not None
    assert torch.equal(replaced.last_logits, fresh.last_logits)
    assert len(list(replaced.tensors())) > 4
    replaced.truncate(1)
    replaced.begin(SENTENCES[1:2])
    assert torch.equal(replaced.last_logits, fresh.last_logits)


def test_a_story_is_corrected_and_resumed(engine: Engine) -> None:
    sentences = SENTENCES[:2]
    whole = engine.generate(sentences, seed=3, **QUICK)
    assert all(frame.corrected for frame in whole.frames)
    assert (whole.settings["layout"], whole.settings["context"]) == ("independent", None)
    uncorrected = engine.generate(sentences, seed=3, **QUICK, feed_back=False).frames
    assert [frame.draft_codes for frame in uncorrected] == [frame.draft_codes for frame in whole.frames]
    same(list(engine.stream(sentences, seed=3, done=whole.frames[:1], **QUICK)), whole.frames[1:])


@pytest.mark.long
def test_many_stories_equal_each_alone(engine: Engine) -> None:
    """Overlapped, in launches of three passes, against the serial loop."""
    stories = [SENTENCES[:2], OTHERS, OTHERS[:1]]
    run = engine.generate_many(stories, pipelining=SchedulerConfig(max_passes_per_launch=3), **QUICK)
    found = {result.seed: result for result in run if isinstance(result, StoryResult)}
    assert sorted(found) == [0, 1, 2]
    for seed, sentences in enumerate(stories):
        same(found[seed].frames, engine.generate(sentences, seed=seed, **QUICK).frames)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_systems(tmp_path / "systems", monkeypatch)


INT8 = {"quantization": "int8"}
PLANS = "arm_prefill=openvino,arm_draw=openvino,tokenizer_decoder=openvino,tokenizer_encoder=openvino"


@pytest.mark.long
@pytest.mark.parametrize(
    "way",
    [pytest.param({"backend": PLANS}, marks=pytest.mark.toolchain, id="plans"), pytest.param(INT8, id="int8")],
)
def test_plans_and_weights_of_a_byte_draw_frames(small: None, engine: Engine, way: dict[str, Any]) -> None:
    """OpenVINO's greedy codes are those of eager PyTorch; int8 is lossy, and every code is one of the codebook."""
    options: dict[str, Any] = {**QUICK, "temperature": 0.0, "arm_guidance_scale": 3.0, "decoding": "parallel"}
    name, stream = engine.bundle.name, engine.models.arm.stream
    codes = {}
    for chosen in ({"backend": "eager"}, way):
        other = Engine.from_pretrained(name, random_weights=True, **chosen)
        (frame,) = other.generate(SENTENCES[:1], **options).frames
        codes[str(chosen)] = frame.draft_codes
        assert len(frame.codes) == stream.codes_per_frame
        assert all(0 <= code < stream.codebook_size for code in frame.codes)
    eager, found = codes.values()
    assert found == eager or "quantization" in way
