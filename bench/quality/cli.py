"""``acdc evaluate``: metrics of stories, clips and pictures in folders."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click
import cloup
from cloup import option, option_group

from ...engine.cli.flags import with_options
from ...engine.cli.inputs import check_name
from ...engine.utils.atomic import check_file
from .sets.story_set import Resize, Text

OUT = "scores.json"
WHICH = option_group(
    "Metrics",
    option(
        "--metrics",
        metavar="LIST",
        help="Measure these metrics, separated by commas.  [default: all whose weights are there]",
    ),
    option(
        "--models", metavar="DIR", help="Read the networks' published weights from this directory.  [default: none]"
    ),
    option(
        "--reference",
        metavar="DIR|STATS.npz",
        help="Compare with the pictures or stories of this folder, or with FID's statistics in this file.  "
        "[default: none]",
    ),
    option(
        "--text",
        type=click.Choice(["sentence", "refined"]),
        default="sentence",
        help="Compare pictures with the story's sentences, or with the prompts that its memory made of them.  "
        "[default: sentence]",
    ),
    option(
        "--clip",
        type=click.Choice(["vit-b-32", "vit-b-16", "vit-l-14"]),
        default="vit-b-32",
        help="Measure frame-consistency and clip-sim by this CLIP.  [default: vit-b-32]",
    ),
    option(
        "--resize",
        type=click.Choice(["classic", "clean"]),
        default="classic",
        help="Resize for fid and kid as TensorFlow 1 did, or by Pillow with antialiasing.  [default: classic]",
    ),
)
FOLDERS = option_group(
    "Folders",
    option("--drafts", is_flag=True, help="Measure stories' drafts, which no diffusion model corrected."),
    option("--single", is_flag=True, help="Take pictures in one folder as single ones, not as frames of a story."),
)
OUTPUT = option_group(
    "Output",
    option(
        "--out",
        metavar="FILE",
        default=OUT,
        help="Write all figures to this JSON file, and rows that networks gave next to it; the same command continues "
        f"from those.  [default: {OUT}]",
    ),
    option(
        "--statistics",
        metavar="FILE.npz",
        help="Write FID's statistics of the one DIR to this file, to be a --reference later.  [default: none]",
    ),
    option("--json", "as_json", is_flag=True, help="Print the figures as JSON, not as a table."),
)
EXECUTION = option_group(
    "Execution",
    option("--device", metavar="NAME", default="cpu", help="Run networks on cpu, cuda or cuda:N.  [default: cpu]"),
    option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="Compute with this number of CPU threads.  [default: PyTorch's choice]",
    ),
)


@cloup.command(short_help="Measure stories, clips and pictures.")
@click.argument("folders", nargs=-1, metavar="DIR...")
@with_options(WHICH, FOLDERS, OUTPUT, EXECUTION)
def evaluate(
    folders: tuple[str, ...],
    metrics: str | None,
    models: str | None,
    reference: str | None,
    text: str,
    clip: str,
    resize: str,
    drafts: bool,
    single: bool,
    out: str,
    statistics: str | None,
    as_json: bool,
    device: str,
    threads: int | None,
) -> None:
    """Measure the stories, clips or pictures in each DIR, which acdc or anything else has drawn.

    A DIR is a folder of `acdc story`, `video`, `generate`, `correct` or `reference`, one of pictures or of GIF and MP4
    files (with prompts.txt, one text a line, where text counts), or one of such folders. Exit code 1: a story could not
    be read, or a metric that --metrics names has no weights here; everything else is measured.
    """
    if not folders:
        raise ValueError("no folder given; give DIR: stories, clips or pictures")
    check_name("--out", out)
    target = check_file("--out", out)
    names = None if metrics is None else [name.strip() for name in metrics.split(",") if name.strip()]
    if statistics is not None and (len(folders) > 1 or not statistics.endswith(".npz")):
        raise ValueError(f"--statistics {statistics!r} is of one DIR, and its name ends in .npz")
    if names is not None and not names:
        raise ValueError("--metrics is empty; give names, separated by commas")
    from .run import Asked, run_evaluation  # here, because it imports torch

    asked = Asked(
        folders=[Path(name) for name in folders],
        metrics=names,
        models=None if models is None else Path(models),
        reference=None if reference is None else Path(reference),
        text=cast(Text, text),
        clip=clip,
        resize=cast(Resize, resize),
        statistics=None if statistics is None else check_file("--statistics", statistics),
        drafts=drafts,
        single=single,
        device=device,
        threads=threads,
    )
    if not run_evaluation(asked, target, as_json):
        raise click.exceptions.Exit(1)
