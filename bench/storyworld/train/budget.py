"""Budget of a training run, as the options that the coders' scripts share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click
import torch
from torch import nn
from torch.optim import Optimizer

from ....engine.utils.malloc import keep_freed_memory
from .loop import StepFunction, fit, make_optimizers, restore
from .matrix_muon import corrector_optimizers


@dataclass(frozen=True)
class Budget:
    """Length, size and place of a run; ``minutes`` starts the decay early enough to end within that time.

    ``export_only`` trains no further: the newest checkpoint is what is exported and measured.
    """

    steps: int
    decay: int
    batch: int
    lr: float
    threads: int
    device: str
    minutes: float | None
    export_only: bool = False

    def begin(self, seed: int) -> None:
        """Set torch's threads and its seed for the initial weights, and keep freed memory."""
        keep_freed_memory()
        torch.set_num_threads(self.threads)
        torch.manual_seed(seed)

    def fit(
        self,
        step_fn: StepFunction,
        modules: Mapping[str, nn.Module],
        optimizers: Sequence[Optimizer],
        out: Path,
        seed: int,
    ) -> int:
        """The shared loop within this budget; returns the number of steps done."""
        if self.export_only:
            return restore(out, modules)
        limit = None if self.minutes is None else 60.0 * self.minutes
        return fit(
            step_fn, modules, optimizers, steps=self.steps, decay=self.decay, run_dir=out, every=50,
            time_limit=limit, seed=seed,
        )  # fmt: skip


def coder_optimizers(module: nn.Module, lr: float, muon: bool) -> list[Optimizer]:
    """Optimizers of a picture coder: with ``muon`` Muon for hidden kernels, else AdamW for all, as the first weights
    had."""
    return corrector_optimizers(module, lr, True) if muon else make_optimizers(module, lr)


def numbers(_context: object, _parameter: object, value: str | None) -> tuple[int, ...] | None:
    """A click callback: "64,160" as a tuple."""
    if value is None:
        return None
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r}: give widths separated by commas, such as 64,160") from None


def budget_options(
    steps: int, decay: int, batch: int, lr: float
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options with these defaults; the command gets them as one ``budget``."""
    options = (
        click.option("--steps", default=steps, show_default=True),
        click.option("--decay", default=decay, show_default=True, help="Steps of falling rate at the end."),
        click.option("--batch", default=batch, show_default=True),
        click.option("--lr", default=lr, show_default=True),
        click.option("--threads", default=1, show_default=True),
        click.option("--device", default="cpu", show_default=True),
        click.option("--minutes", type=float, help="Start the decay so that training ends within this time."),
        click.option("--export-only", is_flag=True, help="Only export and measure the newest checkpoint."),
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_budget(**given: Any) -> None:
            budget = Budget(**{name: given.pop(name) for name in Budget.__dataclass_fields__})
            command(budget=budget, **given)

        wrapped: Callable[..., None] = with_budget
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return decorate
