"""Metrics of several sets of stories, as one record: figures, differences of equal stories, what is missing and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .metric import Context, Figure, Metric
from .network import MissingWeights, weights_of
from .sets.story_set import StorySet
from .statistics import paired_interval


@dataclass(frozen=True)
class Missing:
    """A metric that is not measured: ``file`` is what it wants, ``source`` where that comes from."""

    metric: str
    file: str
    source: str


@dataclass(frozen=True)
class Evaluation:
    """``figures`` by set and metric; ``differences`` by set and metric, from the first set."""

    sets: Sequence[StorySet]
    metrics: Sequence[Metric]
    figures: Mapping[str, Mapping[str, Figure]]
    missing: Sequence[Missing] = ()
    differences: Mapping[str, Mapping[str, Mapping[str, float | int | None]]] = field(default_factory=dict)

    @property
    def failures(self) -> list[str]:
        """A line for each story that is not part of the figures."""
        return [line for one in self.sets for line in one.failures]

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "sets": [_described(one) for one in self.sets],
            "metrics": {metric.name: _defined(metric) for metric in self.metrics},
            "figures": {name: {one: asdict(f) for one, f in row.items()} for name, row in self.figures.items()},
            "differences": {name: dict(row) for name, row in self.differences.items()},
            "missing": [asdict(one) for one in self.missing],
        }


def available(metrics: Iterable[Metric], has_reference: bool) -> tuple[list[Metric], list[Missing]]:
    """The metrics that can be measured here, and what the others want."""
    there, missing = [], []
    for metric in metrics:
        try:
            for network in metric.networks:
                network.files()
        except MissingWeights as error:
            missing.append(Missing(metric.name, error.file, error.source))
            continue
        if metric.needs_reference and not has_reference:
            missing.append(Missing(metric.name, "--reference", "give a folder of pictures to compare with"))
        else:
            there.append(metric)
    return there, missing


def evaluate(
    sets: Sequence[StorySet], metrics: Sequence[Metric], context: Context, missing: Sequence[Missing] = ()
) -> Evaluation:
    """Measure every set. ``ValueError`` (one line) for a set without stories and for weights that do not fit.

    Metrics that grow or fall with the number of frames are refused where sets differ in it.
    """
    for one in sets:
        if not one.stories:
            raise ValueError(f"{one.name!r} has no story that can be read: {'; '.join(one.failures)[:500]}")
    figures: dict[str, dict[str, Figure]] = {one.name: {} for one in sets}
    refused = unequal(sets)
    for metric in metrics:
        for one in sets:
            refuse = refused and metric.needs_equal_n
            figures[one.name][metric.name] = metric.nothing(refused) if refuse else metric.measure(one, context)
    first = sets[0]
    differences = {one.name: found for one in sets[1:] if (found := _differences(first, one, figures))}
    return Evaluation(sets, metrics, figures, missing, differences)


def unequal(sets: Sequence[StorySet]) -> str:
    """Why distances of these sets do not compare; empty if they do."""
    counts = {one.name: len(one.pictures) for one in sets}
    if len(set(counts.values())) < 2:
        return ""
    said = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f"refused: it falls with the number of frames, which differs ({said}); evaluate sets of equal size"


def _differences(
    first: StorySet, other: StorySet, figures: Mapping[str, Mapping[str, Figure]]
) -> dict[str, dict[str, float | int | None]]:
    """Paired differences ``other - first`` over the stories that both drew: equal names, texts and lengths."""
    before = {story.name: story for story in first.stories}
    same = [
        story.name
        for story in other.stories
        if (mate := before.get(story.name)) is not None
        and (story.sentences, len(story.pictures)) == (mate.sentences, len(mate.pictures))
    ]
    found: dict[str, dict[str, float | int | None]] = {}
    for name, figure in figures[other.name].items():
        base = figures[first.name][name].by_story
        shared = [story for story in same if story in base and story in figure.by_story]
        if len(shared) > 1:
            over = paired_interval([figure.by_story[s] for s in shared], [base[s] for s in shared])
            found[name] = {**over._asdict(), "stories": len(shared)}
    return found


def _described(one: StorySet) -> dict[str, Any]:
    sources = sorted({story.source for story in one.stories})
    rates = sorted({story.fps for story in one.stories if story.fps is not None})
    return {
        "name": one.name,
        "stories": len(one.stories),
        "frames": len(one.pictures),
        "sources": sources,
        "fps": rates,
        "failures": list(one.failures),
    }


def _defined(metric: Metric) -> dict[str, Any]:
    networks = [
        {"name": one.name, "preprocessing": one.preprocessing, "sha256": weights_of(one)} for one in metric.networks
    ]
    return {"definition": metric.definition, "networks": networks}
