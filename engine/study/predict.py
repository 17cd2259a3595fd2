"""What the cost model says of a point before it is measured: stages are timed once, schedules are simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..policy import Pipelining
from ..request import StoryRequest
from ..scheduler import walks_of
from ..story import Phase, StoryOptions
from .figures import PERCENTILES
from .run import options_of
from .sweeps import Point
from .variants import Variant

if TYPE_CHECKING:
    from ..engine import Engine
    from ..prediction.cost_model import CostModel

REPEATS = 2
Measure = Callable[[StoryOptions, Pipelining], "CostModel"]


@dataclass
class Predictor:
    """Of one engine. Each way of dividing it into slots is calibrated once, for launches of up to ``largest`` stories;
    correction's time at other numbers of steps lies on a line through two that were measured."""

    calibrate: Measure
    largest: int
    options: StoryOptions
    made: dict[tuple[Any, ...], CostModel] = field(default_factory=dict)

    def predict(self, point: Point, variant: Variant, stories: Sequence[StoryRequest]) -> dict[str, Any] | None:
        """Throughput and latencies of these stories; None of a video, which the simulator does not know."""
        if point.chunk_frames is not None:
            return None
        from ..prediction.simulator import simulate

        options = options_of(point, variant)
        frames = [len(story.sentences) for story in stories]
        memory_s = point.latency_s if variant.correction else None
        costs = self.costs(options, variant.how)
        run = simulate(costs, frames, walks_of(options, variant.how), variant.how, memory_s=memory_s)
        return {
            "seconds_a_frame": run.seconds / run.frames,
            "frames_a_second": run.frames_per_second,
            "latency_ms": {f"P{percent}": run.latency(percent / 100) * 1e3 for percent in PERCENTILES},
            "exposed_memory_share": run.exposed_memory_s / sum(run.latencies),
        }

    def costs(self, options: StoryOptions, how: Pipelining) -> CostModel:
        """Calibrated with as many slots as ``how`` has, at the default number of steps; scaled to that of ``options``.

        What decides which frames are corrected, and by which memory, changes no launch.
        """
        base = self._measured(self.options, how)
        if not options.correction or options.num_steps_run == self.options.num_steps_run:
            return base
        other = 1 if self.options.num_steps_run > 1 else 2
        two = self._measured(replace(self.options, strength=1.0, num_inference_steps=other), how)
        points = {self.options.num_steps_run: base, other: two}
        return replace(base, seconds={**base.seconds, Phase.CORRECT: on_a_line(points, options.num_steps_run)})

    def _measured(self, options: StoryOptions, how: Pipelining) -> CostModel:
        """With launches of every size that may occur. Where the context is a window it is read anew for each frame, and
        it makes no difference to its reading whether corrected codes were entered before."""
        options = replace(options, correction=True, correct_first=None, correct_every=1)
        merge = how.merge_replace and options.context == "full"
        wide = replace(how, stories=self.largest, draw_batch=self.largest, correct_batch=self.largest, waiting=0)
        wide = replace(wide, merge_replace=merge, run_ahead=0)
        key = (options.strength, options.num_inference_steps, how.slots, how.share, how.quantum, merge)
        if key not in self.made:
            self.made[key] = self.calibrate(options, wide)
        return self.made[key]


def on_a_line(costs: Mapping[int, CostModel], steps: int) -> dict[int, float]:
    """Seconds of a correction by batch, on the line through two models of other numbers of ``steps``."""
    (low, first), (high, second) = sorted(costs.items(), key=lambda item: item[0])
    share = (steps - low) / (high - low)
    rows = first.seconds[Phase.CORRECT], second.seconds[Phase.CORRECT]
    return {batch: max(0.0, rows[0][batch] + share * (rows[1][batch] - rows[0][batch])) for batch in rows[0]}


def predictor(engine: Engine, options: StoryOptions, largest: int) -> Predictor:
    """Of a loaded engine. ``options`` are resolved."""
    from ..prediction.calibrate import calibrate

    return Predictor(lambda asked, how: calibrate(engine, asked, how, repeats=REPEATS), largest, options)
