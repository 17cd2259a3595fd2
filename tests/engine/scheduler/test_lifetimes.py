"""Memory outlives the launches that read it: they find what they read wherever a story holds it; buffers wait."""

from __future__ import annotations

import gc
from contextlib import nullcontext
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from acdc.engine.memory.none import NoMemory
from acdc.engine.models import kv_buffers
from acdc.engine.models.kv_buffers import Buffers
from acdc.engine.models.lwm.family import Arm
from acdc.engine.models.show_o.family import ShowOArm
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.request import StoryRequest
from acdc.engine.scheduler.executor import Slot
from acdc.engine.scheduler.story_state import StoryState
from acdc.engine.scheduler.stream_safety import record_stream_uses
from tests.helpers.small_arm import make_arm
from tests.helpers.small_show_o import small_arm
from tests.helpers.tellers import draw_on, fix, prefill, teller

OTHERS = (nn.Module, Arm, ShowOArm, Buffers, type, FunctionType, ModuleType)  # not a story's


def referred(thing: Any) -> dict[int, Tensor]:
    """Every tensor that Python's collector can reach without going through models, by identity."""
    found, seen, ahead = dict[int, Tensor](), set[int](), [thing]
    while ahead:
        one = ahead.pop()
        if id(one) in seen or isinstance(one, OTHERS):
            continue
        seen.add(id(one))
        if isinstance(one, Tensor):
            found[id(one)] = one
        else:
            ahead += gc.get_referents(one)
    return found


def works(arm: Any, options: StoryOptions) -> list[StoryState]:
    """Two stories in the middle of their draw, and one between frames with one before it."""
    three = [teller(arm, seed) for seed in range(3)]
    for together in (three[:2], three[2:]):
        prefill(arm, together, options)
        assert not draw_on(arm, together, 2)
    assert draw_on(arm, three[2:], None)
    fix(arm, three[2], options, at_once=False)
    made = [
        StoryState.of(StoryRequest(f"{one.seed}", tuple(one.texts)), NoMemory(), one.sequence, batch=one.group)
        for one in three
    ]
    made[1].draft, made[1].codes = torch.zeros(3, 4, 4), torch.zeros(6)
    return made


@pytest.mark.parametrize(
    ("make", "chosen"),
    [
        (make_arm, {"context": "full", "arm_guidance_scale": 2.0}),
        (make_arm, {"context": "window", "arm_guidance_scale": 1.0}),
        (small_arm, {"layout": "carry-over", "arm_guidance_scale": 2.0}),
        (small_arm, {"layout": "block-causal", "context": "full", "arm_guidance_scale": 1.0}),
    ],
)
def test_all_that_a_story_holds_and_nothing_of_the_models(make: Any, chosen: dict[str, Any]) -> None:
    arm = make()
    stories = works(arm, make_options(temperature=1.0, top_p=1.0, **chosen))
    found = {id(value): value for story in stories for value in story.tensors()}
    wanted = referred(stories)
    assert found.keys() == wanted.keys()
    assert len(found) > 8
    weights = {id(value) for value in (*arm.model.parameters(), *arm.model.buffers())}
    assert not weights & found.keys()


def test_nothing_is_recorded_where_there_are_no_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: pytest.fail("no CUDA here"))
    record_stream_uses([SimpleNamespace(tensors=lambda: iter([torch.zeros(3)]))])


def test_buffers_of_another_stream_are_written_after_their_last_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an event in the place of CUDA's: the taker of the pair waits for its giver."""
    waited: list[str] = []
    monkeypatch.setattr(kv_buffers, "last_use", lambda pair: "the last pass")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: SimpleNamespace(wait_event=waited.append))
    buffers, kind = Buffers(), ((2, 1, 1, 4, 2), torch.float32, torch.device("cpu"))
    pair = buffers.take(*kind)
    assert not waited, "a new pair has no last use"
    buffers.give_back(pair)
    assert buffers.take(*kind)[0] is pair[0]
    assert waited == ["the last pass"]


def test_buffers_on_a_cpu_have_nothing_to_wait_for() -> None:
    assert kv_buffers.last_use((torch.zeros(2), torch.zeros(2))) is None


def test_a_slot_waits_for_its_device_also_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    event = SimpleNamespace(synchronize=lambda: waited.append("synchronised"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    slot = Slot(torch.device("cpu"), 1)
    slot.stream = SimpleNamespace(record_event=lambda: event)  # type: ignore[assignment]
    assert slot.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        slot.run(lambda: 1 / 0)
    assert waited == ["synchronised"] * 2
    slot.pool.shutdown()
