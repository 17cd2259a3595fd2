"""Measure how far stories drift: long held-out stories, frame after frame, for several frequencies of correction.

``python -m acdc.bench.storyworld evaluate_drift --out DIR`` draws each row once (a row that lies in DIR is kept) and
writes storyworld_drift.{json,md,png}: accuracy and identity by frame, their slopes, and what each row costs.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ....engine.engine import Engine
from ....engine.options import StoryOptions
from ....engine.utils.versions import versions
from ..judge.identity import IdentityJudge, load_identity
from ..judge.judge import Judge
from ..judge.judge import load as load_judge
from ..world.grammar import StorySample, sample_story
from .drift_report import write_drift
from .evaluate import right_subject, story_labels, verdicts
from .metrics import bootstrap, correct, paired_difference
from .rows import Drawn, Pictures, Row, draw_diffusion_alone, draw_truth

Array = NDArray[np.float64]
ROWS = (
    Row("truth", "true renders", draw=draw_truth),
    Row("plain", "plain ARM", {"correction": False}),
    Row("every_1", "every frame corrected"),
    Row("every_2", "every 2nd frame", {"correct_every": 2}),
    Row("every_4", "every 4th frame", {"correct_every": 4}),
    Row("first_2", "first 2 frames", {"correct_first": 2}),
    Row("first_6", "first 6 frames", {"correct_first": 6}),
    Row("no_memory", "every frame, no memory", {"memory": "none"}),
    Row("no_feedback", "every frame, not fed back", {"feed_back": False}),
    Row("diffusion_alone", "diffusion model alone", {}, draw_diffusion_alone),
)
PAIRS = (
    ("every_1", "plain"), ("every_1", "diffusion_alone"), ("every_1", "no_feedback"), ("every_1", "no_memory"),
    ("every_2", "every_1"), ("every_4", "every_1"), ("first_2", "plain"), ("first_6", "plain"),
)  # fmt: skip


def slopes(values: ArrayLike) -> Array:
    """Least-squares slope a frame of each story's values: ``[S, F >= 2]`` -> ``[S]``; ValueError for fewer frames."""
    y = np.asarray(values, dtype=np.float64)
    if y.ndim != 2 or y.shape[1] < 2:
        raise ValueError(f"values must be [S, F >= 2], got {list(y.shape)}")
    x = np.arange(y.shape[1]) - (y.shape[1] - 1) / 2
    return (y @ x) / (x @ x)


def identity_distances(judge: IdentityJudge, pictures: Pictures) -> Array:
    """Distance of the individual in each later frame from that in frame 1: ``[S, F, H, W, 3]`` -> ``[S, F - 1]``."""
    stories, frames = pictures.shape[:2]
    found = judge.traits(np.ascontiguousarray(pictures.reshape(-1, *pictures.shape[2:])))
    index = torch.arange(stories * frames).view(stories, frames)
    first = found[index[:, :1].expand(-1, frames - 1).flatten()]
    return judge.distance(first, found[index[:, 1:].flatten()]).view(stories, -1).double().numpy()


def measure(
    judge: Judge, identity: IdentityJudge | None, pictures: Pictures, truth: Mapping[str, Any], kept: float
) -> dict[str, Any]:
    """Accuracy and identity of one set of pictures by frame, their slopes, and their means by story."""
    found = verdicts(judge, pictures)
    values = {
        "subject": right_subject(found, dict(truth)),
        "animal": correct(found["animal"], truth["animal"]),
        "action": correct(found["action"], truth["action"]),
    }
    if identity is not None:
        distance = identity_distances(identity, pictures)
        values |= {"identity_distance": distance, "identity_kept": (distance <= kept).astype(np.float64)}
    return {
        name: {
            "mean": vars(bootstrap(value.mean(1))),
            "by_frame": value.mean(0).tolist(),
            "slope": vars(bootstrap(slopes(value))),
            "by_story": value.mean(1).tolist(),
        }
        for name, value in values.items()
    }


