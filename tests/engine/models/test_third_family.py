"""A third family of ARM is one folder and one line of the registry: all loops draw with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from acdc.engine.engine import Engine
from acdc.engine.loading.families import KINDS, Kind
from acdc.engine.outputs import Frame, StoryResult
from acdc.engine.scheduler.policy import SchedulerConfig
from tests.helpers.imports import import_graph
from tests.toy_family import loader

SENTENCES = ["Benny the beagle sat in a garden.", "He ran.", "Benny slept near a log."]
OTHERS = ["A bear slept.", "It woke."]
QUICK = {"num_inference_steps": 4}
FAMILIES = tuple(f"engine.models.{name}" for name in ("lwm", "show_o", "unified_io2", "janus", "emu3"))


@pytest.fixture
def bundle(tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny bundle with the toy in its ARM's place."""
    monkeypatch.setitem(KINDS["arm"], "toy", Kind("tests.toy_family.loader", defaults={"temperature": 0.5}))
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_path, folder)
    loader.save(folder / "toy")
    said = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**said, "name": "toys", "arm": {"kind": "toy", "path": "toy"}}))
    return folder


@pytest.fixture
def engine(bundle: Path) -> Engine:
    return Engine.from_pretrained(bundle, dtype="float64")


def same(mine: list[Frame], theirs: list[Frame]) -> None:
    assert len(mine) == len(theirs)
    for one, other in zip(mine, theirs, strict=True):
        assert (one.index, one.draft_codes, one.codes) == (other.index, other.draft_codes, other.codes)
        assert np.array_equal(one.image, other.image)


def test_it_draws_a_story_that_is_corrected_fed_back_and_resumed(engine: Engine) -> None:
    whole = engine.generate(SENTENCES, seed=3, **QUICK)
    assert whole.settings["temperature"] == 0.5, "the registry's default"
    assert all(frame.corrected for frame in whole.frames)
    assert engine.generate(SENTENCES, seed=3, **QUICK, feed_back=False).frames[1].codes != whole.frames[1].codes
    for done in range(len(SENTENCES)):
        same(list(engine.stream(SENTENCES, seed=3, done=whole.frames[:done], **QUICK)), whole.frames[done:])


@pytest.mark.long
@pytest.mark.parametrize("passes", [None, 3])
def test_many_stories_equal_each_alone(engine: Engine, passes: int | None) -> None:
    stories = [SENTENCES, OTHERS, [*OTHERS, *SENTENCES]]
    run = engine.generate_many(stories, pipelining=SchedulerConfig(max_passes_per_launch=passes), **QUICK)
    found = {result.seed: result for result in run if isinstance(result, StoryResult)}
    assert sorted(found) == [0, 1, 2]
    for seed, sentences in enumerate(stories):
        same(found[seed].frames, engine.generate(sentences, seed=seed, **QUICK).frames)


def test_what_it_cannot_do_is_said_in_its_own_words(engine: Engine, bundle: Path) -> None:
    with pytest.raises(ValueError, match="this ARM draws pictures and no videos"):
        engine.generate_video("A fox runs.", num_frames=2, chunk_frames=2)
    with pytest.raises(ValueError, match=r"arm_guidance_scale 2\.0 is not for the toy"):
        engine.generate(SENTENCES, arm_guidance_scale=2.0)
    with pytest.raises(ValueError, match="'openvino' cannot translate tables this small; choose arm_draw=eager"):
        Engine.from_pretrained(bundle, backend="arm_draw=openvino")
    assert Engine.from_pretrained(bundle, backend="auto").models.arm.draw_backend == "eager"


def test_its_tensors_are_known_to_the_streams(engine: Engine) -> None:
    arm, options = engine.models.arm, engine.defaults
    from acdc.engine.options import StoryOptions

    batch = arm.new_batch([arm.new_sequence(SENTENCES)], StoryOptions().resolved(options))
    batch.begin(SENTENCES[:1])
    batch.start(torch.zeros(1, 4, dtype=torch.int64))
    assert len(list(batch.tensors())) == 4


@pytest.mark.long
def test_families_are_known_to_the_registry_alone() -> None:
    """No module outside of a family imports it but those that load it, and no family another."""
    for module, others in import_graph("engine").items():
        for family in FAMILIES:
            if not module.startswith((family, "engine.loading")):
                assert not [other for other in others if other.startswith(family)], module
