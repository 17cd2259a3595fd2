"""A published system at full size, of noise, draws and corrects a frame: ``python -m acdc.bench.full_size --out FILE``.

It shows that the system fits and runs, with the seconds of each phase and the process's peak memory. Steps are few by
default, since a CPU takes minutes for each; ``bench.gpu systems`` measures on a GPU.
"""

from __future__ import annotations

import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any

import click
import torch

from ..engine.engine import Engine
from ..engine.loading.bundle import parse_device, parse_dtype
from ..engine.models.layers.half_precision import emulated
from ..engine.utils.atomic import write_json
from ..engine.utils.versions import versions

SENTENCE = "Benny the beagle sat in a vibrant garden."


def peak_bytes() -> int:
    """The process's high-water mark of resident memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@click.command()
@click.option("--bundle", default="show-o+sd15", show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--dtype", default="bfloat16", show_default=True)
@click.option("--arm-steps", type=int, help="MaskGIT steps, where the ARM takes such.")
@click.option("--steps", default=2, show_default=True, help="N: DDIM steps, of which half are run.")
@click.option("--size", default=256, show_default=True, help="Pixels a side at which the frame is corrected.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file.")
def main(bundle: str, device: str, dtype: str, arm_steps: int | None, steps: int, size: int, out: Path) -> None:
    """Make the system, draw a frame and correct it."""
    began = time.perf_counter()
    engine = Engine.from_pretrained(bundle, random_weights=True, device=device, dtype=dtype, backend="eager")
    made = time.perf_counter() - began
    click.echo(f"made in {made:.0f} s, {peak_bytes() / 2**30:.1f} GiB", err=True)
    options: dict[str, Any] = {"num_inference_steps": steps, "correction_size": size}
    if arm_steps is not None:
        options["arm_steps"] = arm_steps
    story = engine.generate([SENTENCE], **options)
    (frame,) = story.frames
    widened = emulated(parse_device(device), parse_dtype(dtype))
    machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    found: dict[str, Any] = {
        "settings": dict(story.settings),
        "versions": versions(),
        "machine": {**machine, "widened": widened},  # to float32 for products, where units for the dtype are missing
        "seconds": {"made": made, **{phase: ms / 1e3 for phase, ms in frame.phases_ms.items()}},
        "peak_bytes": peak_bytes(),
        "changed_codes": sum(one != other for one, other in zip(frame.codes, frame.draft_codes, strict=True)),
        "codes": len(frame.codes),
    }
    write_json(out, found)
    times = "  ".join(f"{name} {seconds:.1f}" for name, seconds in found["seconds"].items())
    click.echo(f"{times} s, {found['peak_bytes'] / 2**30:.1f} GiB at most; {out}")


if __name__ == "__main__":
    main()
