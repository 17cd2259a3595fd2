"""The study of drift as files: JSON, tables made from it, a chart and a sheet of pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .report import compact
from .rows import Drawn

NAME = "storyworld_drift"
SHOWN = {
    "subject": "animal and setting",
    "action": "action",
    "identity_kept": "identity kept",
    "identity_distance": "identity distance",
}
SHEET_STORIES = 2
SHEET_FRAMES = 10


def write_drift(folder: Path, study: Mapping[str, Any], drawn: Mapping[str, Drawn]) -> None:
    """Write NAME_FRAMES.{json,md,png} and NAME_FRAMES_sheet.png into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{NAME}_{study['frames']}"
    text = json.dumps(compact(_without_stories(study)), indent=1) + "\n"
    (folder / f"{name}.json").write_text(text, encoding="utf-8")
    (folder / f"{name}.md").write_text(markdown(study, name), encoding="utf-8")
    chart(study, folder / f"{name}.png")
    sheet(drawn).save(folder / f"{name}_sheet.png", optimize=True)


def _without_stories(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_stories(part) for key, part in value.items() if key != "by_story"}
    return value


def _measures(study: Mapping[str, Any]) -> list[str]:
    first = next(iter(study["rows"].values()))
    return [name for name in SHOWN if name in first["shown"]]


def markdown(study: Mapping[str, Any], name: str) -> str:
    """Means, slopes, first and last frames, and paired differences as tables."""
    measures = _measures(study)
    heads = [SHOWN[measure] for measure in measures]
    lines = [
        f"# Drift over {study['frames']} frames",
        "",
        f"{study['stories']} held-out stories of the world's edition {study['edition']}, seeds from "
        f"{study['first_seed']}; bundle {study['bundle']}, context {study['settings']['context']}. Identity: how far "
        "a frame's individual lies from that of frame 1, 0 for the same and about 1 for another one; kept within "
        f"{study['identity_threshold']:.3f}, where 95 % of true renders lie. Means over all frames (identity: from the "
        "second on) with 95 % bootstrap intervals over stories; cost on the machine of the JSON file.",
        "",
        f"![by frame]({name}.png)",
        "",
        "## Shown frames",
        "",
        "| row | " + " | ".join(heads) + " | ms a frame |",
        "|---|" + "---|" * (len(heads) + 1),
    ]
    for row in study["rows"].values():
        cells = [_value(measure, row["shown"][measure]["mean"]) for measure in measures]
        lines.append(f"| {row['title']} | {' | '.join(cells)} | {row['milliseconds_a_frame']:.0f} |")
    lines += ["", "## Slopes a frame (points; of the distance as it is), shown frames", ""]
    lines += ["| row | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for row in study["rows"].values():
        cells = [_value(measure, row["shown"][measure]["slope"], digits=3) for measure in measures]
        lines.append(f"| {row['title']} | {' | '.join(cells)} |")
    lines += ["", "## Paired differences, shown frames", ""]
    lines += ["| rows | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for pair, values in study["differences"].items():
        cells = [_value(measure, values[measure], sign="+") for measure in measures]
        lines.append(f"| {pair.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _value(measure: str, value: Mapping[str, float], digits: int = 1, sign: str = "") -> str:
    scale, digits = (1, 3) if measure == "identity_distance" else (100, digits)
    mean, low, high = (scale * value[key] for key in ("mean", "low", "high"))
    return f"{mean:{sign}.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def chart(study: Mapping[str, Any], path: Path) -> None:
    """Each measure by frame, one line a row, and the cost of each row next to its mean accuracy."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    measures = _measures(study)
    figure, panels = pyplot.subplots(
        1, len(measures) + 1, figsize=(4 * len(measures) + 4, 3.2), constrained_layout=True
    )
    for measure, panel in zip(measures, panels[:-1], strict=True):
        for row in study["rows"].values():
            values = row["shown"][measure]["by_frame"]
            first = study["frames"] - len(values) + 1
            panel.plot(range(first, first + len(values)), values, label=row["title"], linewidth=1)
        panel.set(title=SHOWN[measure], xlabel="frame")
    for row in study["rows"].values():
        panels[-1].scatter(
            row["milliseconds_a_frame"], row["shown"]["subject"]["mean"]["mean"], label=row["title"], s=14
        )
    panels[-1].set(title="cost", xlabel="ms a frame", ylabel=SHOWN["subject"], xscale="log")
    panels[-1].legend(fontsize=6)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def sheet(drawn: Mapping[str, Drawn]) -> Image.Image:
    """The first stories: one line a row, ``SHEET_FRAMES`` frames from the first to the last."""
    frames = next(iter(drawn.values())).shown.shape[1]
    picked = np.unique(np.linspace(0, frames - 1, min(frames, SHEET_FRAMES)).round().astype(int))
    count = min(SHEET_STORIES, *(len(row.shown) for row in drawn.values()))
    lines = [np.concatenate(list(row.shown[story, picked]), axis=1) for story in range(count) for row in drawn.values()]
    picture = Image.fromarray(np.concatenate(lines))
    return picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.LANCZOS)
