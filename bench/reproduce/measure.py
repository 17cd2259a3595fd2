"""Measure the rows of a table: the paper's metrics where their weights are there, others in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..quality.evaluate import Evaluation, Missing, available, evaluate
from ..quality.extractor import Extractor
from ..quality.metric import Context, Metric
from ..quality.metrics.registry import METRICS, Choices, make_metrics
from ..quality.progress import make_progress
from ..quality.reference import Reference, find_reference
from ..quality.row_cache import RowCache
from ..quality.run import CACHE, check_device
from ..quality.sets.read_sets import read_sets
from ..quality.sets.story_set import StorySet
from .judge_network import judge_metrics
from .tables import Table

JUDGED = "storyworld"  # bundles whose pictures the judge knows: their names begin so


@dataclass(frozen=True)
class Measuring:
    """``models`` is the folder of weights, ``reference`` a folder or a file of statistics, ``device`` the networks'."""

    models: Path | None = None
    reference: Path | None = None
    device: str = "cpu"


def choose_metrics(
    table: Table, models: Path | None, reference: Reference, bundle: str
) -> tuple[list[Metric], list[Missing]]:
    """For each column the first of its candidates that can be measured; and what the better ones want."""
    choices = Choices(models, statistics=reference.statistics)
    own = judge_metrics() if bundle.startswith(JUDGED) else {}
    chosen: list[Metric] = []
    missing: list[Missing] = []
    for column in table.columns:
        for name in column.candidates:
            if name not in METRICS and name not in own:
                continue
            metric = own[name] if name in own else make_metrics([name], choices)[0]
            there, wanted = available([metric], reference.folder is not None)
            missing += wanted
            if there:
                chosen += there
                break
    return chosen, list(dict.fromkeys(missing))


def by_name(one: StorySet) -> StorySet:
    """The stories in the order of their names: a manifest has them in the order in which they ended, and sums over
    stories, and what is drawn again of them, would depend on it."""
    return replace(one, stories=tuple(sorted(one.stories, key=lambda story: story.name)))


def measure(folders: Sequence[Path], table: Table, measuring: Measuring, bundle: str, out: Path) -> Evaluation:
    """Figures of every row's folder. ``ValueError`` (one line) for a folder or reference that does not fit."""
    reference = find_reference(measuring.reference)
    metrics, missing = choose_metrics(table, measuring.models, reference, bundle)
    device, progress = check_device(measuring.device), make_progress()
    with RowCache(out / CACHE) as cache:
        sets = [by_name(one) for one in read_sets(folders, cache, progress)]
        context = Context(Extractor(cache, device, progress), reference.read(cache, progress))
        return evaluate(sets, metrics, context, missing)
