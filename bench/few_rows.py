"""Products of few rows in the ways a CPU has for them: ``python -m acdc.bench.few_rows --out FILE``.

In float32 ``F.linear`` and the engine's turned product (``engine/models/layers/few_rows.py``); in bfloat16 torch's
loops and the product in widened slices (``engine/models/layers/half_precision.py``). By turns, each call with the next
of several weights that no cache holds together, as in a pass over a large model's layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import click
import torch
from torch import Tensor
from torch.nn import functional as F

from ..engine.models.layers import few_rows
from ..engine.models.layers.half_precision import multiply
from ..engine.utils.atomic import write_json
from ..engine.utils.versions import versions
from .choose import Call, by_turns, medians
from .numbers import numbers
from .overhead.cli import machine

SHAPES = ((1024, 1024), (2048, 2048), (5632, 2048), (2048, 5632), (16384, 2048))  # [out, in]; Janus-Pro 1B's are among
ALL_BYTES = 300 << 20  # of the float32 weights that follow one another


def ways(outputs: int, inputs: int, rows: int) -> dict[str, Call]:
    """Name -> a call of one product, each with the next weight."""
    count = max(2, ALL_BYTES // (4 * outputs * inputs))
    draw = torch.Generator().manual_seed(0)
    single = [torch.randn(outputs, inputs, generator=draw) for _ in range(count)]
    half = [weight.bfloat16() for weight in single]
    x, bias = torch.randn(rows, inputs, generator=draw), torch.randn(outputs, generator=draw)
    singles: list[Iterator[Tensor]] = [cycle(single), cycle(single)]
    halves: list[Iterator[Tensor]] = [cycle(half), cycle(half)]
    return {
        "float32": lambda: F.linear(x, next(singles[0]), bias),
        "float32 turned": lambda: few_rows.multiply_turned(x, next(singles[1]), bias),
        "bfloat16": lambda: F.linear(x.bfloat16(), next(halves[0])),
        "bfloat16 widened": lambda: multiply(few_rows.multiply_rows, x.bfloat16(), next(halves[1]), None, -1),
    }


@click.command()
@click.option("--rows", callback=numbers, default="1,2,4,8,16,32,64,128", show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=6, show_default=True, help="Each A B B A.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file.")
def main(rows: list[int], rounds: int, out: Path) -> None:
    """Measure each way at each shape."""
    found = []
    for outputs, inputs in SHAPES:
        for count in rows:
            ms = medians(by_turns(ways(outputs, inputs, count), rounds))
            found.append({"outputs": outputs, "inputs": inputs, "rows": count, "ms": ms})
            said = ", ".join(f"{name} {one['median']:.2f}" for name, one in ms.items())
            click.echo(f"{outputs} x {inputs}, {count} rows: {said} ms")
    where = {**machine(), "threads": torch.get_num_threads(), "turned": few_rows.shares_rows()}
    write_json(out, {"versions": versions(), "machine": where, "rounds": rounds, "products": found})


if __name__ == "__main__":
    main()
