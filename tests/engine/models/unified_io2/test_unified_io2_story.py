"""Unified-IO 2 in the loops: corrected, fed back, resumed, concurrent, in half precision and with quantized weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from acdc.bench.overhead.floors import count
from acdc.engine.engine import Engine
from acdc.engine.loading.bundle import find_bundle
from acdc.engine.models.layers.quantized import QuantizedLinear
from acdc.engine.models.unified_io2.family import UnifiedIO2Arm
from acdc.engine.options import make_options
from acdc.engine.outputs import Frame, Phase, StoryResult
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.policy import SchedulerConfig
from tests.helpers.small_systems import small_systems

SENTENCES = ["Benny the beagle sat in a garden.", "He ran.", "Benny slept near a log."]
OTHERS = ["A bear slept.", "It woke."]
QUICK = {"num_inference_steps": 2, "correction_size": 32}


def made(folder: Path, monkeypatch: pytest.MonkeyPatch, bundle: str = "uio2-xl+sd15", **how: str) -> Engine:
    small_systems(folder, monkeypatch)
    return Engine.from_pretrained(bundle, random_weights=True, **{"dtype": "float64", "backend": "eager", **how})


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    return made(tmp_path / "published", monkeypatch)


def same(mine: list[Frame], theirs: list[Frame]) -> None:
    assert len(mine) == len(theirs)
    for one, other in zip(mine, theirs, strict=True):
        assert (one.index, one.draft_codes, one.codes) == (other.index, other.draft_codes, other.codes)
        assert np.array_equal(one.image, other.image)


@pytest.mark.long
@pytest.mark.parametrize("options", [{}, {"feed_back": False}, {"correct_first": 1, "context": "window"}])
def test_a_story_is_resumed_from_the_pictures_on_disk(engine: Engine, options: dict) -> None:
    """Frames are seen in their stored levels, corrected or not: what follows is the same, in both loops."""
    whole = engine.generate(SENTENCES, seed=3, **QUICK, **options)
    assert whole.settings["arm_guidance_scale"] == 11.0
    assert whole.settings["top_p"] == 0.9
    for done in (1, 2):
        same(list(engine.stream(SENTENCES, seed=3, done=whole.frames[:done], **QUICK, **options)), whole.frames[done:])
    begun = StoryRequest("begun", SENTENCES, seed=3, done=whole.frames[:2])
    (rest,) = engine.generate_many([begun], **QUICK, **options)
    assert isinstance(rest, StoryResult)
    same(rest.frames[-1:], whole.frames[2:])


def test_the_next_frame_sees_the_corrected_picture(engine: Engine) -> None:
    one, other = (engine.generate(SENTENCES[:2], seed=3, **QUICK, feed_back=back).frames for back in (True, False))
    assert one[0].draft_codes == other[0].draft_codes
    assert one[1].draft_codes != other[1].draft_codes


@pytest.mark.long
@pytest.mark.parametrize("passes", [None, 5])
def test_many_stories_equal_each_alone(engine: Engine, passes: int | None) -> None:
    stories = [SENTENCES, OTHERS[:1], OTHERS]
    run = engine.generate_many(stories, pipelining=SchedulerConfig(max_passes_per_launch=passes), **QUICK)
    found = {result.seed: result for result in run if isinstance(result, StoryResult)}
    assert sorted(found) == [0, 1, 2]
    for seed, sentences in enumerate(stories):
        same(found[seed].frames, engine.generate(sentences, seed=seed, **QUICK).frames)


def test_in_half_precision_pictures_are_read_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = made(tmp_path / "published", monkeypatch, "uio2-xxl+if", dtype="bfloat16", quantization="int8")
    arm = engine.models.arm
    assert isinstance(arm, UnifiedIO2Arm)
    assert {p.dtype for p in arm.model.image.vit.parameters()} == {torch.float32}
    assert arm.model.code_head is not None
    assert arm.model.code_head.weight.dtype == torch.float32
    layers = [module for module in arm.model.modules() if isinstance(module, QuantizedLinear)]
    assert len(layers) == 2 * (4 + 3) + 2 * (8 + 3), "every product of both sides' layers"
    frames = engine.generate(SENTENCES[:2], num_inference_steps=2).frames
    assert all(0 <= code < 64 for frame in frames for code in frame.codes)


@pytest.mark.slow
def test_a_backend_may_run_both_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO, in float32: the codes are those of plain PyTorch, whose margins noise keeps wide."""
    eager = made(tmp_path / "published", monkeypatch, dtype="float32")
    planned = made(
        tmp_path / "published", monkeypatch, dtype="float32", backend="arm_prefill=openvino,arm_draw=openvino"
    )
    options = {**QUICK, "correction": False}
    same(planned.generate(SENTENCES[:2], **options).frames, eager.generate(SENTENCES[:2], **options).frames)


@pytest.mark.long
def test_its_floors_are_counted(engine: Engine) -> None:
    """The makers of states, keys and values are read once a frame, the rest of the decoder for each code."""
    first, later = count(engine, make_options(**QUICK).resolved(engine.defaults), stories=1, cache=0)
    assert first[Phase.SAMPLE] == later[Phase.SAMPLE]
    width, mlp, codes = 32, 3 * 48 * 32, 16
    square, norms = width * width, 2 * 16  # of a head, for queries and for keys
    a_pass = 2 * (6 * square + mlp + 3 * width + norms + 16) + width + 64 * width
    assert first[Phase.SAMPLE].bytes == (codes - 1) * (a_pass + width) * 8, "and the vector of what is drawn"
    assert later[Phase.PREFILL].bytes < first[Phase.PREFILL].bytes, "the null prompt is read in the first one alone"
    assert later[Phase.PREFILL].flops > 2 * first[Phase.PREFILL].flops, "pictures"


def test_it_draws_no_videos(engine: Engine) -> None:
    with pytest.raises(ValueError, match="this ARM draws pictures and no videos"):
        engine.generate_video("A fox runs.", num_frames=2, chunk_frames=2)


def test_noise_has_the_published_sizes_and_no_other(tmp_path: Path) -> None:
    bundle = find_bundle("uio2-large+sd15", random_weights=True)
    part = bundle.parts["arm"]
    assert part.config == {"size": "large"}
    with pytest.raises(ValueError, match="unknown size 'huge' of unified-io-2; choose from large, xl, xxl"):
        type(part)("unified-io-2", {}, {"size": "huge"}).load(torch.device("cpu"), torch.float32)
    assert make_options(**bundle.defaults).sampling.top_p == 0.9
