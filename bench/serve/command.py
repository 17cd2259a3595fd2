"""The work of ``acdc bench serve``: warm up, send the load, show and write what was measured."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import httpx2

from ...engine.utils.atomic import write_json
from ...engine.utils.streams import log
from ...engine.utils.versions import versions
from ..overhead.cli import machine
from .client import check_address, open_client
from .images import ImagesEndpoint
from .load import Load, Send, run_load
from .outcome import Outcome
from .plan import KEY_VARIABLE, STORIES, Plan
from .prompts import prompts_of
from .stories import StoriesEndpoint
from .summary import block, summarise


def send_load(plan: Plan, stories: Sequence[tuple[str, ...]], due: Sequence[float], target: Path | None) -> bool:
    """Send it, print the figures and write them to ``target``; have some requests failed? An interrupted run, too,
    reports what it has measured."""
    load = Load()
    try:
        asyncio.run(measure(plan, stories, due, load))
    finally:
        failed = show(plan, load, target) if load.outcomes else False
    return failed


async def measure(plan: Plan, stories: Sequence[tuple[str, ...]], due: Sequence[float], load: Load) -> None:
    """Warm up, and then fill ``load``. ``ValueError`` where a request of the warm-up fails."""
    count = plan.num_prompts
    prompts = prompts_of(stories, count + plan.num_warmups, plan.seed, whole=plan.endpoint_type == STORIES)
    async with open_client(check_address(plan.base_url), os.environ.get(KEY_VARIABLE)) as client:
        send = sender(client, plan)
        for prompt in prompts[count:]:
            trial = Load()
            await run_load(send, [prompt], [0.0], None, trial, lambda _: None)
            if error := trial.outcomes[0].error:
                raise ValueError(f"--base-url {plan.base_url!r}: a request of the warm-up failed: {error}")
        await run_load(send, prompts[:count], due, plan.max_concurrency, load, progress(count))


def sender(client: httpx2.AsyncClient, plan: Plan) -> Send:
    """The endpoint's way to draw one prompt."""
    if plan.endpoint_type == STORIES:
        return StoriesEndpoint(client, plan.fields()).send
    return ImagesEndpoint(client, plan.fields(), plan.partial_images).send


def progress(total: int) -> Callable[[Outcome], None]:
    """Log a line at every tenth of the requests."""
    ended = 0

    def on_end(_: Outcome) -> None:
        nonlocal ended
        ended += 1
        if ended * 10 // total > (ended - 1) * 10 // total:
            log(f"{ended}/{total} requests")

    return on_end


def show(plan: Plan, load: Load, target: Path | None) -> bool:
    """Write and print the figures; have some requests failed?"""
    figures = summarise(load)
    if target is not None:
        conditions = {"load": plan.record(), "versions": versions(), "machine": machine()}
        write_json(target, {**conditions, **figures, "requests": [one.record() for one in load.outcomes]})
    for line in block(figures, plan.request_rate, plan.max_concurrency):
        click.echo(line)
    return bool(figures["failed"])
