"""Sources of first guesses, and the passes that each takes: ``python -m acdc.bench.decoding.drafts``.

A draft is known before the first pass. A *redraft* says something new after every pass about the slots that none has
computed yet: copies of codes nearby, which a narrow window leaves time for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import click
import torch
from torch import Tensor

from ...engine.engine import Engine
from ...engine.models.decode import DecodeState, Pass, draw
from ...engine.utils.atomic import write_json
from ...engine.utils.versions import versions
from .frames import POLICY, Start, starts

Redraft = Callable[[Tensor, int, Start], None]  # (codes [n + W], the first slot never computed, the frame)


@dataclass
class Redrafting(DecodeState):
    """A drawing of one story whose untouched slots are guessed again after every pass."""

    redraft: Redraft | None = None
    start: Start | None = None
    computed: int = 1

    def run(self, draw: Pass) -> None:
        """One pass, then new guesses."""
        assert self.redraft is not None
        assert self.start is not None
        reach = int(self.accepted[0]) + draw.window  # type: ignore[attr-defined]
        super().run(draw)
        self.computed = max(self.computed, reach)
        self.redraft(self.codes[0], self.computed, self.start)


def copy_left(codes: Tensor, first: int, start: Start) -> None:
    """Every slot is guessed to be what its left neighbour is."""
    codes[first:] = codes[first - 1]


def copy_above(codes: Tensor, first: int, start: Start) -> None:
    """The guess for a slot is the code above it (the codes of a frame are a square)."""
    side = int(start.session.arm.stream.codes_per_frame**0.5)
    for slot in range(max(first, side), len(codes)):
        codes[slot] = codes[slot - side]


def copy_above_where_it_moved(codes: Tensor, first: int, start: Start) -> None:
    """A guess for two rows at once (PJD's windows, arXiv 2606.05703, but verified): the code of the frame before where
    the code above is that frame's too, else the code above."""
    side = int(start.session.arm.stream.codes_per_frame**0.5)
    before = None if start.previous is None else start.previous[0]
    for slot in range(max(first, side), len(codes)):
        above = codes[slot - side]
        still = before is not None and slot < len(before) and bool(above == before[slot - side])
        codes[slot] = before[slot] if still and before is not None else above


def from_table(codes: Tensor, first: int, start: Start) -> None:
    """The guess is the code that last followed the left neighbour's code in the previous frame."""
    if start.previous is None:
        return
    row = start.previous[0].tolist()
    follows = dict(itertools.pairwise(row))
    for slot in range(first, len(codes)):
        codes[slot] = follows.get(int(codes[slot - 1]), int(codes[slot]))


def count_passes(start: Start, draft: Tensor | None, window: int, redraft: Redraft | None) -> int:
    """Passes of the frame; ``draft`` as in ``ArmSession.generate``."""
    if redraft is None:
        return start.draw(draft, (window,))[1]
    session, arm = start.session.fork(), start.session.arm
    params = replace(POLICY, allowed=(0, arm.stream.codebook_size))
    plain = session.drawing(params, start.keys, draft, window)
    drawing = Redrafting(plain.params, plain.codes, plain.accepted, plain.noise, plain.cache, redraft, start)
    redraft(drawing.codes[0], 1, start)
    return draw(drawing, partial(arm.draw_pass, params), arm.stream.codes_per_frame, (window,))


def drafts(start: Start, drawn_before: Tensor | None) -> Iterator[tuple[str, Tensor | None, Redraft | None]]:
    """(name, draft, redraft) of every source; a frame before is missing at the first frame."""
    stream = start.session.arm.stream
    generator = torch.Generator().manual_seed(len(start.before))
    yield "corrected frame before", start.previous, None
    yield "draft before", drawn_before, None
    yield "logits of the first code", None, None
    yield "left neighbour", start.previous, copy_left
    yield "neighbour above", start.previous, copy_above
    yield "above where it moved", start.previous, copy_above_where_it_moved
    yield "pairs of the frame before", start.previous, from_table
    yield "random", torch.randint(stream.codebook_size, (1, stream.codes_per_frame), generator=generator), None


@torch.inference_mode()
def ablation(engine: Engine, stories: int, frames: int, windows: Sequence[int]) -> list[dict[str, Any]]:
    """Mean passes a frame of every draft and window: over the first frames, and over all that follow."""
    counts: dict[tuple[str, int, bool], list[int]] = {}
    for story in range(stories):
        drawn_before = None
        for start in starts(engine, 1, frames, first=100_000 + story):
            for name, draft, redraft in drafts(start, drawn_before):
                for window in windows:
                    passes = count_passes(start, draft, window, redraft)
                    counts.setdefault((name, window, not start.before), []).append(passes)
            drawn_before = start.draw(None, (max(windows),))[0]
    return [
        {"draft": name, "window": window, "first_frame": first, "passes": round(mean(found), 2), "most": max(found)}
        for (name, window, first), found in counts.items()
    ]


@click.command()
@click.option("--stories", default=20, show_default=True)
@click.option("--frames", default=6, show_default=True)
@click.option("--windows", default="4,8,16,32,64", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file.")
def main(stories: int, frames: int, windows: str, out: Path) -> None:
    """Count the passes of the embedded bundle's frames."""
    engine = Engine.from_pretrained("storyworld", backend="eager")
    rows = ablation(engine, stories, frames, [int(window) for window in windows.split(",")])
    write_json(out, {"stories": stories, "frames": frames, "versions": versions(), "rows": rows})
    for row in rows:
        where = "first" if row["first_frame"] else "later"
        click.echo(f"{row['draft']:26} window {row['window']:3}  {where}  {row['passes']:6.2f}  at most {row['most']}")


if __name__ == "__main__":
    main()
