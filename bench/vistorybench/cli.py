"""``acdc vistorybench``: stories of the benchmark in, pictures for its evaluation out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import cloup
from cloup import option, option_group

from ...engine.cli.flags import with_options
from ...engine.cli.inputs import check_name
from ...engine.storage.stories_file import write_records
from ...engine.utils.atomic import check_file
from ...engine.utils.streams import log, report
from .convert import LANGUAGES, Language, read_dataset
from .export import Place, export

LANGUAGE = option(
    "--language",
    type=click.Choice(LANGUAGES),
    default="en",
    show_default=True,
    help="Take the benchmark's texts in this language: English (en) or Chinese (ch).",
)
CONVERSION = option_group(
    "Stories",
    option(
        "--out",
        metavar="FILE",
        default="vistory.jsonl",
        show_default=True,
        help="Write the stories to this .jsonl file, one story a line.",
    ),
    option("--overwrite", is_flag=True, help="Replace an earlier file in --out."),
    LANGUAGE,
)
EXPORT = option_group(
    "Pictures",
    option(
        "--out",
        metavar="DIR",
        default="outputs",
        show_default=True,
        help="Write below this directory, the benchmark's data/outputs.",
    ),
    option("--method", metavar="NAME", default="acdc", show_default=True, help="Call the method by this name."),
    option(
        "--mode", metavar="NAME", default="base", show_default=True, help="Call the mode of the method by this name."
    ),
    LANGUAGE,
    option("--timestamp", metavar="TIME", help="Name the run by this time, YYYYMMDD-HHMMSS.  [default: now, in UTC]"),
    option("--drafts", is_flag=True, help="Copy what the autoregressive model drew, before any correction."),
)


@click.group()
def vistorybench() -> None:
    """Draw the stories of ViStoryBench and lay the pictures where its evaluation looks for them."""


@vistorybench.command(cls=cloup.Command, short_help="Turn the benchmark's stories into a stories file.")
@click.argument("dataset", metavar="DATASET")
@with_options(CONVERSION)
def convert(dataset: str, out: str, overwrite: bool, language: Language) -> None:
    """Turn the stories of DATASET (01/story.json, ...) into a file for `acdc generate --stories`."""
    check_name("--out", out)
    target = check_file("--out", out)
    if target.exists() and not overwrite:
        raise ValueError(f"--out {out!r} is there already; choose --overwrite or another --out")
    stories = read_dataset(Path(dataset), language)
    write_records(target, [story.record() for story in stories])
    shots = sum(len(story.sentences) for story in stories)
    left_out, cut = sum(story.left_out for story in stories), sum(story.cut for story in stories)
    report(f"{target}: {len(stories)} stories, {shots} shots")
    if left_out or cut:
        log(f"acdc: {left_out} descriptions of characters and settings did not fit, {cut} of shots lost their end")


@vistorybench.command(cls=cloup.Command, name="export", short_help="Copy pictures for the benchmark's evaluation.")
@click.argument("stories", metavar="DIR")
@with_options(EXPORT)
def export_command(
    stories: str, out: str, method: str, mode: str, language: Language, timestamp: str | None, drafts: bool
) -> None:
    """Copy the finished stories in DIR, which `acdc generate` has drawn, below --out. Exit code 1: some were not
    finished."""
    when = timestamp or datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    place = Place(Path(out), method, mode, language, when)
    found = export(Path(stories), place, drafts)
    for line in found.left_out:
        log(f"acdc: left out: {line}")
    report(f"{place.folder}: {found.pictures} pictures of {found.stories} stories")
    if found.left_out:
        raise click.exceptions.Exit(1)
