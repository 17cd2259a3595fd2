"""The simulator and the real loop decide alike: the same launches, on the same slots, at the same times."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from acdc.bench.simulator.calibrate import Still
from acdc.bench.simulator.cost_model import CostModel
from acdc.bench.simulator.virtual_time import VirtualTime
from acdc.engine.outputs import Phase
from acdc.engine.scheduler.executor import Done
from acdc.engine.scheduler.policy import UNITS
from tests.helpers.simulated import CLOSE, costs_of, hows, lengths, options_of, run


class InVirtualTime:
    """An executor for the real loop: launches are computed at once and take the time that the costs say."""

    def __init__(self, costs: CostModel, phases: list["Scripted"]) -> None:
        self.time, self.costs, self.phases = VirtualTime(costs), costs, phases

    @property
    def pending(self) -> int:
        return self.time.pending

    def submit(self, slot, what, work) -> None:
        result = work()
        passes = self.phases[slot].passes if what.phase is Phase.SAMPLE else None
        seconds = self.costs.launch_seconds(what.phase, len(what.stories), passes)
        self.time.submit(slot, (what, result), UNITS[what.phase], len(what.stories), seconds)

    def call(self, what, work) -> None:
        self.time.call((what, work()), self.costs.memory_s)

    def wait(self, idle: bool = False) -> Done:
        (what, result), start, end = self.time.next()
        return Done(what, start, end, result)

    def close(self) -> None:
        pass


class Scripted(Still):
    """Nothing is computed, but a frame takes this number of passes."""

    def __init__(self, phases, frame, count: float, left: dict) -> None:
        super().__init__(phases, frame)
        self.config, self.count, self.left, self.passes = phases.config, count, left, None

    def run(self, phase, works):
        super().run(phase, works)
        if phase is not Phase.SAMPLE or self.config.max_passes_per_launch is None:
            return []
        left = [self.left.get(work, self.count) for work in works]
        self.passes = min(self.config.max_passes_per_launch, max(left))
        again = [work for work, passes in zip(works, left, strict=True) if passes > self.passes]
        self.left.update({work: passes - self.passes for work, passes in zip(works, left, strict=True)})
        for work in works:
            if work not in again:
                del self.left[work]
        return again


class VirtualClock:
    """In the place of ``time`` in the real loop: what it measures itself is virtual too."""

    def __init__(self, time: VirtualTime) -> None:
        self.time = time

    def perf_counter(self) -> float:
        return self.time.now


@pytest.mark.long
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(costs_of, lengths, hows, options_of)
def test_the_real_loop_runs_the_same_launches_at_the_same_times(tiny_engine, costs, frames, config, options):
    stories = [[f"sentence {k}." for k in range(count)] for count in frames]
    real = tiny_engine.generate_many(stories, options=options, pipelining=config).run
    real.executor.close()
    left: dict = {}
    frame = SimpleNamespace(draft=torch.zeros(3, 16, 16), draft_codes=torch.zeros(16, dtype=torch.int64))
    real.phases = [Scripted(phases, frame, costs.passes_a_frame(), left) for phases in real.phases]
    real.executor, real.origin = InVirtualTime(costs, real.phases), 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acdc.engine.scheduler.loop.time", VirtualClock(real.executor.time))
        made = list(real.events())
    simulated = run(costs, frames, config, options)
    assert simulated.frames == len(made) == sum(frames)
    assert [ran[:3] for ran in simulated.ran] == [ran[:3] for ran in real.ran]
    assert [ran[3:] for ran in simulated.ran] == [pytest.approx(ran[3:], abs=CLOSE) for ran in real.ran]
    for noted, name in ((simulated.latencies, "latency_ms"), (simulated.waited, "waited_ms")):
        assert [getattr(event, name) / 1e3 for event in made] == pytest.approx(noted, abs=CLOSE)
