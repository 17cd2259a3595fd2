"""Count the codes that rounding alone changes: ``python -m acdc.bench.decoding.flips --out FLIPS.json``.

A pass of W rows sums in another order than a pass of one, so where two codes are nearly tied the other may win. All
codes after it then belong to another frame, so what counts is how many frames part at all, and after how many codes
that followed the same ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from ...engine.engine import Engine
from ...engine.utils.atomic import write_json
from ...engine.utils.versions import versions
from .frames import starts


def parted(one: Tensor, other: Tensor) -> tuple[int, int]:
    """Frames [B, n] that part, and the codes that followed the same ones (a frame's up to its first flip)."""
    differs = one != other
    flips = differs.any(1)
    compared = torch.where(flips, differs.long().argmax(1) + 1, one.shape[1])
    return int(flips.sum()), int(compared.sum())


@torch.inference_mode()
def count(engine: Engine, stories: int, frames: int, window: int) -> dict[str, Any]:
    """Windows of ``window`` codes against one code a pass, over all frames of that many stories."""
    flips = compared = 0
    for story in range(stories):
        for start in starts(engine, 1, frames, first=100_000 + story):
            one, many = (start.draw(start.previous, (width,))[0] for width in (1, window))
            found = parted(one, many)
            flips, compared = flips + found[0], compared + found[1]
    return {"dtype": engine.dtype, "window": window, "frames": stories * frames, "flips": flips, "codes": compared}


@click.command()
@click.option("--stories", default=20, show_default=True)
@click.option("--frames", default=6, show_default=True)
@click.option("--windows", default="8,16", show_default=True)
@click.option("--dtypes", default="bfloat16,float32", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file.")
def main(stories: int, frames: int, windows: str, dtypes: str, out: Path) -> None:
    """Count the embedded bundle's frames that a wider pass changes."""
    rows = []
    for dtype in dtypes.split(","):
        engine = Engine.from_pretrained("storyworld", dtype=dtype, backend="eager")
        rows += [count(engine, stories, frames, int(window)) for window in windows.split(",")]
        write_json(out, {"stories": stories, "frames": frames, "versions": versions(), "rows": rows})
    for row in rows:
        click.echo(
            f"{row['dtype']:9} window {row['window']:3}: {row['flips']} of {row['frames']} frames part, "
            f"{row['codes']} codes followed the same ones"
        )


if __name__ == "__main__":
    main()
