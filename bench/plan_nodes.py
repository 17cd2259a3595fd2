"""Time of a plan by kinds of nodes: ``python -m acdc.bench.plan_nodes --out bench/results/plan_nodes_cpu_DATE.json``.

A stage of one story, by default the UNet's pass with both branches of guidance, compiled by OpenVINO with its counters
on, in float32 and in bfloat16, by turns in one process, A B B A.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import openvino

from ..compile.cache import PlanCache
from ..compile.openvino import ir
from ..compile.openvino_ir import FILE, without_gated_mlp, without_gelu_mlp
from ..compile.proof import Proof
from ..compile.spec import StageSpec
from ..engine.engine import Engine
from ..engine.utils.atomic import write_json
from ..engine.utils.versions import versions
from .overhead.cli import machine
from .real_size.measure import turns
from .workloads import stages

PRECISIONS = ("f32", "bf16")


class Compiled:
    """One compiled form of the IR in ``folder``, with inputs of fixed noise."""

    def __init__(self, folder: Path, precision: str, threads: int) -> None:
        core = openvino.Core()
        model = core.read_model(str(folder / FILE))
        if precision == "bf16" and threads == 1:  # as the engine's plans
            without_gated_mlp(model)
            without_gelu_mlp(model)
        options = {
            "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False, "PERF_COUNT": True,
        }  # fmt: skip
        self.precision, self.threads = precision, threads
        self.request = core.compile_model(model, "CPU", options).create_infer_request()
        noise = np.random.default_rng(0)
        for number, port in enumerate(model.inputs):
            values = np.asarray(noise.standard_normal(port.get_shape()))
            self.request.set_input_tensor(number, openvino.Tensor(values.astype(port.get_element_type().to_dtype())))
        self.seconds: list[float] = []
        self.nodes: dict[str, list[float]] = {}
        self.counts: dict[str, int] = {}

    def call(self) -> None:
        """One pass: its time by the clock, and its nodes' by OpenVINO's counters, added up by kind."""
        began = time.perf_counter()
        self.request.infer()
        self.seconds.append(time.perf_counter() - began)
        sums: dict[str, list[float]] = defaultdict(list)
        for node in self.request.profiling_info:
            if taken := node.real_time.total_seconds():
                sums[f"{node.node_type} {node.exec_type}"].append(taken)
        for kind, times in sums.items():
            self.nodes.setdefault(kind, []).append(sum(times))
            self.counts[kind] = len(times)

    def row(self) -> dict[str, Any]:
        """Medians and smallest values over the calls but the first, which makes kernels."""
        seconds = self.seconds[1:]
        kinds = {
            kind: {"nodes": self.counts[kind], "median_ms": 1e3 * median(times[1:] or times)}
            for kind, times in sorted(self.nodes.items(), key=lambda item: -median(item[1]))
        }
        return {
            "precision": self.precision, "threads": self.threads, "median_ms": 1e3 * median(seconds),
            "min_ms": 1e3 * min(seconds), "max_ms": 1e3 * max(seconds), "calls": len(seconds), "kinds": kinds,
        }  # fmt: skip


def measured(folder: Path, precisions: Sequence[str], threads: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """A row for each precision with each number of threads."""
    forms = {f"{name} {count}": Compiled(folder, name, count) for name in precisions for count in threads}
    for order in turns(list(forms), rounds + 1):
        for key in order:
            forms[key].call()
    return [form.row() for form in forms.values()]


def ir_folder(bundle: str, name: str) -> Path:
    """The folder of the IR of a bundle's stage, made where the cache has none. ``ValueError`` for an unknown stage."""
    found = {one.name: one for one in stages(Engine.from_pretrained(bundle, backend="eager"), batch=1)}
    if name not in found:
        raise ValueError(f"unknown stage {name!r}; choose among {', '.join(found)}")
    return ir(Proof(found[name].run, StageSpec.of(name, found[name].inputs)), PlanCache())


@click.command()
@click.option("--bundle", default="storyworld", show_default=True, help="A name or a directory.")
@click.option("--stage", default="unet", show_default=True, help="A stage of the bundle.")
@click.option("--plan", type=click.Path(exists=True, path_type=Path), help="A plan's folder in place of both.")
@click.option("--precisions", default=",".join(PRECISIONS), show_default=True, help="Separated by commas.")
@click.option("--threads", default="1,2", show_default=True, help="Numbers of threads, separated by commas.")
@click.option("--rounds", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file.")
def main(bundle: str, stage: str, plan: Path | None, precisions: str, threads: str, rounds: int, out: Path) -> None:
    """Measure, print the kinds of nodes, and write OUT."""
    names = precisions.split(",")
    for name in names:
        if name not in PRECISIONS:
            raise click.UsageError(f"unknown precision {name!r}; choose among {', '.join(PRECISIONS)}")
    rows = measured(plan or ir_folder(bundle, stage), names, [int(count) for count in threads.split(",")], rounds)
    write_json(
        out, {"versions": versions(), "machine": machine(), "stage": stage if plan is None else "a plan", "rows": rows}
    )
    for row in rows:
        click.echo(f"{row['precision']}, {row['threads']} threads: {row['median_ms']:.2f} ms (min {row['min_ms']:.2f})")
        for kind, found in list(row["kinds"].items())[:8]:
            click.echo(f"  {kind:45} {found['nodes']:4} nodes {found['median_ms']:9.2f} ms")


if __name__ == "__main__":
    main()
