"""The quality study as files: JSON with every figure, Markdown tables made from it, a sheet of pictures."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..world.grammar import StorySample
from .rows import Drawn

SHEET_ROWS = ("truth", "plain", "all", "no_memory", "diffusion_alone", "full_plain", "full_all")
SHEET_STORIES = 3
TILE = 128  # pictures are shown at this size, so that sentences fit above them
NAME = "storyworld_quality"
BY_STORY = ("subject_by_story", "animal_last", "action_by_story")


def write_report(
    folder: Path, study: Mapping[str, Any], drawn: Mapping[str, Drawn], stories: Sequence[StorySample]
) -> None:
    """Write ``storyworld_quality.json``, ``.md`` and ``.png`` into ``folder``.

    The sheet stays as it is where one of its rows is not among ``drawn``: then it was made by an earlier part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.json").write_text(json.dumps(compact(study), indent=1) + "\n", encoding="utf-8")
    (folder / f"{NAME}.md").write_text(markdown(study), encoding="utf-8")
    if all(name in drawn for name in SHEET_ROWS if name in study["rows"]):
        sheet(drawn, stories).save(folder / f"{NAME}.png", optimize=True)


def markdown(study: Mapping[str, Any]) -> str:
    """The tables, generated from the study."""
    rows = study["rows"]
    settings, start = study["settings"], study["start"]
    lines = [
        "# Quality of the embedded bundle",
        "",
        f"{study['stories']} held-out stories of {study['frames']} frames (unseen templates, names and individuals), "
        f"seeds from {study['first_seed']}, judged by the grayscale judge. Defaults: strength {settings['strength']}, "
        f"{settings['num_inference_steps']} steps, guidance {settings['guidance_scale']}, memory {settings['memory']}, "
        f"context {settings['context']}, {settings['dtype']}; SDEdit starts at timestep {start['timestep']}, alpha-bar "
        f"{start['alpha_bar']:.4f}. Made by `python -m acdc.bench.storyworld evaluate`.",
        "",
        *([f"Not drawn in this study: {', '.join(study['left_out'])}.", ""] if study["left_out"] else []),
        "## Shown frames",
        "",
        *_accuracy(rows, "shown"),
        "",
        "## Raw frames (what the ARM drew, before correction)",
        "",
        *_accuracy(rows, "raw"),
        "",
        "## Right animal by frame, shown (raw)",
        "",
        *_by_frame(rows, study["frames"]),
        "",
        "## Distances and similarities, shown frames",
        "",
        "FD: Frechet distance of the judge's features to as many true renders of other stories. Consistency: mean",
        "cosine of consecutive frames' embeddings. Text: cosine of a frame's embedding and its refined sentence's.",
        "Background: mean absolute change of the upper 30 % of the picture between frames, of 255.",
        "",
        *_distances(rows),
        "",
        "## Paired differences (percentage points, 95 % bootstrap interval over stories)",
        "",
        *_differences(study["differences"]),
        "",
        "## The paper's stories",
        "",
        *_paper(study["paper"]),
        "",
    ]
    return "\n".join(lines)


def _accuracy(rows: Mapping[str, Any], kind: str) -> list[str]:
    lines = ["| row | animal and setting | animal | setting | action |", "|---|---|---|---|---|"]
    for row in rows.values():
        part = row[kind]
        single = [f"{100 * part['accuracy'][label]['overall']:.1f}" for label in ("animal", "setting", "action")]
        lines.append(f"| {row['title']} | {_percent(part['subject'])} | {' | '.join(single)} |")
    return lines


def _by_frame(rows: Mapping[str, Any], frames: int) -> list[str]:
    lines = ["| row | " + " | ".join(f"frame {k + 1}" for k in range(frames)) + " |", "|---|" + "---|" * frames]
    for row in rows.values():
        pairs = zip(*(row[kind]["accuracy"]["animal"]["by_frame"] for kind in ("shown", "raw")), strict=True)
        lines.append(f"| {row['title']} | " + " | ".join(f"{100 * a:.1f} ({100 * b:.1f})" for a, b in pairs) + " |")
    return lines


