"""Quality and cost of the few-step corrector: 1, 2, 4 and 8 steps next to 25 and 4 guided ones of its teacher.

``python -m acdc.bench.storyworld evaluate_steps --out DIR`` draws each row once (a row that lies in DIR is kept, so the
drawing can be split over calls with ``--rows`` and ``--draw-only``), judges all, times them in turns, and writes
storyworld_few_steps_DATE.json. Every row starts at timestep 499 (t' = 0.5).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from ....engine.engine import Engine
from ....engine.options import StoryOptions, make_options
from ....engine.outputs import Phase
from ....engine.utils.atomic import make_directory, write_json
from ....engine.utils.versions import versions
from ...choices import chosen
from ...overhead.cli import machine
from ...overhead.quick import spread
from ..draw.scene import render
from ..judge.judge import Judge
from ..judge.judge import load as load_judge
from ..world.grammar import sample_story
from .evaluate import REFERENCE_SEED, draw_row, right_subject, story_labels, verdicts
from .metrics import background_change, bootstrap, by_story, correct, frechet_distance, paired_difference
from .rows import Pictures, Row

RUN = (1, 2, 4, 8)  # steps that run; of twice that number in the whole grid, since t' = 0.5
HALF: Mapping[str, Any] = {"strength": 0.5}
FROM_499: Mapping[str, Any] = {**HALF, "timestep_spacing": "trailing"}  # DDIM's leading grids end elsewhere
REFERENCE = "ddim_25"
DDIM = (
    Row(REFERENCE, "25 steps of DDIM, guided", {**FROM_499, "num_inference_steps": 50}),
    Row("ddim_4", "4 steps of DDIM, guided", {**FROM_499, "num_inference_steps": 8}),
)
DISTILLED = tuple(
    Row(f"lcm_{n}", f"{n} step{'s' * (n > 1)} distilled", {**HALF, "num_inference_steps": 2 * n}) for n in RUN
)


def judged(
    judge: Judge, pictures: Pictures, truth: Mapping[str, np.ndarray], reference: np.ndarray
) -> dict[str, np.ndarray | float]:
    """Shares of right frames by story [S], of each label and of animal and setting together; the Frechet distance to
    the features of true renders, and how far backgrounds change between frames (of 255)."""
    found = verdicts(judge, pictures)
    features = judge.features(pictures.reshape(-1, *pictures.shape[2:])).numpy()
    return {
        "subject": by_story(right_subject(found, dict(truth))),
        **{label: by_story(correct(found[label], truth[label])) for label in truth},
        "frechet": frechet_distance(features, reference),
        "background_change": float(background_change(pictures).mean()),
    }


def as_record(row: Mapping[str, Any], reference: Mapping[str, Any] | None) -> dict[str, Any]:
    """Means with their intervals; of shares also the paired difference to the reference's, where there is one."""
    shares = {name: value for name, value in row.items() if isinstance(value, np.ndarray)}
    record = {name: vars(bootstrap(value)) for name, value in shares.items()}
    record |= {name: value for name, value in row.items() if name not in shares}
    if reference is not None:
        record["difference"] = {name: vars(paired_difference(v, reference[name])) for name, v in shares.items()}
    return record


