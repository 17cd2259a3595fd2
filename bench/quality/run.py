"""A run of ``acdc evaluate``: folders, networks, one file of figures, one of rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...compile.installed import installed
from ...engine.cli.inputs import set_threads
from ...engine.runtime.float32 import exact_float32
from ...engine.utils.atomic import write_json
from ...engine.utils.streams import report
from ...engine.utils.versions import versions
from .evaluate import Evaluation, Missing, available, evaluate
from .extractor import Extractor
from .frechet import moments
from .metric import Context, Metric
from .metrics.registry import Choices, make_metrics
from .network import Network, weights_of
from .networks.inception_features import InceptionFeatures
from .page import missing_lines, print_evaluation
from .progress import make_progress
from .reference import find_reference
from .row_cache import RowCache
from .sets.read_sets import read_sets
from .sets.story_set import Resize, StorySet, Text
from .statistics_file import Statistics, write_statistics

CACHE = ".rows.sqlite3"


@dataclass(frozen=True)
class Asked:
    """Requests of the command line; its options of these names explain them. ``metrics`` None: all that are there."""

    folders: Sequence[Path]
    metrics: list[str] | None = None
    models: Path | None = None
    reference: Path | None = None
    text: Text = "sentence"
    clip: str = "vit-b-32"
    resize: Resize = "classic"
    statistics: Path | None = None
    drafts: bool = False
    single: bool = False
    device: str = "cpu"
    threads: int | None = None


def run_evaluation(asked: Asked, target: Path, as_json: bool = False) -> bool:
    """Measure, write ``target``, print. False where a story was left out, or a metric that was named lacks weights.

    ``ValueError`` (one line) before any network is loaded where a folder, a metric or a reference does not fit.
    """
    device = check_device(asked.device)
    set_threads(asked.threads)
    source = find_reference(asked.reference)
    metrics = make_metrics(asked.metrics, Choices(asked.models, asked.clip, asked.resize, source.statistics))
    there, missing = available(metrics, source.folder is not None)
    check_available(there, missing)
    if asked.statistics is not None:
        InceptionFeatures(asked.models, asked.resize).files()  # before the work, not after it
    progress = make_progress()
    kept = target.with_name(f"{target.stem}{CACHE}")
    with resumable(kept), RowCache(kept) as cache:
        sets = read_sets(asked.folders, cache, progress, asked.drafts, asked.single)
        reference = source.read(cache, progress, asked.single)
        context = Context(Extractor(cache, device, progress), reference, asked.text)
        found = evaluate(sets, there, context, missing)
        if asked.statistics is not None:
            network = InceptionFeatures(asked.models, asked.resize)
            write_statistics(asked.statistics, statistics_of(sets[0], network, context))
    record = {**found.record(), "reference": described(asked, reference), "settings": settings(asked, device)}
    record["versions"] = library_versions()
    write_json(target, record)
    show(found, record, target, as_json)
    return not (found.failures or (asked.metrics is not None and missing))


@contextmanager
def resumable(kept: Path) -> Iterator[None]:
    """Ctrl-C within says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; the same command continues from {kept}") from None


def statistics_of(stories: StorySet, network: Network, context: Context) -> Statistics:
    """Mean and covariance of a set's frames."""
    (weights,) = weights_of(network).values()
    rows = np.concatenate(context.frame_rows(network, stories.stories))
    return Statistics(moments(rows), network.preprocessing, weights)


def check_device(name: str) -> torch.device:
    """``ValueError`` for a device that is not there."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"device {name!r} cannot be used ({why}); choose cpu, cuda or cuda:N") from None
    exact_float32(device)
    return device


def check_available(there: Sequence[Metric], missing: Sequence[Missing]) -> None:
    """``ValueError`` where nothing is left to measure."""
    if not there:
        raise ValueError(f"no metric can be measured here; {'; '.join(missing_lines(missing))}")


def described(asked: Asked, reference: StorySet | None) -> dict[str, Any] | None:
    """The reference, as the record has it."""
    if asked.reference is None:
        return None
    counts = {} if reference is None else {"stories": len(reference.stories), "frames": len(reference.pictures)}
    failures = {} if reference is None else {"failures": list(reference.failures)}
    return {"name": str(asked.reference), **counts, **failures}


def settings(asked: Asked, device: torch.device) -> dict[str, Any]:
    """Settings that figures depend on."""
    chosen = {"text": asked.text, "clip": asked.clip, "resize": asked.resize}
    return {**chosen, "drafts": asked.drafts, "single": asked.single, "device": str(device), "dtype": "float32"}


def library_versions() -> dict[str, str]:
    """Versions of everything that computes."""
    found = versions()
    others = {name: installed(name) for name in ("transformers", "av")}
    return found | {name: text for name, text in others.items() if text is not None}


def show(found: Evaluation, record: dict[str, Any], target: Path, as_json: bool) -> None:
    """Print the record or the table; the file is there already."""
    if as_json:
        report(json.dumps(record, indent=1, ensure_ascii=False))
    else:
        print_evaluation(found)
        report(f"{target}: all figures")
