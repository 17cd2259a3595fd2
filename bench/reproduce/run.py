"""One table in one folder: a row is a folder of stories; then figures, a page and a chart. It goes on where it stopped.

OUT/plain/000001/story.json ...    what was drawn, as `acdc generate` and `acdc video` write it
OUT/plain/spent.json               time and memory of the row
OUT/reproduce.json                 every figure
OUT/table.md, OUT/chart.png        the page and its chart
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...engine.cli.story import load_engine
from ...engine.engine import Engine
from ...engine.options import EngineOptions, StoryOptions
from ...engine.request import StoryRequest
from ...engine.storage.run_lock import RunLock
from ...engine.utils.atomic import make_directory, write_bytes, write_json
from ...engine.utils.malloc import keep_freed_memory
from ...engine.utils.streams import log
from ..overhead.cli import machine
from ..quality.evaluate import Evaluation
from ..quality.run import library_versions
from .chart import draw_chart
from .draw import draw_alone, draw_stories, draw_videos
from .measure import Measuring, measure
from .page import page
from .spent import Spent
from .tables import Row, Table

RECORD, PAGE, CHART = "reproduce.json", "table.md", "chart.png"


@dataclass(frozen=True)
class Asked:
    """A table, its stories and options. ``frames`` and ``chunk_frames`` are a video's."""

    table: Table
    stories: Sequence[StoryRequest]
    options: StoryOptions
    engine: EngineOptions
    measuring: Measuring
    out: Path
    frames: int
    chunk_frames: int

    def options_of(self, row: Row) -> StoryOptions:
        """The options of a row's stories."""
        return self.options.replace(**row.options)

    @property
    def frames_of_a_row(self) -> int:
        """Frames that a row draws."""
        if self.table.unit == "videos":
            return self.frames * len(self.stories)
        return sum(len(story.sentences) for story in self.stories)


def run(asked: Asked) -> bool:
    """Draw what is missing, measure, write; is every story part of it?"""
    make_directory(asked.out)
    keep_freed_memory()
    with RunLock(asked.out / RECORD, asked.out / ".lock"):
        engine = load_engine(asked.engine, num_frames=asked.frames_of_a_row * len(asked.table.rows))
        failed = 0
        for row in asked.table.rows:
            log(f"acdc: {row.title}")
            failed += _draw(engine, asked, row)
        folders = [asked.out / row.name for row in asked.table.rows]
        found = measure(folders, asked.table, asked.measuring, engine.name, asked.out)
        record = _record(engine, asked, found)
        write_json(asked.out / RECORD, record)
        draw_chart(asked.out / CHART, asked.table, record)
        write_bytes(asked.out / PAGE, page(asked.table, record).encode())
    return not (failed or found.failures)


def _draw(engine: Engine, asked: Asked, row: Row) -> int:
    """The number of the row's stories that failed."""
    place = engine, asked.out / row.name, asked.stories, asked.options_of(row)
    if asked.table.unit == "videos":
        return draw_videos(*place, asked.frames, asked.chunk_frames)
    return draw_alone(*place) if row.alone else draw_stories(*place)


def _record(engine: Engine, asked: Asked, found: Evaluation) -> dict[str, Any]:
    rows = {}
    for row in asked.table.rows:
        folder = asked.out / row.name
        figures = {name: asdict(figure) for name, figure in found.figures[str(folder)].items()}
        printed = {system: dict(values) for system, values in row.printed.items()}
        spent = asdict(Spent.read(folder))
        rows[row.name] = {"title": row.title, "figures": figures, "printed": printed, "spent": spent}
    reference = asked.measuring.reference
    video = {"frames": asked.frames, "chunk_frames": asked.chunk_frames} if asked.table.unit == "videos" else {}
    return {
        "table": asked.table.name,
        "bundle": engine.name,
        "stories": len(asked.stories),
        **video,
        "settings": engine.settings(asked.options),
        "reference": None if reference is None else str(reference),
        "metrics": found.record()["metrics"],
        "missing": [asdict(one) for one in found.missing],
        "failures": found.failures,
        "rows": rows,
        "versions": library_versions(),
        "machine": machine(),
    }
