"""Faults of a stage that would show in its capture as a CUDA graph, found without a GPU.

A graph replays kernels with the addresses and numbers of the day of its capture. So a stage must not read a tensor on
the host, take a shape from data, make a tensor of host data or on another device, draw from a hidden generator, or
do something else at each call. The stage is traced to ATen operators, twice over fake tensors and once on the meta
device, where a tensor on another device than the stage's shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._guards import TracingContext, tracing
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._pytree import tree_leaves

from .spec import StageSpec

META = "meta"


def capture_hazards(run: nn.Module, spec: StageSpec) -> list[str]:
    """Every hazard that the traces of ``run`` at ``spec`` show, one line each; an empty list = safe to capture."""
    hazards, traces = [], []
    for device in (spec.device, spec.device, META):
        try:
            graph = trace(run, spec, device)
        except Exception as error:  # whatever the stage raises where no data can be read
            said = str(error).strip().splitlines() or [""]
            hazards.append(f"cannot be traced on {device}: {type(error).__name__}: {said[0]}")
        else:
            hazards += graph_hazards(graph, device)
            traces.append(str(graph))
    if traces[:2] and traces[0] != traces[1]:
        hazards.append("does something else at the second call")
    return list(dict.fromkeys(hazards))


def trace(run: nn.Module, spec: StageSpec, device: str) -> fx.Graph:
    """The ATen operators of ``run``; its weights and buffers are inputs of the graph, no number is computed.

    On the meta device the tensors are plain ones, elsewhere fake ones. Raises what the stage raises.
    """
    fake = FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv())
    # make_fx notes every result's shape in a fake mode, and would make a mode for each result if it found none.
    mode = tracing(TracingContext(fake)) if device == META else fake
    with torch.no_grad(), mode:
        state = {name: torch.empty_like(value, device=device) for name, value in _state(run)}
        inputs = tuple(torch.empty(given.shape, dtype=given.dtype, device=device) for given in spec.inputs)
        return make_fx(lambda *given: functional_call(run, *given))(state, inputs).graph


def graph_hazards(graph: fx.Graph, device: str) -> Iterator[str]:
    """The hazards of one trace on ``device``."""
    for node in graph.nodes:
        if node.op == "get_attr":
            yield "uses a tensor that is not an input, a weight or a buffer, such as one made of host data"
        elif isinstance(node.target, OpOverload):
            yield from (f"{reason} ({node.target})" for reason in _reasons(node, torch.device(device)))


def _reasons(node: fx.Node, device: torch.device) -> Iterator[str]:
    assert isinstance(node.target, OpOverload)
    tags = node.target.tags
    results = [value for value in tree_leaves(node.meta["val"]) if isinstance(value, Tensor)]
    if torch.Tag.data_dependent_output in tags:
        yield "reads a tensor on the host"
    if any(isinstance(size, torch.SymInt) for value in results for size in value.shape):
        yield "takes a shape from data"  # the inputs' shapes are numbers
    if torch.Tag.nondeterministic_seeded in tags and _argument(node, "dropout_p") != 0:
        yield "draws random numbers"
    if any(value.device.type != device.type for value in results):
        yield "makes a tensor on another device"


def _argument(node: fx.Node, name: str) -> Any:
    """The value of an argument of the node's operator, given or by default; None if it has none of this name."""
    assert isinstance(node.target, OpOverload)
    for position, argument in enumerate(node.target._schema.arguments):
        if argument.name == name:
            given = node.args[position] if position < len(node.args) else argument.default_value
            return node.kwargs.get(name, given)
    return None


def _state(run: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from run.named_parameters()
    yield from run.named_buffers()
