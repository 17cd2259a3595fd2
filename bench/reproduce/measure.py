"""Measure the rows of a table: the paper's metrics where their weights are there, others in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..quality.evaluate import Evaluation, Missing, available, evaluate
from ..quality.looker import Looker
from ..quality.metric import Context, Metric
from ..quality.metrics.registry import METRICS, Choices, make_metrics
from ..quality.progress import make_progress
from ..quality.row_cache import RowCache
from ..quality.run import check_device, read_sets
from ..quality.sets.story_set import StorySet
from ..quality.statistics_file import SUFFIX, Statistics, read_statistics
from .judge_network import judge_metrics
from .tables import Column, Table

JUDGED = "storyworld"  # bundles whose pictures the judge knows: their names begin so
CACHE = ".rows.sqlite3"


@dataclass(frozen=True)
class Measuring:
    """``models`` is the folder of weights, ``reference`` a folder or a file of statistics, ``device`` the networks'."""

    models: Path | None = None
    reference: Path | None = None
    device: str = "cpu"

    def statistics(self) -> Statistics | None:
        """The reference's statistics, where it is a file of them."""
        given = self.reference is not None and self.reference.suffix == SUFFIX
        return read_statistics(self.reference) if given and self.reference is not None else None


def choose_metrics(table: Table, measuring: Measuring, bundle: str) -> tuple[list[Metric], list[Missing]]:
    """For each column the first of its candidates that can be measured; and what the better ones want."""
    statistics = measuring.statistics()
    has_pictures = measuring.reference is not None and statistics is None
    own = judge_metrics() if bundle.startswith(JUDGED) else {}
    chosen: list[Metric] = []
    missing: list[Missing] = []
    for column in table.columns:
        for name in column.candidates:
            if name not in METRICS and name not in own:
                continue
            choices = Choices(measuring.models, statistics=statistics)
            metric = own[name] if name in own else make_metrics([name], choices)[0]
            there, wanted = available([metric], has_pictures)
            missing += wanted
            if there:
                chosen += there
                break
    return chosen, list(dict.fromkeys(missing))


def chosen_of(column: Column, metrics: Sequence[Metric]) -> str | None:
    """The metric that fills a column; None where none does."""
    names = {metric.name for metric in metrics}
    return next((name for name in column.candidates if name in names), None)


def by_name(one: StorySet) -> StorySet:
    """The stories in the order of their names: a manifest has them in the order in which they ended, and sums over
    stories, and what is drawn again of them, would depend on it."""
    return replace(one, stories=tuple(sorted(one.stories, key=lambda story: story.name)))


def measure(folders: Sequence[Path], table: Table, measuring: Measuring, bundle: str, out: Path) -> Evaluation:
    """Figures of every row's folder. ``ValueError`` (one line) for a folder or reference that does not fit."""
    metrics, missing = choose_metrics(table, measuring, bundle)
    device, progress = check_device(measuring.device), make_progress()
    with RowCache(out / CACHE) as cache:
        sets = [by_name(one) for one in read_sets(folders, cache, progress)]
        reference = None
        if measuring.reference is not None and measuring.statistics() is None:
            (reference,) = read_sets([measuring.reference], cache, progress)
        return evaluate(sets, metrics, Context(Looker(cache, device, progress), reference), missing)
