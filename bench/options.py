"""Options that several measurements of stories share."""

from __future__ import annotations

from pathlib import Path

import click

BUNDLE = click.option("--bundle", default="storyworld", show_default=True)
DEVICE = click.option("--device", default="cpu", show_default=True)
STEPS = click.option("--steps", type=click.IntRange(min=2), default=50, show_default=True, help="N of the correction.")
OUT = click.option("--out", type=click.Path(path_type=Path), required=True, help="A JSON file.")
