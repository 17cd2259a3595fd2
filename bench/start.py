"""From launch to pictures: ``python -m acdc.bench.start --out bench/results/start_cpu_DATE.json``.

``acdc story`` is launched as a user does, in a process of its own: once with empty plan caches (cold), then again and
again with what that left (warm). Seconds from the launch until the first frame, and all of them, lie on disk.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import click

from ..engine.utils.atomic import write_json
from ..engine.utils.versions import versions
from .overhead.cli import machine

POLL = 0.01  # seconds


def launch(backend: str, bundle: str, folder: Path, cache: Path) -> dict[str, float]:
    """One story of six frames. ``CalledProcessError`` if the command fails."""
    command = [sys.executable, "-m", "acdc.engine", "story", "--example", "benny", "--out", str(folder)]
    began, first = time.perf_counter(), None
    environment = {**os.environ, "ACDC_CACHE": str(cache)}
    with subprocess.Popen(
        [*command, "--backend", backend, "--bundle", bundle], env=environment, stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            if first is None and (folder / "frames" / "frame_01.png").exists():
                first = time.perf_counter() - began
            time.sleep(POLL)
    if process.returncode or first is None:
        raise subprocess.CalledProcessError(process.returncode, command)
    return {"first_frame": first, "all_frames": time.perf_counter() - began}


def measure(backend: str, bundle: str, times: int) -> dict[str, Any]:
    """The cold launch, and the warm ones with their medians; seconds."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        cold = launch(backend, bundle, root / "cold", root / "cache")
        warm = [launch(backend, bundle, root / f"warm{turn}", root / "cache") for turn in range(times)]
    medians = {key: median(run[key] for run in warm) for key in cold}
    return {"backend": backend, "cold": cold, "warm": warm, "warm_median": medians}


@click.command()
@click.option("--backends", default="eager,openvino", show_default=True, help="Separated by commas.")
@click.option("--bundle", default="storyworld", show_default=True)
@click.option("--times", type=click.IntRange(min=1), default=5, show_default=True, help="Warm launches.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file.")
def main(backends: str, bundle: str, times: int, out: Path) -> None:
    """Measure each backend's start."""
    rows = [measure(backend, bundle, times) for backend in backends.split(",")]
    write_json(out, {"versions": versions(), "machine": machine(), "rows": rows})
    for row in rows:
        cold, warm = row["cold"], row["warm_median"]
        click.echo(
            f"{row['backend']:10} first frame {cold['first_frame']:.1f} s cold, {warm['first_frame']:.1f} s warm; "
            f"all {cold['all_frames']:.1f} s cold, {warm['all_frames']:.1f} s warm"
        )


if __name__ == "__main__":
    main()