def _distances(rows: Mapping[str, Any]) -> list[str]:
    lines = ["| row | FD shown | FD raw | consistency | text | background |", "|---|---|---|---|---|---|"]
    for row in rows.values():
        shown = row["shown"]
        means = [f"{shown[key]['mean']:.3f}" for key in ("consistency", "text_similarity")]
        lines.append(
            f"| {row['title']} | {shown['frechet']:.2f} | {row['raw']['frechet']:.2f} | {' | '.join(means)} "
            f"| {shown['background_change']['mean']:.2f} |"
        )
    return lines


def _differences(differences: Mapping[str, Any]) -> list[str]:
    lines = ["| rows | animal and setting | animal in the last frame | action |", "|---|---|---|---|"]
    for pair, values in differences.items():
        cells = [_percent(values[key], sign=True) for key in ("subject_by_story", "animal_last", "action_by_story")]
        lines.append(f"| {pair.replace('_', ' ')} | {' | '.join(cells)} |")
    return lines


def _paper(paper: Mapping[str, Any]) -> list[str]:
    lines = ["| story | accepted | animal | setting | both | frames |", "|---|---|---|---|---|---|"]
    for name, row in paper["stories"].items():
        animal, *settings = row["accepts"]
        cells = [f"{100 * row[key]:.1f}" for key in ("animal", "setting", "both")]
        lines.append(f"| {name} | {animal}; {' or '.join(settings)} | {' | '.join(cells)} | {row['frames']} |")
    overall = paper["overall"]
    cells = [f"{100 * overall[key]:.1f}" for key in ("animal", "setting", "both")]
    return [*lines, f"| all | | {' | '.join(cells)} | {overall['frames']} |"]


def _percent(value: Mapping[str, float], sign: bool = False) -> str:
    mean = f"{100 * value['mean']:+.1f}" if sign else f"{100 * value['mean']:.1f}"
    return f"{mean} ({100 * value['low']:.1f} to {100 * value['high']:.1f})"


def compact(value: Any) -> Any:
    """Floats rounded to six places, arrays of single stories left out: a file a person can open."""
    if isinstance(value, Mapping):
        return {k: compact(v) for k, v in value.items() if k not in BY_STORY or isinstance(v, Mapping)}
    if isinstance(value, list | tuple):
        return [compact(v) for v in value]
    return round(value, 6) if isinstance(value, float) else value


def sheet(drawn: Mapping[str, Drawn], stories: Sequence[StorySample]) -> Image.Image:
    """The first stories, one line a row: the truth, the plain ARM, ACDC and its ablations."""
    names = [name for name in SHEET_ROWS if name in drawn]
    size, margin, gap, head = TILE, 120, 3, 34
    frames = drawn[names[0]].shown.shape[1]
    count = min(SHEET_STORIES, len(stories))
    width, block = margin + frames * (size + gap), head + len(names) * (size + gap)
    page = Image.new("RGB", (width, count * block), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    for number in range(count):
        top = number * block
        for index, sentence in enumerate(stories[number].sentences):
            draw.multiline_text((margin + index * (size + gap), top + 2), _wrap(sentence, 22, 2), "black", font)
        for line, name in enumerate(names):
            y = top + head + line * (size + gap)
            draw.text((6, y + size // 2), name.replace("_", " "), "black", font)
            for index in range(frames):
                picture = Image.fromarray(np.ascontiguousarray(drawn[name].shown[number, index]))
                picture = picture.resize((size, size), Image.Resampling.LANCZOS)
                page.paste(picture, (margin + index * (size + gap), y))
    return page


def _wrap(text: str, width: int, lines: int) -> str:
    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder=" ..."))
