"""Prediction of a point by the cost model: stages are timed before it is measured, on other stories; its schedule is
simulated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ...engine.memory import MemorySettings
from ...engine.options import StoryOptions
from ...engine.outputs import Phase
from ...engine.request import StoryRequest
from ...engine.scheduler.policy import SchedulerConfig
from ...engine.scheduler.scheduler import phase_schedule
from .figures import PERCENTILES
from .run import options_of
from .sweeps import Point
from .variants import Variant

if TYPE_CHECKING:
    from ...engine.engine import Engine
    from ..simulator.cost_model import CostModel

REPEATS = 2
Measure = Callable[[StoryOptions, SchedulerConfig, Sequence[int]], "CostModel"]  # the ints are frames of stories
StepsRun = Callable[[StoryOptions], int]  # of a correction, by the model's own rule


@dataclass
class Predictor:
    """Predictor for one engine. Each way of dividing it into slots is calibrated once, for launches of up to
    ``largest`` stories; correction's time at other numbers of steps lies on a line through two that were measured.
    ``steps_run`` counts the steps of a correction. ``models`` holds them all by name (``reported`` are those that
    ``prepare`` returned), ``seconds_of_calls`` the times of a language model."""

    backend: str
    calibrate: Measure
    call_seconds: Callable[[StoryOptions], float]
    steps_run: StepsRun
    largest: int
    options: StoryOptions
    models: dict[str, CostModel] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)
    seconds_of_calls: dict[MemorySettings, float] = field(default_factory=dict)

    def prepare(self, point: Point, stories: Sequence[StoryRequest]) -> list[dict[str, Any]]:
        """Measure whatever the predictions of a point need, before it is measured itself; ``stories`` give the lengths
        only. Returns the cost models that were not returned before, ready for JSON."""
        if point.chunk_frames is not None:
            return []
        lengths = [len(story.sentences) for story in stories]
        for variant in point.variants:
            options = options_of(point, variant)
            self._calibrate(options, variant.config, lengths)
            settings = options.memory
            if point.latency_s is None and settings.by_language_model and settings not in self.seconds_of_calls:
                self.seconds_of_calls[settings] = self.call_seconds(options)
        fresh = [name for name in self.models if name not in self.reported]
        self.reported.update(fresh)
        return [{"name": name, "backend": self.backend, "costs": self.models[name].to_dict()} for name in fresh]

    def predict(self, point: Point, variant: Variant, stories: Sequence[StoryRequest]) -> dict[str, Any] | None:
        """Throughput and latencies of these stories; None of a video, which the simulator does not know. ``costs`` is
        the cost model's name: with it and ``memory_s`` the prediction can be made again."""
        if point.chunk_frames is not None:
            return None
        from ..simulator.simulator import simulate

        options, config = options_of(point, variant), variant.config
        if options.memory.name == "local":
            config = replace(config, calls=1)  # as ``many.begin`` has it
        name = self._name(options, config)
        assert name in self.models, "prepare the point before it is measured"
        memory_s = self.memory_seconds(point, variant)
        frames = [len(story.sentences) for story in stories]
        run = simulate(self.models[name], frames, phase_schedule(options, config), config, memory_s=memory_s)
        return {
            "seconds_a_frame": run.seconds / run.frames,
            "frames_a_second": run.frames_per_second,
            "latency_ms": {f"P{percent}": run.latency(percent / 100) * 1e3 for percent in PERCENTILES},
            "exposed_memory_share": run.exposed_memory_s / sum(run.latencies),
            "costs": name,
            "memory_s": memory_s,
        }

    def memory_seconds(self, point: Point, variant: Variant) -> float:
        """Seconds of a memory call of that variant: none, rules, after a latency or not, or a language model."""
        options = options_of(point, variant)
        if variant.correction and point.latency_s is not None:
            return point.latency_s + self.models[self._name(options, variant.config)].memory_s
        if options.memory.by_language_model:
            return self.seconds_of_calls[options.memory]
        return 0.0 if options.memory.name == "none" else self.models[self._name(options, variant.config)].memory_s

    def _calibrate(self, options: StoryOptions, config: SchedulerConfig, lengths: Sequence[int]) -> None:
        """With as many slots as ``config`` has, at the default number of steps, scaled to that of ``options``."""
        name, base = self._name(options, config), self._measured(self.options, config, lengths)
        if name in self.models:
            return
        calibrated = self.steps_run(self.options)
        other = 1 if calibrated > 1 else 2
        two = self._measured(self.options.replace(strength=1.0, num_inference_steps=other), config, lengths)
        points = [(calibrated, base), (other, two)]
        scaled = {**base.seconds, Phase.SDEDIT: on_a_line(points, self._steps(options))}
        self.models.setdefault(name, replace(base, seconds=scaled))

    def _measured(self, options: StoryOptions, config: SchedulerConfig, lengths: Sequence[int]) -> CostModel:
        """With launches of every size that may occur. What decides which frames are corrected changes no launch."""
        options = options.replace(correction=True, correct_first=None, correct_every=1)
        wide = replace(config, stories=self.largest, draw_batch=self.largest, correct_batch=self.largest, waiting=0)
        wide = replace(wide, merge_replace=self._merges(config), prompt_lookahead=0)
        name = self._name(options, config)
        if name not in self.models:
            self.models[name] = self.calibrate(options, wide, lengths)
        return self.models[name]

    def _name(self, options: StoryOptions, config: SchedulerConfig) -> str:
        """Name of a cost model: "2 slots, 25 steps, share, merge_replace"."""
        parts = [f"{config.slots} slots", f"{self._steps(options)} steps"]
        parts += [] if config.max_passes_per_launch is None else [f"quantum {config.max_passes_per_launch}"]
        parts += ["share"] if config.split_across_slots else []
        return ", ".join([*parts, *(["merge_replace"] if self._merges(config) else [])])

    def _steps(self, options: StoryOptions) -> int:
        """Without correction no steps are run, and the default's model serves."""
        return self.steps_run(options if options.correction.enabled else self.options)

    def _merges(self, config: SchedulerConfig) -> bool:
        """A window context is read again for each frame, and it makes no difference to its reading
        whether corrected codes were entered before."""
        return config.merge_replace and self.options.sampling.context == "full"


def on_a_line(costs: Sequence[tuple[int, CostModel]], steps: int) -> dict[int, float]:
    """Seconds of a correction by batch, on the line through two models of other numbers of steps."""
    (low, first), (high, second) = costs
    share = (steps - low) / (high - low)
    rows = first.seconds[Phase.SDEDIT], second.seconds[Phase.SDEDIT]
    return {batch: max(0.0, rows[0][batch] + share * (rows[1][batch] - rows[0][batch])) for batch in rows[0]}


def predictor(engine: Engine, options: StoryOptions, largest: int) -> Predictor:
    """Predictor for a loaded engine. ``options`` are resolved."""
    from ..simulator.calibrate import calibrate
    from ..simulator.memory_calls import call_seconds
    from ..simulator.stories import stories_of

    def measure(asked: StoryOptions, config: SchedulerConfig, lengths: Sequence[int]) -> CostModel:
        return calibrate(engine, asked, config, stories=stories_of(lengths), repeats=REPEATS)

    return Predictor(
        engine.backend, measure, lambda asked: call_seconds(engine, asked), partial(steps_run, engine), largest, options
    )


def steps_run(engine: Engine, options: StoryOptions) -> int:
    """Steps that a correction runs with the engine's model, as it is said before anything is drawn. ``ValueError``
    where none would run."""
    return int(engine.start(options)["steps_run"])
