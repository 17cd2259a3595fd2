"""Timelines as SVG: which phase of which story ran when, on which slot; serial above overlapped, on one time axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, log10
from typing import Any

COLOURS = {  # by phase; memory, the autoregressive model's, the diffusion model's
    "memory": "#b9a24c",
    "prefill": "#7fb3d5",
    "draw": "#2e6da4",
    "replace": "#17405f",
    "decode": "#e3b5a0",
    "correct": "#c8553d",
    "encode": "#8f3d2e",
}
LEFT, WIDTH, LANE, GAP, HEAD = 110, 1000, 26, 5, 26
THIN = 1.0  # the least width of a bar: memory by rules is shorter than can be seen
INK, SOFT, BED = "#2b2826", "#807870", "#f1ece3"
FONT = 'font-family="system-ui, sans-serif" font-size="12"'
TEXTS = {  # attributes instead of a style sheet, so the picture needs no other file
    "title": f'fill="{INK}" font-weight="600" font-size="13"',
    "lane": f'fill="{SOFT}" text-anchor="end"',
    "axis": f'fill="{SOFT}" text-anchor="middle"',
    "who": 'fill="#fff" text-anchor="middle" font-size="11" pointer-events="none"',
}
Bar = Mapping[str, Any]


def timelines(kept: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    """One SVG of these timelines, each with a lane a slot and as many as it takes for memory calls side by side.
    ``titles`` are of variants. Hovering a bar tells its phase, stories and times."""
    end = max((one["end"] for timeline in kept for one in timeline["ran"]), default=0.0) or 1.0
    parts, top = [], 0
    for timeline in kept:
        begun = min((one["start"] for one in timeline["ran"]), default=0.0)
        last = max((one["end"] for one in timeline["ran"]), default=0.0)
        title = f"{titles[timeline['variant']]}: {last - begun:.2f} s"
        parts.append(_text(0, top + 17, title, "title"))
        top += HEAD
        for name, bars in lanes(timeline["ran"]):
            parts.append(_text(LEFT - 8, top + LANE * 0.68, name, "lane"))
            parts.append(f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{LANE}" fill="{BED}"/>')
            parts += [_bar(bar, top, end) for bar in bars]
            top += LANE + GAP
        top += GAP * 3
    height = top + 24
    box = f'viewBox="0 0 {LEFT + WIDTH + 10} {height}"'
    return (
        f'<svg class="timeline" {box} {FONT} role="img" aria-label="timeline">{"".join(parts)}{_axis(end, top)}</svg>'
    )


def lanes(ran: Sequence[Bar]) -> list[tuple[str, list[Bar]]]:
    """A lane a slot, then lanes for memory calls: each goes to the first lane that is free when it begins."""
    slots = sorted({one["slot"] for one in ran if one["slot"] is not None})
    found = [(f"slot {slot}", [one for one in ran if one["slot"] == slot]) for slot in slots]
    calls: list[list[Bar]] = []
    for one in sorted((one for one in ran if one["slot"] is None), key=lambda one: float(one["start"])):
        free = next((lane for lane in calls if lane[-1]["end"] <= one["start"]), None)
        if free is None:
            calls.append(free := [])
        free.append(one)
    return found + [("memory" if k == 0 else "", lane) for k, lane in enumerate(calls)]


def key(ran: Sequence[Bar]) -> str:
    """The colours of the phases that ran, as HTML."""
    there = {one["phase"] for one in ran}
    marks = (f'<span><i style="background:{c}"></i>{name}</span>' for name, c in COLOURS.items() if name in there)
    return f'<p class="key">{"".join(marks)}</p>'


def _bar(one: Bar, top: float, end: float) -> str:
    scale = WIDTH / end
    x, width = LEFT + one["start"] * scale, max(THIN, (one["end"] - one["start"]) * scale)
    names = ", ".join(one["stories"])
    description = f"{one['phase']}: {names}; {one['start']:.3f} to {one['end']:.3f} s"
    inside = ""
    if width > 7 * len(names) + 6:
        inside = _text(x + width / 2, top + LANE * 0.68, names, "who")
    shape = f'<rect x="{x:.2f}" y="{top}" width="{width:.2f}" height="{LANE}" fill="{COLOURS[one["phase"]]}"/>'
    return f"<g><title>{escape(description)}</title>{shape}{inside}</g>"


def _axis(end: float, top: float) -> str:
    step = _step(end)
    marks = []
    for k in range(int(end / step + 1e-9) + 1):
        x = LEFT + k * step * WIDTH / end
        marks.append(f'<line x1="{x:.1f}" y1="{HEAD}" x2="{x:.1f}" y2="{top}" stroke="{INK}" stroke-opacity=".12"/>')
        marks.append(_text(x, top + 16, f"{k * step:g} s", "axis"))
    return "".join(marks)


def _step(end: float) -> float:
    """A round distance of ticks, of which 4 to 12 fit."""
    rough = 10.0 ** floor(log10(end / 4))
    return next(rough * times for times in (5, 2, 1) if end / (rough * times) >= 4)


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text {TEXTS[kind]} x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