def differences(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Paired differences of the shown frames, by story."""
    result = {}
    for first, second in PAIRS:
        if first in rows and second in rows:
            a, b = rows[first]["shown"], rows[second]["shown"]
            result[f"{first} - {second}"] = {
                name: vars(paired_difference(a[name]["by_story"], b[name]["by_story"])) for name in a
            }
    return result


def threshold(identity: IdentityJudge, stories: Sequence[StorySample], engine: Engine) -> float:
    """The distance within which 95 % of true renders lie from their story's first one."""
    renders = draw_truth(engine, stories, range(len(stories)), {}, len(stories)).shown
    return float(np.quantile(identity_distances(identity, renders), 0.95))


def draw(row: Row, engine: Engine, stories: Sequence[StorySample], seeds: range, out: Path, batch: int) -> Drawn:
    """The row's pictures, from disk where they are; seconds a story are kept with them."""
    path = out / f"{row.name}.npz"
    if not path.exists():
        began = time.perf_counter()
        drawn = row.draw(engine, stories, seeds, row.options, batch)
        seconds = (time.perf_counter() - began) / len(stories)
        (out / f"{row.name}.json").write_text(json.dumps({"seconds_a_story": seconds}) + "\n", encoding="utf-8")
        drawn.save(path)
        click.echo(f"{row.name}: {seconds:.1f} s a story", err=True)
    return Drawn.load(path)


@click.command(help="Draw and judge long held-out stories; writes storyworld_drift.{json,md,png}.")
@click.option("--bundle", default="storyworld", show_default=True)
@click.option("--edition", default=1, show_default=True, help="Edition of the world that the bundle learned.")
@click.option("--judge", "judge_path", type=click.Path(path_type=Path), help="Judge of labels; the packaged one.")
@click.option("--identity", "identity_path", type=click.Path(path_type=Path), help="Judge of individuals, if any.")
@click.option("--stories", "count", default=50, show_default=True)
@click.option("--frames", default=20, show_default=True)
@click.option("--first-seed", default=200_000, show_default=True)
@click.option("--rows", "names", default="", help="Comma-separated: only these; all by default.")
@click.option("--batch", default=10, show_default=True)
@click.option("--dtype", default="float32", show_default=True)
@click.option("--backend", default="eager", show_default=True)
@click.option("--threads", type=int)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Directory of drawn rows.")
@click.option("--results", type=click.Path(path_type=Path), help="Directory of the report; OUT by default.")
def evaluate_drift(
    bundle: str, edition: int, judge_path: Path | None, identity_path: Path | None, count: int, frames: int,
    first_seed: int, names: str, batch: int, dtype: str, backend: str, threads: int | None, out: Path,
    results: Path | None,
) -> None:  # fmt: skip
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = [name for name in names.split(",") if name] or [row.name for row in ROWS]
    unknown = [name for name in chosen if name not in {row.name for row in ROWS}]
    if unknown:
        raise click.UsageError(f"unknown row {unknown[0]!r}; choose among {', '.join(row.name for row in ROWS)}")
    if frames < 3:
        raise click.UsageError(f"a drift needs 3 frames or more, got {frames}")
    engine = Engine.from_pretrained(bundle, dtype=dtype, backend=backend)
    judge, identity = load_judge(judge_path), None if identity_path is None else load_identity(identity_path)
    out.mkdir(parents=True, exist_ok=True)
    seeds = range(first_seed, first_seed + count)
    stories = [sample_story(seed, "heldout", frames, edition) for seed in seeds]
    others = [sample_story(seed + 50_000, "heldout", frames, edition) for seed in seeds]
    kept = 0.0 if identity is None else threshold(identity, others, engine)
    truth, measured, drawn = story_labels(stories), {}, {}
    for row in (row for row in ROWS if row.name in chosen):
        drawn[row.name] = pictures = draw(row, engine, stories, seeds, out, batch)
        cost = json.loads((out / f"{row.name}.json").read_text(encoding="utf-8"))["seconds_a_story"]
        measured[row.name] = {
            "title": row.title,
            "options": dict(row.options),
            "milliseconds_a_frame": 1000 * cost / frames,
            "shown": measure(judge, identity, pictures.shown, truth, kept),
            "raw": measure(judge, identity, pictures.drafts, truth, kept),
        }
    study = {
        "what": "drift of long held-out stories",
        "bundle": bundle,
        "edition": edition,
        "stories": count,
        "frames": frames,
        "first_seed": first_seed,
        "identity_threshold": kept,
        "settings": engine.settings(StoryOptions()),
        "versions": versions(),
        "machine": {"platform": platform.platform(), "processor": platform.machine()},
        "rows": measured,
        "differences": differences(measured),
    }
    write_drift(results or out, study, drawn)