def turns(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """(round, row) in running order: A B ... B A, over and over."""
    for number in range(rounds):
        yield from ((number, name) for name in (names if number % 2 == 0 else names[::-1]))


def timed(
    engines: Mapping[str, Engine], rows: Mapping[str, Row], stories: Sequence[Sequence[str]], rounds: int
) -> dict[str, Any]:
    """Milliseconds of a frame and of its correction, medians and spread; a story before that of each row is not
    counted. Correction: noise, UNet and the autoencoder's two passes. Processor time of all threads, as a CPU's: other
    work on the machine hardly changes it, and with one thread it is the time on an idle machine."""
    taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for name, row in rows.items():
        engines[name].generate(stories[0][:1], seed=0, **row.options)
    for number, name in turns(list(rows), rounds):
        sentences, options = stories[number % len(stories)], make_options(**rows[name].options)
        taken[name] += processor_ms(engines[name], sentences, number, options)
    corrections = {name: [correction for _, correction in taken[name]] for name in rows}
    return {
        name: {
            "frames": len(taken[name]),
            "ms_a_frame": spread([frame for frame, _ in taken[name]])._asdict(),
            "ms_a_correction": spread(corrections[name])._asdict(),
            "times_quicker": float(np.median(np.divide(corrections[REFERENCE], corrections[name]))),
        }
        for name in rows
    }


def processor_ms(
    engine: Engine, sentences: Sequence[str], seed: int, options: StoryOptions
) -> Iterator[tuple[float, float]]:
    """Processor time of each frame and of its correction."""
    marks: list[tuple[Phase, float]] = []

    def note(_index: int, phase: Phase) -> None:
        marks.append((phase, time.process_time()))

    begun = time.process_time()
    for _ in engine.stream(sentences, seed=seed, options=options, on_phase=note):
        now = time.process_time()
        ends = [*(at for _, at in marks[1:]), now]
        spent = sum(end - at for (phase, at), end in zip(marks, ends, strict=True) if phase is Phase.SDEDIT)
        yield 1e3 * (now - begun), 1e3 * spent
        marks.clear()
        begun = now


@click.command(help="Judge and time few-step corrections; writes storyworld_few_steps_DATE.json.")
@click.option("--bundle", default="storyworld", show_default=True, help="The bundle that was distilled.")
@click.option("--few-steps", default="storyworld-lcm", show_default=True, help="The bundle with the distilled LoRA.")
@click.option("--edition", default=1, show_default=True, help="Edition of the world that the bundles learned.")
@click.option("--judge", "judge_path", type=click.Path(path_type=Path), help="Another judge than the packaged one.")
@click.option("--stories", "count", default=200, show_default=True, help="Held-out stories.")
@click.option("--first-seed", default=100_000, show_default=True, help="First seed of the stories and of their draws.")
@click.option("--rounds", default=6, show_default=True, help="Timed stories of each row.")
@click.option("--rows", "names", default="", help="Comma-separated: draw only these, which needs --draw-only.")
@click.option("--draw-only", is_flag=True, help="Draw the rows; judge and time them by another call.")
@click.option("--batch", default=20, show_default=True)
@click.option("--backend", default="eager", show_default=True)
@click.option("--threads", type=int, help="Threads of torch; all by default.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Directory of drawn rows.")
@click.option("--results", type=click.Path(path_type=Path), help="Directory of the report; OUT by default.")
def evaluate_steps(
    bundle: str, few_steps: str, edition: int, judge_path: Path | None, count: int, first_seed: int, rounds: int,
    names: str, draw_only: bool, batch: int, backend: str, threads: int | None, out: Path, results: Path | None,
) -> None:  # fmt: skip
    if threads is not None:
        torch.set_num_threads(threads)
    make_directory(out)
    rows = {row.name: row for row in (*DDIM, *DISTILLED)}
    if names and not draw_only:
        raise click.UsageError("--rows needs --draw-only: rows are compared with each other")
    wanted = chosen(names, rows, "row")
    bundles = {name: few_steps if rows[name] in DISTILLED else bundle for name in wanted}
    loaded = {name: Engine.from_pretrained(name, backend=backend) for name in dict.fromkeys(bundles.values())}
    engines = {name: loaded[bundles[name]] for name in wanted}
    seeds = range(first_seed, first_seed + count)
    stories = [sample_story(seed, "heldout", edition=edition) for seed in seeds]
    drawn = {name: draw_row(rows[name], engines[name], stories, seeds, out, batch) for name in wanted}
    if draw_only:
        return
    judge, truth = load_judge(judge_path), story_labels(stories)
    features = _renders(judge, seeds, edition, drawn[REFERENCE].shown.shape[2])
    found = {name: judged(judge, pictures.shown, truth, features) for name, pictures in drawn.items()}
    times = timed(engines, rows, [story.sentences for story in stories[:rounds]], rounds)
    record = {
        "what": "few-step corrections of held-out stories",
        "bundle": bundle,
        "few_steps": few_steps,
        "edition": edition,
        "stories": count,
        "frames": len(stories[0].sentences),
        "first_seed": first_seed,
        "settings": {name: engine.settings(make_options()) for name, engine in loaded.items()},
        "time": "processor time",
        "versions": versions(),
        "machine": machine(),
        "rows": {
            name: {
                "title": row.title,
                "options": dict(row.options),
                "start": engines[name].start(make_options(**row.options)),
                "passes": _passes(engines[name], row),
                **as_record(found[name], None if name == REFERENCE else found[REFERENCE]),
                "time": times[name],
            }
            for name, row in rows.items()
        },
    }
    folder = results or out
    make_directory(folder)
    path = folder / f"storyworld_few_steps_{date.today().isoformat()}.json"
    write_json(path, record)
    click.echo(path)


def _renders(judge: Judge, seeds: range, edition: int, size: int) -> np.ndarray:
    """The judge's features of true renders of as many other stories."""
    others = [sample_story(REFERENCE_SEED + seed, "heldout", edition=edition) for seed in seeds]
    renders = np.stack([np.asarray(render(scene, size)) for story in others for scene in story.scenes])
    features: np.ndarray = judge.features(renders).numpy()
    return features


def _passes(engine: Engine, row: Row) -> int:
    """Passes of the UNet a frame: two a step where it is guided."""
    options = make_options(**row.options)
    scale = options.resolved(engine.defaults).correction.guidance_scale
    return int(engine.start(options)["steps_run"]) * (1 if scale == 1 else 2)
