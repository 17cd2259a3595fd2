"""Measure the best choice of ``auto`` here: ``python -m acdc.bench.choose --out bench/results/auto_cpu_DATE.json``.

Every stage of a bundle on every backend of the CPU that compiles in seconds, by turns in one process; then the whole
correction, stage by stage and as one plan. The medians decide the tables of ``compile/auto.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import click
import torch

from ..compile.backends import compile_stage, unsupported_reasons
from ..compile.cache import PlanCache
from ..compile.processor import instructions
from ..compile.spec import StageSpec
from ..engine.engine import Engine
from ..engine.options import StoryOptions
from ..engine.runtime.backends import PARTS, STAGES, WHOLE
from ..engine.runtime.compiled import PlannedCorrection, compile_models
from ..engine.sdedit.correction import Correction
from ..engine.utils.atomic import write_json
from ..engine.utils.versions import versions
from .overhead.cli import machine
from .workloads import stages

BACKENDS = ("eager", "openvino", "openvino-bf16")
SENTENCE = "Benny the beagle sat in a snowy garden."
Call = Callable[[], object]


@torch.inference_mode()
def by_turns(calls: Mapping[str, Call], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call, first in their order and then back (A B B A), after two warm-up rounds."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 2):
        for name in (*calls, *reversed(list(calls))):
            began = time.perf_counter()
            calls[name]()
            if turn > 1:
                found[name].append(1e3 * (time.perf_counter() - began))
    return found


def stage_calls(engine: Engine, cache: PlanCache) -> dict[str, dict[str, Call]]:
    """Stage -> backend -> a call of it for one story."""
    found: dict[str, dict[str, Call]] = {}
    for name, run, inputs in stages(engine, 1):
        spec = StageSpec.of(name, inputs)
        able = [backend for backend in BACKENDS if not unsupported_reasons(spec, backend)]
        plans = {backend: compile_stage(run, spec, backend, cache) for backend in able}
        found[name] = {backend: partial(plan, *inputs) for backend, plan in plans.items()}
    return found


def correction_calls(engine: Engine, names: Sequence[str], cache: PlanCache, with_whole: bool) -> dict[str, Call]:
    """``stages=NAME``, and ``whole=NAME`` where asked for -> the correction of one frame and its encoding."""
    options = StoryOptions().resolved(engine.defaults)
    side = engine.models.tokenizer.config.resolution  # type: ignore[attr-defined]
    pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def by_stages(name: str) -> Call:
        backends = dict.fromkeys((*STAGES, WHOLE), "eager") | dict.fromkeys(PARTS, name)
        models = compile_models(engine.models, backends, cache)
        correction = Correction(models.corrector, options)
        conditioning, _ = correction.condition([SENTENCE])
        return lambda: models.tokenizer.encode(correction.run(pixels, conditioning, [0], 0))

    def whole(name: str) -> Call:
        correction = Correction(engine.models.corrector, options)
        conditioning, _ = correction.condition([SENTENCE])
        plan = PlannedCorrection(engine.models.corrector, engine.models.tokenizer, name, cache)
        return lambda: plan(correction, pixels, conditioning, [0], 0)

    with torch.inference_mode():
        calls = {f"stages={name}": by_stages(name) for name in names}
        return calls | {f"whole={name}": whole(name) for name in names if with_whole and name != "eager"}


def medians(times: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Median and spread (the middle half) of each."""
    found = {}
    for name, values in times.items():
        ordered, count = sorted(values), len(values)
        found[name] = {"median": median(ordered), "low": ordered[count // 4], "high": ordered[-1 - count // 4]}
    return found


@click.command()
@click.option("--bundle", default="storyworld", show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=20, show_default=True, help="Each A B B A.")
@click.option("--whole/--no-whole", default=True, show_default=True, help="Plans of all steps: minutes to build.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file.")
def main(bundle: str, rounds: int, whole: bool, out: Path) -> None:
    """Measure what the backends of a CPU take."""
    engine, cache = Engine.from_pretrained(bundle, backend="eager"), PlanCache()
    calls = stage_calls(engine, cache)
    names = list(calls["unet"])
    calls["correction"] = correction_calls(engine, names, cache, whole)
    rows = {stage: medians(by_turns(ways, rounds)) for stage, ways in calls.items()}
    where = {**machine(), "threads": torch.get_num_threads(), "instructions": sorted(instructions())}
    write_json(out, {"versions": versions(), "machine": where, "rounds": rounds, "ms": rows})
    for stage, ways in rows.items():
        figures = ", ".join(
            f"{name} {row['median']:.2f} ({row['low']:.2f} to {row['high']:.2f})" for name, row in ways.items()
        )
        click.echo(f"{stage:18} {figures}")


if __name__ == "__main__":
    main()
