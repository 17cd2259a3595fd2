"""Cost models, policies and options for simulated runs: strategies, and a model that is easy to reckon with."""

from hypothesis import strategies as st

from acdc.bench.simulator.cost_model import CostModel
from acdc.bench.simulator.simulator import Simulated, simulate
from acdc.engine.options import StoryOptions, make_options
from acdc.engine.scheduler.policy import UNITS, SchedulerConfig
from acdc.engine.scheduler.scheduler import phase_schedule
from tests.helpers.plots import scheduler_configs

CLOSE = 1e-6
OPTIONS = StoryOptions()
NAMES = ("arm", "dm")

# Larger batches never take less time, nor more than that number of single ones.
times = st.floats(0.01, 2.0)
rows = st.builds(
    lambda one, more: {batch: one * (1 + more * (batch - 1)) for batch in (1, 2, 4)}, times, st.floats(0, 1)
)
slower = st.fixed_dictionaries({batch: st.floats(1, 3) for batch in (1, 2, 4)})
costs_of = st.builds(
    CostModel,
    st.fixed_dictionaries(dict.fromkeys(UNITS, rows)),
    st.builds(lambda count: {1: count}, st.integers(1, 12)),
    st.fixed_dictionaries({(unit, other): slower for unit in NAMES for other in NAMES}),
    st.floats(0, 3),
    st.floats(0, 0.01),
)
hows = scheduler_configs(slots=3, stories=6, waiting=3, batch=4, quanta=st.none() | st.integers(1, 8))
options_of = st.builds(
    make_options,
    correction=st.booleans(),
    correct_first=st.none() | st.integers(0, 3),
    correct_every=st.integers(1, 3),
    feed_back=st.booleans(),
)
lengths = st.lists(st.integers(1, 4), min_size=1, max_size=10)


def flat(seconds: float = 1.0, contention: float = 1.0, memory_s: float = 0.0, loop_s: float = 0.0) -> CostModel:
    """Every launch takes as long as its stories would one by one."""
    rows = {phase: {batch: batch * seconds for batch in (1, 2, 4)} for phase in UNITS}
    disturbed = {(unit, other): {1: contention} for unit in NAMES for other in NAMES}
    return CostModel(rows, {1: 10}, disturbed, memory_s, loop_s)


def run(
    costs: CostModel, frames: list[int], config: SchedulerConfig, options: StoryOptions = OPTIONS, **given
) -> Simulated:
    return simulate(costs, frames, phase_schedule(options, config), config, **given)
