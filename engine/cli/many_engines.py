"""Options of ``acdc generate`` for engines in processes of their own, on this machine or on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import click
from cloup import option, option_group

from ..fleet.engines import Engines
from ..fleet.fleet import Fleet, NoEngineLeft
from ..fleet.gpus import gpus_each, visible_gpus
from ..fleet.limits import Limits
from ..fleet.local_processes import LocalProcesses
from ..fleet.ray_engines import RayEngines
from ..fleet.recipe import EngineRecipe
from ..fleet.run import FleetRun
from ..options import EngineOptions, StoryOptions, default_backend
from ..outputs import StoryResult
from ..request import StoryRequest

FLEET = option_group(
    "Many engines",
    option(
        "--engines",
        type=click.IntRange(min=1),
        metavar="N",
        help="Draw with N engines, each in a process of its own.  [default: one, in this process]",
    ),
    option(
        "--ray",
        is_flag=False,
        flag_value="",
        metavar="[ADDRESS]",
        help="Start the engines on the Ray cluster at ADDRESS (host:port, ray://host:port or auto); without ADDRESS on "
        "that of $RAY_ADDRESS, or on one that is started on this machine.",
    ),
    option(
        "--gpus-per-engine",
        type=click.FloatRange(min=0),
        metavar="G",
        help="Reserve G GPUs for an engine; with Ray a fraction lets engines share one.  [default: 1 with --device "
        "cuda, else 0]",
    ),
    option(
        "--engine-timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="End an engine that finishes no launch for this number of seconds; its stories go on with another."
        f"  [default: {Limits.stall_s:g}]",
    ),
)


@dataclass(frozen=True)
class FleetChoice:
    """The options of this group. ``ray`` is an address, empty for the usual one; None: processes of this machine."""

    engines: int
    ray: str | None
    gpus: float
    limits: Limits


def fleet_choice(
    engines: int | None, ray: str | None, gpus: float | None, timeout: float | None, options: EngineOptions
) -> FleetChoice | None:
    """The fleet that is asked for, or None. ``ValueError`` for options that do not fit together."""
    if engines is None and ray is None:
        for name, value in (("--gpus-per-engine", gpus), ("--engine-timeout", timeout)):
            if value is not None:
                raise ValueError(f"{name} {value:g} is for engines in processes of their own; give --engines N")
        return None
    chosen = gpus_each("--gpus-per-engine", gpus, options.device, ray=ray is not None)
    limits = Limits() if timeout is None else Limits(stall_s=timeout)
    return FleetChoice(engines or 1, ray, chosen, limits)


class InFleet:
    """Many engines, with what ``acdc generate`` asks of one."""

    def __init__(self, fleet: Fleet, asked: EngineOptions, options: StoryOptions) -> None:
        self._fleet, self._asked, self._options = fleet, asked, options

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The bundle's defaults; waits for the first engine."""
        return self._fleet.description.defaults

    @property
    def embeds_guidance(self) -> bool:
        """As the engine's."""
        return self._fleet.description.embeds_guidance

    def run_info(self, sentences: tuple[str, ...]) -> StoryResult:
        """A story without frames that knows how its frames will be made."""
        made = self._fleet.description
        return StoryResult(sentences, 0, {**made.settings, "init_image": None}, made.versions, made.start)

    def old_fingerprint(self) -> str:
        """The weights' fingerprint as earlier versions recorded it."""
        from ..loading.bundle import find_bundle  # here, because it imports torch

        return find_bundle(self._asked.bundle, self._asked.models, self._asked.random_weights).old_fingerprint()

    def generate_many(self, stories: Iterable[StoryRequest]) -> FleetRun:
        """Draw them."""
        return self._fleet.generate_many(stories, options=self._options)


@contextmanager
def in_fleet(
    choice: FleetChoice,
    asked: EngineOptions,
    options: StoryOptions,
    scheduler: Mapping[str, Any],
    *,
    serial: bool,
    num_frames: int,
) -> Iterator[InFleet]:
    """Start the engines, and end them. A fleet that loses all of them is a ``ClickException``."""
    asked = replace(asked, backend=asked.backend or default_backend(), threads=asked.threads or threads_each(choice))
    drawn = replace(options, memory=options.memory.resolved())  # the driver's environment names the model
    # Frames of the whole run, not of one engine: auto then chooses the backends that one process would.
    recipe = EngineRecipe(asked, drawn, scheduler, serial, num_frames)
    try:
        with Fleet(start_engines(choice, recipe), choice.engines, choice.limits) as fleet:
            yield InFleet(fleet, asked, drawn)
    except NoEngineLeft as lost:
        raise click.ClickException(f"{lost}; what is finished is there, continue with --resume") from None


def start_engines(choice: FleetChoice, recipe: EngineRecipe) -> Engines:
    """The place of the engines; none is started yet."""
    if choice.ray is None:
        return LocalProcesses(recipe, visible_gpus(choice.engines, int(choice.gpus)) if choice.gpus else None)
    return RayEngines(recipe, choice.ray, cpus=recipe.engine.threads or 1, gpus=choice.gpus)


def threads_each(choice: FleetChoice) -> int | None:
    """Threads of an engine where none are given: a share of this machine's cores; 1 on a cluster, whose machines are
    unknown, so that stories do not depend on which one draws them. None: the environment says it."""
    if os.environ.get("OMP_NUM_THREADS"):
        return None if choice.ray is None else int(os.environ["OMP_NUM_THREADS"].split(",")[0])
    if choice.ray is not None:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // choice.engines)
