"""``acdc overhead --study``: checks, the study, and its three files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..atomic import check_parent, write_bytes, write_json
from ..memory import check_memory
from ..story import StoryOptions
from .study import Plan, run_study
from .sweeps import SWEEPS, parse_counts
from .table import page, table

if TYPE_CHECKING:
    from ..engine import Engine

SUFFIXES = ("json", "md", "html")
VIDEO = "chunk_frames"  # the one sweep that not every bundle can serve


def make_study(
    options: StoryOptions,
    given: Mapping[str, Any],
    stories: int,
    machine: Mapping[str, Any],
    load: Callable[[dict[str, Any]], Engine],
) -> None:
    """Measure, write STEM.json after each point, and STEM.md and STEM.html at the end. ``ValueError`` before that."""
    stem = check_stem(given["out"] or "overhead")
    counts = parse_counts(given["concurrency"] or "1,2,4")
    asked = tuple(given["sweeps"]) or tuple(SWEEPS)
    for name in asked:
        if name not in (*SWEEPS, "none"):
            raise ValueError(f"unknown sweep {name!r}; choose among {', '.join(SWEEPS)}, or none")
    check_plots()
    check_memory(options.memory_settings)
    engine = load(dict(given))
    sweeps = [name for name in asked if name != "none" and (given["sweeps"] or name != VIDEO or draws_videos(engine))]
    sizes = {"frames": given["frames"] or 4, "rounds": given["rounds"] or 2, "seed": given["seed"]}
    plan = Plan(stories=stories, concurrency=counts, sweeps=sweeps, backend=given["backend"], **sizes)
    target = stem.with_name(f"{stem.name}.json")

    def reload(backend: str) -> Engine:
        return load({**given, "backend": backend})

    say = lambda text: click.echo(text, err=True)  # noqa: E731
    record = run_study(engine, options, plan, machine, reload, say, lambda so_far: write_json(target, so_far))
    write_report(record, stem)
    click.echo(table(record))
    click.echo(", ".join(f"{stem}.{suffix}" for suffix in SUFFIXES))


def write_report(record: Mapping[str, Any], stem: Path) -> None:
    """STEM.json, STEM.md and STEM.html of a record."""
    from .report import report

    write_json(stem.with_name(f"{stem.name}.json"), record)
    write_bytes(stem.with_name(f"{stem.name}.md"), page(record, stem.name).encode())
    write_bytes(stem.with_name(f"{stem.name}.html"), report(record).encode())


def check_stem(name: str) -> Path:
    """The path without its suffixes; ``ValueError`` where its files cannot be written."""
    stem = Path(name)
    if not stem.name or stem.is_dir():
        raise ValueError(f"--out {name!r} is a directory; give a file's name without its suffix")
    if stem.suffix.lstrip(".") in SUFFIXES:
        raise ValueError(f"--out {name!r} has a suffix; give the name without it, all three files are written")
    check_parent("--out", name)
    return stem


def check_plots() -> None:
    """``ValueError`` where the report's plots could not be drawn, before minutes are spent on measuring."""
    if find_spec("matplotlib") is None:
        raise ValueError("a study draws plots by matplotlib, which is not installed: pip install 'acdc-engine[report]'")


def draws_videos(engine: Engine) -> bool:
    """Was the bundle's ARM taught videos?"""
    from ..pipeline import make_policy

    try:
        engine.models.arm.video_session(1, 1, make_policy(StoryOptions().resolved(engine.defaults))).close()
    except ValueError:
        return False
    return True
