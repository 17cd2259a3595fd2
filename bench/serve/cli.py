"""``acdc bench serve``: open-loop load on a running service, and the latencies that its clients see."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import click
import cloup
from cloup import option, option_group

from ...engine.cli.flags import with_options
from ...engine.utils.atomic import check_file
from .arrivals import arrivals
from .plan import IMAGES, KEY_VARIABLE, STORIES, Plan
from .prompts import read_dataset

COUNT = click.IntRange(1, 1_000_000)
SERVICE = option_group(
    "Service",
    option(
        "--base-url",
        metavar="URL",
        default="http://127.0.0.1:8000",
        show_default=True,
        help=f"Send requests to this service; the environment variable {KEY_VARIABLE} holds its key, if it needs one.",
    ),
    option(
        "--endpoint-type",
        type=click.Choice([STORIES, IMAGES]),
        default=STORIES,
        show_default=True,
        help="Draw stories by /v1/stories, or single pictures by /v1/images/generations of any such service.",
    ),
    option("--model", metavar="NAME", help="Ask for this model.  [default: the service's own]"),
    option(
        "--num-inference-steps",
        type=click.IntRange(1, 1000),
        metavar="N",
        help="Ask for this number of steps of the correction.  [default: the service's own]",
    ),
    option(
        "--partial-images",
        type=click.IntRange(0, 3),
        default=0,
        show_default=True,
        metavar="N",
        help="Stream pictures of openai-images, with up to N unfinished ones before each.",
    ),
)
LOAD = option_group(
    "Load",
    option(
        "--num-prompts", type=COUNT, default=32, show_default=True, metavar="N", help="Send this number of requests."
    ),
    option(
        "--request-rate",
        type=float,
        default=float("inf"),
        show_default=True,
        metavar="RATE",
        help="Send this number of requests a second on average, at random times (a Poisson process); inf sends all at "
        "once.",
    ),
    option(
        "--max-concurrency", type=COUNT, metavar="N", help="Hold at most N requests at a time.  [default: no limit]"
    ),
    option(
        "--num-warmups",
        type=click.IntRange(min=0),
        default=1,
        show_default=True,
        metavar="N",
        help="Send N requests before the measured ones, one after another.",
    ),
    option(
        "--seed",
        type=int,
        default=0,
        show_default=True,
        metavar="N",
        help="Choose the times of the requests by this seed; theirs are N, N + 1, ...",
    ),
    option(
        "--dataset-path",
        metavar="FILE",
        help="Send the stories of this .jsonl file, one a line, again and again.  [default: the paper's seven stories]",
    ),
)
OUTPUT = option_group(
    "Output", option("--output-file", metavar="FILE", help="Write every figure and every request to this JSON file.")
)


@click.group()
def bench() -> None:
    """Measure a running service from outside."""


@bench.command(cls=cloup.Command, short_help="Measure a service under load.")
@with_options(SERVICE, LOAD, OUTPUT)
def serve(output_file: str | None, **given: Any) -> None:
    """Send requests at random times to a service, whether or not earlier ones are answered, and time what comes back.

    A frame has arrived with the last byte of its picture. Exit code 1: some requests failed.
    """
    plan = Plan(**given)
    due = arrivals(plan.num_prompts, plan.request_rate, plan.seed)
    stories = read_dataset(plan.dataset_path)
    target = None if output_file is None else check_file("--output-file", output_file)
    if find_spec("httpx2") is None:
        raise ValueError("acdc bench serve needs the package 'httpx2': pip install 'acdc-engine[serve]'")
    from .command import send_load  # here, because it imports httpx2, an extra

    if send_load(plan, stories, due, target):
        raise click.exceptions.Exit(1)
