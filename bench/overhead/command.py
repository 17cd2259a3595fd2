"""``acdc overhead --study``: checks, the study, and its three files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ...engine.examples import EXAMPLES
from ...engine.loading.acdit import NAMES
from ...engine.memory import check_memory
from ...engine.options import EngineOptions, StoryOptions, default_backend
from ...engine.utils.atomic import check_parent, write_bytes, write_json
from ...engine.utils.malloc import keep_freed_memory
from ...engine.utils.streams import log
from .corrector_free import CorrectorFree
from .study import Plan, run_study
from .sweeps import SWEEPS, parse_counts
from .table import page, table

if TYPE_CHECKING:
    from ...engine.engine import Engine

SUFFIXES = ("json", "md", "html")
VIDEO = "chunk_frames"  # the one sweep that not every bundle can serve
NONE = "none"  # in the place of sweeps


class Sizes(NamedTuple):
    """Sizes of a study; the command's options of these names explain them."""

    stories: int
    concurrency: str | None
    sweeps: Sequence[str]
    frames: int
    rounds: int
    seed: int
    corrector_free: CorrectorFree | None = None


def make_study(
    options: StoryOptions,
    engine_options: EngineOptions,
    sizes: Sizes,
    out: str,
    machine: Mapping[str, Any],
    load: Callable[[EngineOptions], Engine],
) -> None:
    """Measure, write STEM.json after each point, and STEM.md and STEM.html at the end; exit code 1 where some points
    failed. ``ValueError`` before anything is measured."""
    stem = check_stem(out)
    counts = parse_counts(sizes.concurrency, sizes.stories)
    sweeps, asked = check_sweeps(sizes.sweeps), bool(sizes.sweeps)
    check_frames(sizes.frames)
    check_plots()
    check_name(sizes.corrector_free)
    check_memory(options.memory)
    keep_freed_memory()
    engine = load(engine_options)
    if not asked and not draws_videos(engine):
        sweeps.remove(VIDEO)
    plan = Plan(
        stories=sizes.stories,
        concurrency=counts,
        sweeps=sweeps,
        asked=asked,
        backend=engine_options.backend or default_backend(),
        frames=sizes.frames,
        rounds=sizes.rounds,
        seed=sizes.seed,
        corrector_free=sizes.corrector_free,
    )
    target = stem.with_name(f"{stem.name}.json")

    def reload(backend: str) -> Engine:
        return load(replace(engine_options, backend=backend))

    record = run_study(engine, options, plan, machine, reload, log, lambda so_far: write_json(target, so_far))
    write_report(record, stem)
    click.echo(table(record))
    click.echo(", ".join(f"{stem}.{suffix}" for suffix in SUFFIXES))
    if any("failed" in point for point in (*record["points"], *record.get("corrector_free", []))):
        raise click.exceptions.Exit(1)


def write_report(record: Mapping[str, Any], stem: Path) -> None:
    """STEM.json, STEM.md and STEM.html of a record."""
    from .report import report

    write_json(stem.with_name(f"{stem.name}.json"), record)
    write_bytes(stem.with_name(f"{stem.name}.md"), page(record, stem.name).encode())
    write_bytes(stem.with_name(f"{stem.name}.html"), report(record).encode())


def check_stem(name: str) -> Path:
    """The path without its suffixes; ``ValueError`` where its files cannot be written."""
    if not name:
        raise ValueError("--out '' names no file; give a file's name without its suffix")
    stem = Path(name)
    if not stem.name or stem.is_dir():
        raise ValueError(f"--out {name!r} is a directory; give a file's name without its suffix")
    if stem.suffix.lstrip(".") in SUFFIXES:
        raise ValueError(f"--out {name!r} has a suffix; give the name without it, all three files are written")
    check_parent("--out", name)
    return stem


def check_sweeps(asked: Sequence[str]) -> list[str]:
    """The sweeps to run; ``ValueError`` for one that is unknown, and for ``none`` together with others."""
    for name in asked:
        if name not in (*SWEEPS, NONE):
            raise ValueError(f"unknown sweep {name!r}; choose among {', '.join(SWEEPS)}, or {NONE}")
    if NONE in asked and set(asked) != {NONE}:
        raise ValueError(f"--sweep {NONE} is given together with others; leave it out, or them")
    return [name for name in asked or SWEEPS if name != NONE]


def check_frames(frames: int) -> int:
    """``ValueError`` for more frames than any story has."""
    most = max(len(story) for story in EXAMPLES.values())
    if frames > most:
        raise ValueError(f"--frames {frames} is more than any of the stories has; choose 1 to {most}")
    return frames


def check_name(model: CorrectorFree | None) -> None:
    """``ValueError`` for a model without a corrector that is unknown."""
    if model is not None and model.name not in NAMES:
        raise ValueError(f"unknown ACDiT {model.name!r}; choose {', '.join(NAMES)}")


def check_plots() -> None:
    """``ValueError`` where the report's plots could not be drawn, before minutes are spent on measuring."""
    if find_spec("matplotlib") is None:
        raise ValueError("a study draws plots by matplotlib, which is not installed: pip install 'acdc-engine[report]'")


def draws_videos(engine: Engine) -> bool:
    """Was the bundle's ARM taught videos?"""
    return engine.models.arm.draws_videos
