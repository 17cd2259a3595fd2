"""Needs of a frame's phases, counted by its layers while it is drawn: the weights that are read and multiplied.

A linear layer and a convolution read their weights at every call, and multiply each by every row or pixel of what they
make. Attention, norms, activations and the caches are left out, so what is counted is a little below what is needed. It
costs microseconds a call, where a counter of operators costs as much as the operators of a small pass.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ..engine.models.layers.fused import Fused
from ..engine.models.layers.quantized import QuantizedLinear
from ..engine.outputs import Phase
from .overhead.floors import weight_bytes
from .roofline import Cost, Machine


class LayerNeeds:
    """Counts by phase; :meth:`begin` is for ``on_phase``."""

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        self.networks, self.phase = list(networks), Phase.MEMORY
        self.flops: dict[Phase, int] = defaultdict(int)
        self.bytes: dict[Phase, int] = defaultdict(int)

    def begin(self, index: int, phase: Phase) -> None:
        """A phase of frame ``index`` begins."""
        self.phase = phase

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count within."""
        layers = {layer for network in self.networks for layer in network.modules() if is_product(layer)}
        hooks = [layer.register_forward_hook(self._note) for layer in layers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _note(self, layer: nn.Module, _inputs: Any, output: Tensor | tuple[Tensor, ...]) -> None:
        weight: Any = layer.weight
        first = output[0] if isinstance(output, tuple) else output
        channels = first.shape[1 if isinstance(layer, nn.Conv2d) else -1]
        self.flops[self.phase] += 2 * weight.numel() * (first.numel() // channels)
        self.bytes[self.phase] += weight_bytes(layer) or weight.nbytes

    def shares(self, seconds: Mapping[str, float], machine: Machine) -> dict[str, dict[str, float]]:
        """Operations and bytes of each phase that has layers, the least seconds that they take on ``machine``, and
        these as a share of the ``seconds`` that it took."""
        found = {}
        for phase, flops in self.flops.items():
            cost, taken = Cost(flops, self.bytes[phase]), seconds.get(phase.value, 0.0)
            floor = cost.floor(machine)
            found[phase.value] = {**cost._asdict(), "floor": floor, "share": floor / taken if taken else 0.0}
        return found


def is_product(layer: nn.Module) -> bool:
    """A linear layer, several as one, or a convolution of two dimensions."""
    return isinstance(layer, nn.Linear | nn.Conv2d | Fused | QuantizedLinear)
