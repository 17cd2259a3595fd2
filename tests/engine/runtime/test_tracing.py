"""Plans are made while no launch runs on another slot, and launches overlap otherwise."""

import threading
import time
from contextlib import nullcontext

import pytest
import torch

from acdc.engine.engine import Engine
from acdc.engine.runtime.export_lock import Tracing
from acdc.engine.scheduler.policy import SchedulerConfig

STORIES = [["A cat sat.", "It ran."]] * 4


def together(*runs):
    """Run in threads of their own; an error in one is raised here."""
    errors = []

    def guarded(run):
        try:
            run()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(run,), daemon=True) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "they wait for each other"
    if errors:
        raise errors[0]


def test_launches_run_concurrently():
    tracing, both = Tracing(), threading.Barrier(2, timeout=20)

    def run():
        with tracing.launch():
            both.wait()

    together(run, run)


@pytest.mark.parametrize("tracers", [1, 2, 4])
def test_a_trace_is_alone_also_where_all_launches_need_one(tracers):
    tracing, inside, seen = Tracing(), set(), []
    begun = threading.Barrier(4, timeout=20)

    def run(number):
        with tracing.launch():
            begun.wait()
            for _ in range(5):
                if number < tracers:
                    inside.discard(number)
                    with tracing.alone():
                        seen.append(set(inside))
                        time.sleep(0.001)
                inside.add(number)
                time.sleep(0.001)
            inside.discard(number)

    together(*(lambda k=k: run(k) for k in range(4)))
    assert len(seen) == 5 * tracers
    assert not any(seen)


def test_outside_of_launches_a_trace_waits_for_them():
    tracing, order = Tracing(), []
    launched = threading.Event()

    def launch():
        with tracing.launch():
            launched.set()
            time.sleep(0.05)
            order.append("launch")

    def trace():
        launched.wait(20)
        with tracing.alone():
            order.append("trace")

    together(launch, trace)
    assert order == ["launch", "trace"]


def test_an_error_leaves_nothing_locked():
    tracing = Tracing()
    with pytest.raises(RuntimeError, match="no plan"), tracing.launch(), tracing.alone():
        raise RuntimeError("no plan")
    with tracing.launch(), tracing.alone():
        pass


@pytest.mark.long
def test_slots_compile_while_others_run(tiny_path, tmp_path, monkeypatch):
    """Every shape is new to both slots."""
    monkeypatch.setenv("ACDC_CACHE", str(tmp_path))
    engine = Engine.from_pretrained(tiny_path, backend="unet=openvino,vae_decoder=openvino,arm_prefill=openvino")
    plain = Engine.from_pretrained(tiny_path)
    config = SchedulerConfig(slots=2, stories=4)
    made = {result.seed: result for result in engine.generate_many(STORIES, num_inference_steps=2, pipelining=config)}
    assert len(made) == len(STORIES)
    for seed, story in enumerate(STORIES):
        expected = plain.generate(story, seed=seed, num_inference_steps=2)
        for ours, theirs in zip(made[seed].frames, expected.frames, strict=True):
            assert ours.draft.shape == theirs.draft.shape
        first = torch.tensor(made[seed].frames[0].draft_codes), torch.tensor(expected.frames[0].draft_codes)
        assert torch.equal(*first)


class Interrupted(BaseException):
    """As Ctrl-C."""


@pytest.mark.parametrize("inside", [True, False])
def test_an_interrupted_wait_leaves_nothing(inside):
    """Whoever waits for a trace is interrupted; launches and traces go on."""
    tracing, held = Tracing(), threading.Event()
    busy = threading.Thread(target=lambda: _hold(tracing, held), daemon=True)
    busy.start()
    wait_for, tracing._changed.wait_for = tracing._changed.wait_for, _interrupt_once(tracing._changed.wait_for)
    with pytest.raises(Interrupted), tracing.launch() if inside else nullcontext(), tracing.alone():
        pytest.fail("another launch runs")
    tracing._changed.wait_for = wait_for
    held.set()
    busy.join(20)

    def trace():
        with tracing.launch(), tracing.alone():
            pass

    together(trace, trace)
    assert tracing._launches == 0


def _hold(tracing, held):
    with tracing.launch():
        held.wait(20)


def _interrupt_once(wait_for):
    """The first wait that would take time is interrupted."""
    left = [1]

    def waiting(ready):
        if not ready() and left[0]:
            left[0] = 0
            raise Interrupted
        return wait_for(ready)

    return waiting
