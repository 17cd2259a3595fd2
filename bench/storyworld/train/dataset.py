"""Renders stories to memory maps: ``python -m acdc.bench.storyworld.train.dataset --stories 1000 --out DIR``."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....engine.memory.rules import Rules
from ..draw.coats import PALETTES
from ..draw.scene import render
from ..world.grammar import SPLITS, sample_story
from ..world.kinds import (
    ACTIONS,
    ANIMALS,
    COATS,
    FACE_MARKS,
    PROPS,
    SETTINGS,
    TIMES,
    TRUNK_MARKS,
    Individual,
    Scene,
    check_edition,
)

LABELS = ("animal", "setting", "action", "prop", "time", "facing")
TRAITS = ("red", "green", "blue", "size", "leg", "ear", "body", "trunk", "face")
CHUNK = 32  # stories a task


@dataclass(frozen=True)
class Job:
    """Stories ``start`` to ``stop`` of a data set; story i is drawn from seed ``first_seed + i``."""

    start: int
    stop: int
    first_seed: int
    split: str
    length: int
    size: int
    edition: int
    frames: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Dataset:
    """frames uint8 [N, F, H, W, 3] and labels int64 [N, F, 6] as read-only memory maps, and the texts."""

    frames: np.ndarray
    labels: np.ndarray
    sentences: list[list[str]]
    refined: list[list[str]]
    names: list[str]


def scene_labels(scene: Scene) -> tuple[int, ...]:
    """Class numbers in the order of ``LABELS``; facing is 1 for the right."""
    return (
        ANIMALS.index(scene.who.animal), SETTINGS.index(scene.setting), ACTIONS.index(scene.action),
        PROPS.index(scene.prop), TIMES.index(scene.time), int(scene.facing > 0),
    )  # fmt: skip


def individual_traits(who: Individual) -> tuple[float, ...]:
    """Traits of an individual that no sentence names, in the order of ``TRAITS``.

    Its coat's main colour by day in 0..1, its build factors, and the class numbers of its markings.
    """
    main = PALETTES[COATS[who.animal][who.coat]].main
    colour = (min(1.0, max(0.0, c / 255 + t)) for c, t in zip(main, who.tint, strict=True))
    return (*colour, *who.build, TRUNK_MARKS.index(who.trunk), FACE_MARKS.index(who.face))


def build_dataset(
    out: Path,
    stories: int,
    split: str = "train",
    workers: int = 1,
    first_seed: int = 0,
    length: int = 6,
    size: int = 128,
    edition: int = 1,
) -> None:
    """Write frames.npy, labels.npy, individuals.npy and texts.json; each appears under its name only when complete.

    individuals.npy is float32 [N, 9]: of each story's animal, what `individual_traits` says.

    Raises:
        ValueError: fewer than one story or worker, or an unknown split or edition.
    """
    check_edition(edition)
    if stories < 1 or workers < 1 or split not in SPLITS:
        raise ValueError(
            f"need stories >= 1, workers >= 1 and a split of {', '.join(SPLITS)}; got {stories}, {workers}, {split!r}"
        )
    out.mkdir(parents=True, exist_ok=True)
    part = out / "frames.npy.part"
    shape = (stories, length, size, size, 3)
    np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape).flush()
    jobs = [
        Job(i, min(i + CHUNK, stories), first_seed, split, length, size, edition, str(part), shape)
        for i in range(0, stories, CHUNK)
    ]
    labels = np.zeros((stories, length, len(LABELS)), dtype=np.int64)
    individuals = np.zeros((stories, len(TRAITS)), dtype=np.float32)
    sentences: list[list[str]] = []
    refined: list[list[str]] = []
    names: list[str] = []
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for job, (chunk, traits, texts, rewrites, called) in zip(jobs, pool.imap(_render_job, jobs), strict=True):
            labels[job.start : job.stop] = chunk
            individuals[job.start : job.stop] = traits
            sentences += texts
            refined += rewrites
            names += called
    for name, array in (("labels", labels), ("individuals", individuals)):
        with open(out / f"{name}.npy.part", "wb") as file:
            np.save(file, array)
    (out / "texts.json.part").write_text(
        json.dumps({"sentences": sentences, "refined": refined, "names": names}), encoding="utf-8"
    )
    for name in ("frames.npy", "labels.npy", "individuals.npy", "texts.json"):
        os.replace(out / f"{name}.part", out / name)


def load_dataset(directory: str | Path) -> Dataset:
    """Open a data set written by `build_dataset`; a missing file is a ``ValueError``."""
    folder = Path(directory)
    missing = [name for name in ("frames.npy", "labels.npy", "texts.json") if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"no data set in {folder}: missing {', '.join(missing)}")
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    return Dataset(
        np.load(folder / "frames.npy", mmap_mode="r"), np.load(folder / "labels.npy", mmap_mode="r"),
        texts["sentences"], texts["refined"], texts["names"],
    )  # fmt: skip


def _render_job(job: Job) -> tuple[np.ndarray, np.ndarray, list[list[str]], list[list[str]], list[str]]:
    frames = np.lib.format.open_memmap(job.frames, mode="r+")
    labels = np.zeros((job.stop - job.start, job.length, len(LABELS)), dtype=np.int64)
    traits = np.zeros((job.stop - job.start, len(TRAITS)), dtype=np.float32)
    memory = Rules()
    sentences, refined, names = [], [], []
    for row, i in enumerate(range(job.start, job.stop)):
        story = sample_story(job.first_seed + i, job.split, job.length, job.edition)
        traits[row] = individual_traits(story.scenes[0].who)
        for k, scene in enumerate(story.scenes):
            frames[i, k] = np.asarray(render(scene, job.size))
            labels[row, k] = scene_labels(scene)
        sentences.append(list(story.sentences))
        refined.append(memory.refine_story(story.sentences))
        names.append(story.name)
    frames.flush()
    return labels, traits, sentences, refined, names


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stories", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--length", type=int, default=6)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--edition", type=int, default=1, help="of the world")
    args = parser.parse_args()
    build_dataset(
        args.out, args.stories, args.split, args.workers, args.first_seed, args.length, args.size, args.edition
    )


if __name__ == "__main__":
    main()
