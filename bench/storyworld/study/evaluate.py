"""The quality study: held-out stories drawn in every variant, judged, compared.

``python -m acdc.bench.storyworld evaluate --out DIR`` draws each row once (a row that lies in DIR already is kept, so a
study can be stopped, continued and split over processes with ``--rows`` and ``--draw-only``), then writes the report.
``--earlier REPORT`` adds the rows of a report that was made before, of which no pictures are left.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from ....engine.engine import Engine
from ....engine.examples import EXAMPLES
from ....engine.memory import load_memory
from ....engine.options import StoryOptions
from ....engine.utils.versions import versions
from ..judge.judge import Judge
from ..judge.judge import load as load_judge
from ..world.grammar import StorySample, sample_story
from ..world.kinds import ACTIONS, ANIMALS, SETTINGS
from .earlier import add_earlier
from .metrics import (
    Interval,
    accuracy_table,
    background_change,
    bootstrap,
    by_story,
    correct,
    frame_consistency,
    frechet_distance,
    paired_difference,
    text_image_similarity,
)
from .paper import PAPER_LABELS
from .report import write_report
from .rows import Drawn, Pictures, Row, draw_truth, make_rows

LABELS = {"animal": ANIMALS, "setting": SETTINGS, "action": ACTIONS}
PAIRS = (
    *(("all", other) for other in ("plain", "no_memory", "diffusion_alone", "no_feedback")),
    *((other, "plain") for other in ("first_2", "first_4", "no_memory")),
    ("full_all", "full_plain"),
)
REFERENCE_SEED = 500_000  # true renders for the Frechet distance come from stories that no row draws


def story_labels(stories: Sequence[StorySample]) -> dict[str, np.ndarray]:
    """The truth as class numbers [S, F] by label."""
    scenes = [story.scenes for story in stories]
    return {
        "animal": np.array([[ANIMALS.index(s.who.animal) for s in story] for story in scenes]),
        "setting": np.array([[SETTINGS.index(s.setting) for s in story] for story in scenes]),
        "action": np.array([[ACTIONS.index(s.action) for s in story] for story in scenes]),
    }


def verdicts(judge: Judge, pictures: Pictures) -> dict[str, np.ndarray]:
    """The judge's class numbers [S, F] by label."""
    stories, frames = pictures.shape[:2]
    chances = judge.predict(pictures.reshape(-1, *pictures.shape[2:]))
    return {label: chances[label].argmax(-1).numpy().reshape(stories, frames) for label in LABELS}


