"""Measurements on a GPU: ``python -m acdc.bench.gpu all --minutes 25 --out DIR``, or one of its parts alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ...compile.backends import BACKENDS
from ..choices import chosen
from ..numbers import numbers
from .all import all_parts
from .options import DEVICE, output_options
from .record import Output

COLUMNS = ("kernel", "eager", "library", "inductor")
PASSES = ("eager", "cudagraph")


def backends_chosen(_context: object, _parameter: object, text: str) -> list[str]:
    """A click callback: names of the table of backends."""
    return chosen(text, BACKENDS, "backend")


@click.group()
def gpu() -> None:
    """Measurements that need a GPU; each writes its JSON as it goes."""


gpu.add_command(all_parts)


@gpu.command(short_help="The device: rates, and the cost of a launch.")
@output_options(120.0)
@DEVICE
def device(output: Output, device: str) -> None:
    """Measure the rates that floors are made of."""
    from .device import run

    summary(run(device, output), output)


@gpu.command(short_help="Whole stories by graphs and kernels against plain ones.")
@output_options(480.0)
@click.option("--only", default="", help="Bundles, separated by commas; all by default.")
@DEVICE
def stories(output: Output, only: str, device: str) -> None:
    """Compare the stories of three systems, bit by bit where the kernels are the same."""
    from .stories import SYSTEMS, run

    bundles = chosen(only, [system.bundle for system in SYSTEMS], "bundle")
    found = run([system for system in SYSTEMS if system.bundle in bundles], device, output)
    for row in found["rows"]:
        verdict = "" if "right" not in row else "equal" if row["right"] else "NOT EQUAL"
        figures = f"codes {row['first_codes_equal']:.0%}, levels {row['levels']}" if "levels" in row else said(row)
        click.echo(f"{row['system']:32} {row['way']:24} {verdict:9} {figures}")
    summary(found, output)


@gpu.command(short_help="Every stage on every backend: right, and how fast.")
@output_options(480.0)
@click.option("--bundle", default="storyworld", show_default=True)
@DEVICE
@click.option("--dtype", default="float32", show_default=True)
@click.option("--kernels", default="torch", show_default=True, help="torch: plain; triton: ours.")
@click.option("--attention", default="sdpa", show_default=True, help="The UNet's attention: sdpa, xformers.")
@click.option(
    "--backends", default=",".join(BACKENDS), callback=backends_chosen, help="Separated by commas; all by default."
)
@click.option("--batches", default="1,4,16", show_default=True, callback=numbers, help="Stories side by side.")
def stages(output: Output, bundle: str, backends: list[str], batches: list[int], **how: Any) -> None:
    """Compare every stage x backend with eager and time it; a short table last."""
    from ...engine.engine import Engine
    from .stages import run

    found = run(Engine.from_pretrained(bundle, backend="eager", **how), backends, batches, output)
    for row in found["rows"]:
        click.echo(f"{row['stage']:18} {row['batch']:3}  {row.get('backend', '-'):14} {said(row)}")
    summary(found, output)


@gpu.command(short_help="The time of a pass that draws W codes, at LWM's size.")
@output_options(420.0)
@click.option("--size", type=click.Choice(["lwm-7b", "tiny"]), default="lwm-7b", show_default=True)
@DEVICE
@click.option("--dtype", default="bfloat16", show_default=True)
@click.option("--windows", default="1,2,4,8,16,32,64,128,256", show_default=True, callback=numbers)
def decoding(output: Output, size: str, device: str, dtype: str, windows: list[int]) -> None:
    """Time passes of exact parallel decoding with random weights; a short table last."""
    from .decoding import run

    found = run(size, device, dtype, windows, output)
    for row in found["rows"]:
        times = (f"{name} {said(row[name] | {'floor': row['floor']})}" for name in PASSES if name in row)
        click.echo(f"window {row['window']:4}  {row.get('failed') or '  '.join(times)}")
    summary(found, output)


@gpu.command(short_help="Every Triton kernel: right, and how fast.")
@output_options(480.0)
@click.option("--only", default="", help="Kernels, separated by commas; all by default.")
@DEVICE
@click.option(
    "--columns", default="kernel,eager,library", show_default=True, help="Columns to time; none: right or wrong alone."
)
def kernels(output: Output, only: str, device: str, columns: str) -> None:
    """Compare every kernel with its reference and time both; a short table last."""
    from .kernels import kernel_names, run

    timed = [] if columns == "none" else chosen(columns, COLUMNS, "column")
    found = run(chosen(only, kernel_names(), "kernel"), device, timed, output)
    for row in found["rows"]:
        times = (f"{name} {said(row[name] | {'floor': row['floor']})}" for name in COLUMNS if name in row)
        right = row.get("failed") or ("right" if row["right"] else f"WRONG, {row['error']:.1f} times the tolerance")
        click.echo(f"{row['name']:20} {row['case']:28} {right}  {'  '.join(times)}{moved(row, found['rates'])}")
    summary(found, output)


@gpu.command(short_help="The published systems at full size: every phase with its floor.")
@output_options(480.0)
@click.option("--only", default="", help="Bundles, separated by commas; all by default.")
@click.option("--ways", default="plain,ours", show_default=True, help="Names among plain, ours, int8, fp8.")
@DEVICE
@click.option("--dtype", default="bfloat16", show_default=True)
def systems(output: Output, only: str, ways: str, device: str, dtype: str) -> None:
    """Time every phase of Show-o and LWM with their correctors, of random weights; a short table last.

    plain is eager PyTorch, ours are graphs and kernels, int8 and fp8 the same with the ARM's weights in a byte (lossy).
    """
    from .systems import SYSTEMS, WAYS, run

    bundles = chosen(only, dict.fromkeys(system.bundle for system in SYSTEMS), "bundle")
    rows = [system for system in SYSTEMS if system.bundle in bundles]
    found = run(rows, chosen(ways, WAYS, "way"), device, dtype, output)
    for row in found["rows"]:
        times = (f"{phase} {1e3 * figures['median']:.1f}" for phase, figures in row.get("phases", {}).items())
        click.echo(f"{row['system']:30} {row['way']:6} {row.get('failed') or '  '.join(times)}")
    click.echo("ms a phase")
    summary(found, output)


@gpu.command(short_help="The cost of ACDC over the plain ARM: serial, overlapped, floors.")
@output_options(480.0)
@click.option("--only", default="", help="Bundles, separated by commas; all by default.")
@click.option("--way", default="ours", show_default=True, help="One of plain, ours, int8, fp8, as for systems.")
@DEVICE
@click.option("--dtype", default="bfloat16", show_default=True)
@click.option("--concurrency", default="1,2,8", show_default=True, callback=numbers, help="Stories in flight.")
@click.option("--frames", type=click.IntRange(1, 6), default=3, show_default=True, help="Frames of a story, at most.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Each way runs once a round.")
@click.option("--predict/--no-predict", default=False, show_default=True, help="By the cost model; takes minutes.")
def overhead(
    output: Output,
    only: str,
    way: str,
    device: str,
    dtype: str,
    concurrency: list[int],
    frames: int,
    rounds: int,
    predict: bool,
) -> None:
    """Plain ARM, ACDC serial and ACDC overlapped on the same stories, in turns; a short table last."""
    from .overhead import SYSTEMS, Size, line, run
    from .systems import WAYS

    for n in concurrency:
        if n < 1 or n & (n - 1):
            raise click.BadParameter(
                f"concurrency {n} is not a power of two, as launches are; choose among 1, 2, 4, 8, ..."
            )
    bundles = chosen(only, dict.fromkeys(system.bundle for system in SYSTEMS), "bundle")
    (one,) = chosen(way, WAYS, "way")
    rows = [system for system in SYSTEMS if system.bundle in bundles]
    found = run(rows, one, device, dtype, Size(concurrency, frames, rounds, predict), output)
    for row in found["rows"]:
        click.echo(f"{row['system']:30} n {row['n']:2}  {line(row)}")
    summary(found, output)


def summary(found: Mapping[str, Any], output: Output) -> None:
    """Number of rows, and of those that are left."""
    left = len(found["not_reached"])
    click.echo(f"{len(found['rows'])} rows in {output.path}, {left} not reached in {output.seconds:.0f} s")


def moved(row: Mapping[str, Any], rates: Mapping[str, float]) -> str:
    """Rate at which the kernel moved its bytes, and its share of the rate of copies."""
    if "median" not in row.get("kernel", {}):
        return ""
    rate = row["bytes"] / row["kernel"]["median"]
    return f"  {rate / 1e9:.0f} GB/s, {rate / rates['bandwidth']:.0%} of copies"


def said(row: Mapping[str, Any]) -> str:
    """A row's figures, or why it has none."""
    if "median" not in row:
        return str(row.get("failed") or "; ".join(row["refused"]))
    error = f"  error {row['error']:.1e}" if "error" in row else ""
    replay = "" if row.get("replay", {}).get("passed", True) else "  REPLAYS DIFFER"
    return f"{1e3 * row['median']:8.3f} ms  floor {1e3 * row['floor']:.3f} ms{error}{replay}"


if __name__ == "__main__":
    gpu(prog_name="python -m acdc.bench.gpu")
