"""Held-out clips drawn as videos, with and without correction, judged through their last frame.

``python -m acdc.bench.storyworld evaluate_video --out FILE.json`` draws every clip of every row with the same seed. A
row is the plain ARM, or ACDC with the first chunk corrected (the paper's L = 16 of N = 32): frame by frame with one
noise, or all frames together by the motion adapter.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from ....engine.engine import Engine
from ....engine.utils.atomic import make_directory, write_json
from ....engine.utils.versions import versions
from ...choices import chosen
from ..judge.judge import load as load_judge
from ..train.video_data import draw_clip
from ..world.clips import ClipSample, sample_clip
from ..world.kinds import ANIMALS, SETTINGS
from .metrics import Interval
from .temporal import describe, smoother

SIZE = 64  # pixels a side of the bundles' frames
FIRST_SEED = 200_000  # of held-out clips and of their draws
ROWS: Mapping[str, tuple[str, Mapping[str, Any]]] = {  # name -> bundle, options
    "plain": ("storyworld-video", {"correction": False}),
    "acdc": ("storyworld-video", {"correct_first": 1}),
    "acdc_motion": ("storyworld-motion", {"correct_first": 1}),
}


def truth_of(clips: Sequence[ClipSample]) -> dict[str, list[int]]:
    """The class of each clip by label."""
    scenes = [clip.scenes[0] for clip in clips]
    return {
        "animal": [ANIMALS.index(scene.who.animal) for scene in scenes],
        "setting": [SETTINGS.index(scene.setting) for scene in scenes],
    }


def draw(engine: Engine, clips: Sequence[ClipSample], options: Mapping[str, Any]) -> tuple[NDArray[np.uint8], float]:
    """Shown frames [S, F, H, W, 3], and seconds a clip."""
    began, shown = time.perf_counter(), []
    for number, clip in enumerate(clips):
        length = {"num_frames": len(clip.scenes), "chunk_frames": min(16, len(clip.scenes))}
        video = engine.generate_video(clip.sentence, seed=FIRST_SEED + number, **length, **options)
        shown.append(np.stack(video.images))
    return np.stack(shown), (time.perf_counter() - began) / len(clips)


def chosen_rows(_context: object, _parameter: object, text: str) -> list[str]:
    """A click callback: names of `ROWS`, the plain ARM first, with which the others are compared."""
    return chosen(text, ROWS, "row")


@click.command()
@click.option("--clips", "count", default=50, show_default=True, help="Held-out clips.")
@click.option("--frames", default=32, show_default=True)
@click.option("--rows", default=",".join(ROWS), show_default=True, callback=chosen_rows, help="Separated by commas.")
@click.option("--edition", default=1, show_default=True, help="Edition of the world that the bundles learned.")
@click.option("--judge", "judge_path", type=click.Path(path_type=Path), help="Another judge than the packaged one.")
@click.option("--backend", default="eager", show_default=True)
@click.option("--threads", type=int, help="Threads of torch; all by default.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file, written after every row.")
def evaluate_video(
    count: int, frames: int, rows: list[str], edition: int, judge_path: Path | None, backend: str, threads: int | None,
    out: Path,
) -> None:  # fmt: skip
    """Draw and judge held-out clips, corrected and not."""
    if threads is not None:
        torch.set_num_threads(threads)
    make_directory(out.parent)
    judge = load_judge(judge_path)
    clips = [sample_clip(FIRST_SEED + number, "heldout", frames, edition=edition) for number in range(count)]
    truth = truth_of(clips)
    asked = {"clips": count, "frames": frames, "edition": edition, "first_seed": FIRST_SEED}
    found: dict[str, Any] = {**asked, "versions": versions()}
    found["rows"] = {"truth": _ready(describe(judge, np.stack([draw_clip(clip, SIZE) for clip in clips]), truth))}
    found["smoother_than_plain"] = {}
    drawn: dict[str, NDArray[np.uint8]] = {}
    for name in rows:
        bundle, options = ROWS[name]
        engine = Engine.from_pretrained(bundle, backend=backend)
        drawn[name], seconds = draw(engine, clips, options)
        found["rows"][name] = {**_ready(describe(judge, drawn[name], truth)), "seconds_a_clip": seconds}
        if name != "plain" and "plain" in drawn:
            found["smoother_than_plain"][name] = _ready({"jump": smoother(judge, drawn[name], drawn["plain"])})["jump"]
        write_json(out, found)
        click.echo(f"{name}: {found['rows'][name]['right']['mean']:.3f} right, {seconds:.1f} s a clip", err=True)


def _ready(values: Mapping[str, Any]) -> dict[str, Any]:
    """Intervals as JSON holds them."""

    def one(value: Any) -> Any:
        return {"mean": value.mean, "low": value.low, "high": value.high} if isinstance(value, Interval) else value

    return {name: one(value) for name, value in values.items()}
