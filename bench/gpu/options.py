"""Options that the GPU's measurements share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
import torch

from ...engine.loading.bundle import parse_device
from .record import Output


def device_chosen(_context: object, _parameter: object, name: str) -> str:
    """A click callback: "cpu", or "cuda" after the GPU that was named has become torch's current one."""
    try:
        device = parse_device(name)
    except ValueError as error:
        reason = "; torch sees no CUDA device" if name.startswith("cuda") and not torch.cuda.is_available() else ""
        raise click.BadParameter(f"{error}{reason}") from None
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device.type


DEVICE = click.option("--device", default="cuda", show_default=True, callback=device_chosen)


def output_options(seconds: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--out, --seconds (by default ``seconds``), --resume and --retry, which reach the command as one ``output``."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def called(out: Path, seconds: float, resume: bool, retry: bool, **given: Any) -> Any:
            try:
                return command(output=Output(out, seconds, resume or retry, retry), **given)
            except ValueError as error:
                raise click.ClickException(str(error)) from None

        for option in (
            click.option("--retry", is_flag=True, help="Resume, and measure again the rows that failed."),
            click.option("--resume", is_flag=True, help="Keep the rows that --out has already."),
            click.option("--seconds", default=seconds, show_default=True, help="Begin no row after that."),
            click.option(
                "--out", type=click.Path(path_type=Path), required=True, help="JSON, written after every row."
            ),
        ):
            called = option(called)
        return called

    return decorate