def right_subject(found: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> np.ndarray:
    """1 where animal and setting are both right, [S, F]."""
    return correct(found["animal"], truth["animal"]) * correct(found["setting"], truth["setting"])


def measure(judge: Judge, pictures: Pictures, truth: dict[str, np.ndarray], texts: np.ndarray, reference: Any) -> dict:
    """Everything the tables show about one set of pictures [S, F, H, W, 3]."""
    flat = pictures.reshape(-1, *pictures.shape[2:])
    found, shape = verdicts(judge, pictures), pictures.shape[:2]
    images = judge.embed(flat).numpy().reshape(*shape, -1)
    subject = right_subject(found, truth)
    return {
        "accuracy": accuracy_table(found, truth),
        "subject": _interval(bootstrap(by_story(subject))),
        "subject_by_frame": subject.mean(0).tolist(),
        "subject_by_story": by_story(subject).tolist(),
        "animal_last": correct(found["animal"], truth["animal"])[:, -1].tolist(),
        "action_by_story": by_story(correct(found["action"], truth["action"])).tolist(),
        "frechet": frechet_distance(judge.features(flat).numpy(), reference),
        "consistency": _interval(bootstrap(frame_consistency(images))),
        "text_similarity": _interval(bootstrap(by_story(text_image_similarity(images, texts)))),
        "background_change": _interval(bootstrap(background_change(pictures))),
    }


def differences(rows: dict[str, Any]) -> dict[str, Any]:
    """Paired differences against the plain ARM and against ACDC on all frames, shown frames."""
    result = {}
    for first, second in PAIRS:
        if first in rows and second in rows:
            a, b = rows[first]["shown"], rows[second]["shown"]
            result[f"{first} - {second}"] = {
                key: _interval(paired_difference(a[key], b[key]))
                for key in ("subject_by_story", "animal_last", "action_by_story")
            }
    return result


def judge_paper_stories(engine: Engine, judge: Judge, seeds: Sequence[int]) -> dict[str, Any]:
    """The paper's seven stories: share of frames with the right animal in one of the acceptable settings."""
    result: dict[str, Any] = {}
    for name, sentences in EXAMPLES.items():
        stories = engine.generate_batch([sentences] * len(seeds), seeds=list(seeds))
        found = verdicts(judge, np.stack([np.stack(story.images) for story in stories]))
        label = PAPER_LABELS[name]
        animal = found["animal"] == ANIMALS.index(label.animal)
        setting = np.isin(found["setting"], [SETTINGS.index(s) for s in label.settings])
        result[name] = {
            "accepts": [label.animal, *label.settings],
            "animal": float(animal.mean()),
            "setting": float(setting.mean()),
            "both": float((animal & setting).mean()),
            "frames": int(animal.size),
        }
    frames = sum(r["frames"] for r in result.values())
    total = {key: sum(r[key] * r["frames"] for r in result.values()) for key in ("animal", "setting", "both")}
    return {"stories": result, "overall": {**{key: value / frames for key, value in total.items()}, "frames": frames}}


def draw_row(
    row: Row, engine: Engine, stories: Sequence[StorySample], seeds: Sequence[int], out: Path, batch: int
) -> Drawn:
    """The row's pictures, from disk where they are there already."""
    path = out / f"{row.name}.npz"
    if not path.exists():
        began = time.perf_counter()
        row.draw(engine, stories, seeds, row.options, batch).save(path)
        click.echo(f"{row.name}: {time.perf_counter() - began:.0f} s", err=True)
    return Drawn.load(path)


@click.command(help="Draw and judge held-out stories in every variant; writes storyworld_quality.{json,md,png}.")
@click.option("--bundle", default="storyworld", show_default=True)
@click.option("--edition", default=1, show_default=True, help="Edition of the world that the bundle learned.")
@click.option("--judge", "judge_path", type=click.Path(path_type=Path), help="Another judge than the packaged one.")
@click.option("--stories", "count", default=200, show_default=True, help="Held-out stories.")
@click.option("--first-seed", default=100_000, show_default=True, help="First seed of the stories and of their draws.")
@click.option("--paper-seeds", default=8, show_default=True, help="Draws of each of the paper's stories.")
@click.option("--rows", "names", default="", help="Comma-separated: only these; all by default.")
@click.option("--draw-only", is_flag=True, help="Draw the rows and write no report.")
@click.option("--batch", default=20, show_default=True)
@click.option("--dtype", default="float32", show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--backend", default="eager", show_default=True, help="NAME, or stage=NAME,...")
@click.option("--threads", type=int, help="Threads of torch; all by default.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Directory of drawn rows.")
@click.option(
    "--earlier",
    type=click.Path(path_type=Path, exists=True),
    help="Keep this earlier report's rows.",
)
@click.option("--results", type=click.Path(path_type=Path), help="Directory of the report; OUT by default.")
def evaluate(
    bundle: str, edition: int, judge_path: Path | None, count: int, first_seed: int, paper_seeds: int, names: str,
    draw_only: bool, batch: int, dtype: str, device: str, backend: str, threads: int | None, out: Path,
    earlier: Path | None, results: Path | None,
) -> None:  # fmt: skip
    if threads is not None:
        torch.set_num_threads(threads)
    engine = Engine.from_pretrained(bundle, device=device, dtype=dtype, backend=backend)
    rows = make_rows(engine)
    chosen = [name for name in names.split(",") if name] or [row.name for row in rows]
    for name in chosen:
        if name not in {row.name for row in rows}:
            raise click.UsageError(f"unknown row {name!r}; choose among {', '.join(row.name for row in rows)}")
    out.mkdir(parents=True, exist_ok=True)
    seeds = range(first_seed, first_seed + count)
    stories = [sample_story(seed, "heldout", edition=edition) for seed in seeds]
    drawn = {row.name: draw_row(row, engine, stories, seeds, out, batch) for row in rows if row.name in chosen}
    if not draw_only:
        kept = [row for row in rows if row.name in drawn]
        measured = study(engine, load_judge(judge_path), kept, drawn, stories, seeds, paper_seeds)
        names_in_order = [row.name for row in rows]
        measured["left_out"] = [name for name in names_in_order if name not in drawn]
        if earlier is not None:
            measured = add_earlier(measured, earlier, names_in_order)
        write_report(results or out, measured, drawn, stories)


def study(
    engine: Engine,
    judge: Judge,
    rows: Sequence[Row],
    drawn: dict[str, Drawn],
    stories: Sequence[StorySample],
    seeds: range,
    paper_seeds: int,
) -> dict[str, Any]:
    """The whole study as JSON-ready values."""
    memory, truth, edition = load_memory("rules"), story_labels(stories), stories[0].scenes[0].edition
    refined = [memory.refine(s.sentences[: k + 1]) for s in stories for k in range(len(s.sentences))]
    texts = judge.embed_text(refined).numpy().reshape(len(stories), len(stories[0].sentences), -1)
    others = [sample_story(REFERENCE_SEED + seed, "heldout", edition=edition) for seed in seeds]
    renders = draw_truth(engine, others, seeds, {}, len(others)).shown
    reference = judge.features(renders.reshape(-1, *renders.shape[2:])).numpy()
    measured: dict[str, Any] = {}
    for row in rows:
        pictures = drawn[row.name]
        measured[row.name] = {
            "title": row.title,
            "options": dict(row.options),
            "shown": measure(judge, pictures.shown, truth, texts, reference),
            "raw": measure(judge, pictures.drafts, truth, texts, reference),
        }
    return {
        "what": "quality of the storyworld bundle on held-out stories",
        "stories": len(stories),
        "frames": len(stories[0].sentences),
        "first_seed": seeds.start,
        "edition": edition,
        "settings": engine.settings(StoryOptions()),
        "start": engine.start(StoryOptions()),
        "versions": versions(),
        "machine": {"platform": platform.platform(), "processor": platform.machine()},
        "rows": measured,
        "differences": differences(measured),
        "paper": judge_paper_stories(engine, judge, range(paper_seeds)),
    }


def _interval(value: Interval) -> dict[str, float]:
    return {"mean": value.mean, "low": value.low, "high": value.high}
