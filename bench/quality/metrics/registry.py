"""Metrics by the names that ``--metrics`` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..metric import Metric
from ..networks.efficientnet import EfficientNetFeatures
from ..statistics_file import Statistics
from .consistency import Consistency
from .distances import Frechet


@dataclass(frozen=True)
class Choices:
    """Settings that decide which networks metrics look through; ``statistics`` are a reference's."""

    models: Path | None = None
    statistics: Statistics | None = None


def _efflite_consistency(choices: Choices) -> Metric:
    definition = "mean cosine of neighbouring frames by EfficientNet-Lite0, not by CLIP"
    return Consistency("consistency-efflite0", definition, EfficientNetFeatures(choices.models))


def _efflite_distance(choices: Choices) -> Metric:
    definition = "Frechet distance by EfficientNet-Lite0, not FID"
    return Frechet("fd-efflite0", definition, EfficientNetFeatures(choices.models))


METRICS: Mapping[str, Callable[[Choices], Metric]] = {
    "consistency-efflite0": _efflite_consistency,
    "fd-efflite0": _efflite_distance,
}


def make_metrics(names: list[str] | None, choices: Choices) -> list[Metric]:
    """These metrics in this order, or all; ``ValueError`` for an unknown name."""
    for name in names or ():
        if name not in METRICS:
            raise ValueError(f"unknown metric {name!r}; choose among {', '.join(METRICS)}")
    return [METRICS[name](choices) for name in (names or METRICS)]
