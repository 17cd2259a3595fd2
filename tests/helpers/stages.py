"""Every stage of an engine with inputs that fit it, for tests of backends: few slots, short prompts."""

from collections.abc import Iterator

from torch import Tensor, nn

from acdc.bench import workloads
from acdc.engine.engine import Engine


def stages(engine: Engine, batch: int) -> Iterator[tuple[str, nn.Module, list[Tensor]]]:
    """(name, module, inputs) of every stage that a backend may take over."""
    yield from workloads.stages(engine, batch, slots=12, text_tokens=7)


def stage(engine: Engine, name: str, batch: int) -> tuple[nn.Module, list[Tensor]]:
    """The module and inputs of one stage."""
    return next((run, inputs) for found, run, inputs in stages(engine, batch) if found == name)
