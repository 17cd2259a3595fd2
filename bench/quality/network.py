"""A network of metrics: the files that its authors publish, and one row of numbers for each input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...engine.utils.file_digest import file_digest

Compute = Callable[[Sequence[Any]], NDArray[np.float32]]  # inputs of n items -> [n, D]


class MissingWeights(ValueError):
    """A network's file is not there. ``file`` is its name under --models, ``source`` says where it comes from."""

    def __init__(self, file: str, source: str) -> None:
        super().__init__(f"{file} is missing; {source}")
        self.file, self.source = file, source


class Network(ABC):
    """Computes one row of numbers for each item. ``name`` and ``preprocessing`` are printed with every figure;
    ``batch`` items are computed together; ``models`` is the folder of published weights."""

    name: str
    preprocessing: str
    batch: int

    def __init__(self, models: Path | None = None) -> None:
        self.models = models

    @abstractmethod
    def files(self) -> Mapping[str, Path]:
        """Weights by the name that their authors gave them; :class:`MissingWeights` where one is not there."""

    @abstractmethod
    def load(self, device: torch.device) -> Compute:
        """The network in float32 on its device; ``ValueError`` (one line: file, key) for weights that do not fit."""


def weights_of(network: Network) -> dict[str, str]:
    """SHA-256 of each file of a network."""
    return {name: file_digest(path) for name, path in network.files().items()}
