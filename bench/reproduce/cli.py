"""``acdc reproduce``: the paper's tables from a bundle's own runs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click
import cloup
from cloup import option, option_group

from ...engine.cli.engine_options import EXECUTION, models
from ...engine.cli.flags import Given, with_options
from ...engine.cli.inputs import check_seed, output_directory
from ...engine.cli.options import MEMORY, RARE, SAMPLING, SHOW_O, STRENGTH, TOKENS
from ...engine.memory import check_memory
from ...engine.options import EngineOptions
from ...engine.storage.stories_file import read_requests
from ...engine.utils.streams import report
from .tables import TABLES

BUNDLES = {"videos": "storyworld-video", "stories": "storyworld"}
FRAMES, CHUNK_FRAMES = 32, 16
COUNT = click.IntRange(min=1)
SOURCE = option_group(
    "Stories",
    option(
        "--stories",
        metavar="FILE",
        required=True,
        help="Read stories from this .jsonl file, one story a line; for table3, each one's first sentence.",
    ),
    option("--frames", type=COUNT, metavar="N", help=f"Draw videos of N frames (table3).  [default: {FRAMES}]"),
    option(
        "--chunk-frames",
        type=COUNT,
        metavar="N",
        help=f"Draw and correct videos in chunks of N frames (table3).  [default: {CHUNK_FRAMES}]",
    ),
)
OUTPUT = option_group(
    "Output",
    option(
        "--out",
        metavar="DIR",
        help="Write to this directory, and continue what it holds.  [default: out/ and TABLE's name]",
    ),
    option(
        "--reference",
        metavar="PATH",
        help="Measure distances from the pictures in this directory, or from the statistics in this .npz file.  "
        "[default: none; distances are not measured]",
    ),
)


@cloup.command(short_help="Draw and measure the rows of a table of the paper.")
@click.argument("table", type=click.Choice(list(TABLES)), metavar="TABLE")
@with_options(
    SOURCE,
    OUTPUT,
    models("storyworld; storyworld-video for table3"),
    EXECUTION,
    option_group("Sampling", *SAMPLING, *TOKENS),
    option_group("Correction", *STRENGTH),
    MEMORY,
    SHOW_O,
    RARE,
)
def reproduce(
    table: str,
    stories: str,
    frames: int | None,
    chunk_frames: int | None,
    out: str | None,
    reference: str | None,
    seed: int,
    given: Given,
) -> None:
    """Draw and measure the rows of TABLE: table1 (plain, ACDC, diffusion model alone), table2 (0, 2, 4, 6 corrected
    frames and memory) or table3 (videos).

    The same command continues a run that was stopped. Writes table.md, chart.png, reproduce.json, and a folder of
    stories for each row. The paper's metrics are measured where their weights are in --models, and others in the
    place of those that are missing. Exit code 1: a story failed.
    """
    asked_table = TABLES[table]
    if asked_table.unit != "videos":
        for name, value in (("frames", frames), ("chunk-frames", chunk_frames)):
            if value is not None:
                raise ValueError(f"--{name} {value} is for videos; leave it out, or choose table3")
    if find_spec("matplotlib") is None:
        raise ValueError("a chart is drawn by matplotlib, which is not installed: pip install 'acdc-engine[report]'")
    options, engine = given.story(), given.engine(EngineOptions(bundle=BUNDLES[asked_table.unit]))
    requests = read_requests(stories, check_seed(seed))
    if asked_table.unit == "videos":
        options.memory.check_for_video()
    check_memory(options.memory)
    from .run import CHART, PAGE, Asked, Measuring, run  # here, because it imports torch

    models_folder = None if engine.models is None else Path(engine.models)
    measuring = Measuring(models_folder, None if reference is None else Path(reference), engine.device)
    folder = output_directory(out, f"out/{table}")
    lengths = FRAMES if frames is None else frames, CHUNK_FRAMES if chunk_frames is None else chunk_frames
    whole = run(Asked(asked_table, requests, options, engine, measuring, folder, *lengths))
    report(f"{folder / PAGE}: {len(requests)} {asked_table.unit} a row; chart in {folder / CHART}")
    if not whole:
        raise click.exceptions.Exit(1)
