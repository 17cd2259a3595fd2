"""``judge``: the packaged judge's verdict on pictures, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click
from PIL import Image, UnidentifiedImageError

from .judge import Judge, load

SHOWN = ("animal", "setting", "action")
DRAFT = "_draft"


class Mistake(click.ClickException):
    """A user's mistake: one line on stderr, exit status 2."""

    exit_code = 2


def pictures(path: Path, drafts: bool = False) -> list[Path]:
    """Picture files of ``path``: itself, or a directory's ``*.png`` in the order of their names.

    In an output directory (one with ``frames/``), its ``frames/frame_*.png``. Drafts (``*_draft.png``, the frames
    before correction) only with ``drafts``. ValueError if nothing is there.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file or directory")
    if not path.is_dir():
        return [path]
    story = path / "frames"
    found = sorted(story.glob("frame_*.png")) if story.is_dir() else sorted(path.glob("*.png"))
    found = [file for file in found if file.is_file() and (drafts or not file.stem.endswith(DRAFT))]
    if not found:
        raise ValueError(f"{path}: no PNG pictures in this directory")
    return found


def read(file: Path) -> Image.Image:
    """The picture in ``file`` as RGB; ValueError if it is not one."""
    try:
        with Image.open(file) as image:
            return image.convert("RGB")
    except UnidentifiedImageError:
        raise ValueError(f"{file}: not a picture") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file}: cannot be read: {' '.join(str(error).split())}") from None


def verdicts(judge: Judge, files: Sequence[Path]) -> list[dict[str, str | float]]:
    """One row a file: the likeliest animal, setting and action, each with its probability."""
    probabilities = judge.predict([read(file) for file in files])
    rows: list[dict[str, str | float]] = []
    for i, file in enumerate(files):
        row: dict[str, str | float] = {"file": str(file)}
        for label in SHOWN:
            chance, index = probabilities[label][i].max(dim=-1)
            row[label] = judge.labels[label][int(index)]
            row[f"{label}_p"] = round(float(chance), 4)
        rows.append(row)
    return rows


def table(rows: Sequence[dict[str, str | float]]) -> str:
    """The rows as aligned text under one heading."""
    cells = [["file", *SHOWN]]
    cells += [
        [str(row["file"]), *(f"{row[label]} {100 * float(row[f'{label}_p']):.0f}%" for label in SHOWN)] for row in rows
    ]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(x, widths, strict=True)).rstrip() for x in cells)


@click.command(help="Say which animal, setting and action the pictures show: PNG files or directories of them.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="PNG_OR_DIR...")
@click.option("--json", "report", type=click.Path(path_type=Path), metavar="FILE", help="Write the verdicts here.")
@click.option("--drafts", is_flag=True, help="Judge *_draft.png of directories too.")
@click.option("--weights", type=click.Path(path_type=Path), metavar="DIR", help="Another judge than the packaged one.")
def judge(paths: tuple[Path, ...], report: Path | None, drafts: bool, weights: Path | None) -> None:
    try:
        if not paths:
            raise ValueError("name at least one PNG file or directory")
        files = [file for path in paths for file in pictures(path, drafts)]
        rows = verdicts(load(weights), files)
        if report is not None:
            report.write_text(json.dumps({"frames": rows}, indent=1) + "\n")
    except (ValueError, OSError) as error:
        raise Mistake(" ".join(str(error).split())) from None
    click.echo(table(rows))
