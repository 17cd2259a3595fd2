"""Contenders in turns, A B B A, each in a process of its own or all in one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import torch

WARM_UPS = {"pass": 2, "correction": 1}


class Worker:
    """A process that holds contenders; between its turns it waits and takes no time."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        command = [sys.executable, "-m", "acdc.bench.real_size.worker", json.dumps(setup)]
        environment = {**os.environ, "THP_MEM_ALLOC_ENABLE": str(int(setup["huge_pages"]))}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, **asked: Any) -> dict[str, float]:
        """Its answer. ``RuntimeError`` if it ends instead."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {asked} ended with status {self.process.wait()}")
        found: dict[str, float] = json.loads(line)
        return found

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def turns(names: Sequence[str], rounds: int) -> Iterator[Sequence[str]]:
    """A B C, C B A, A B C, ...: what drifts slowly falls on all alike."""
    for turn in range(rounds):
        yield names if turn % 2 == 0 else names[::-1]


def measure(
    folder: Path, work: str, names: Sequence[str], size: int, steps: int, rounds: int, together: bool, huge_pages: bool
) -> dict[str, Any]:
    """One table: ``work`` is pass or correction. A row a contender, with all its turns; rates before every round."""
    setup = {"folder": str(folder), "size": size, "steps": steps, "huge_pages": huge_pages}
    with ExitStack() as stack:
        bare = stack.enter_context(Worker(setup))
        shared = stack.enter_context(Worker(setup)) if together else None
        workers = {name: shared or stack.enter_context(Worker(setup)) for name in names}
        results = {name: folder / f"{work}-{size}-{name}.pt" for name in names}
        for name in names:
            for turn in range(WARM_UPS[work]):
                workers[name].ask(do=work, name=name, save=None if turn else str(results[name]))
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        rates = []
        for order in turns(names, rounds):
            rates.append(bare.ask(do="rates"))
            for name in order:
                rows[name].append(workers[name].ask(do=work, name=name))
    with Worker(setup) as counter:
        cost = counter.ask(do="count")
    return {
        "work": work,
        "size": size,
        "steps": steps,
        "processes": "one for all" if together else "one each",
        "contenders": list(names),
        "pages": "huge" if huge_pages else "small",
        "threads": torch.get_num_threads(),
        "unet_pass": cost,
        "rates": rates,
        "rows": [{"name": name, **summary(taken), "turns": taken} for name, taken in rows.items()],
        "relative_difference": differences(results),
    }


def summary(taken: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Median and extremes in seconds; memory of the process in MiB."""
    seconds = [turn["seconds"] for turn in taken]
    return {
        "median": median(seconds),
        "min": min(seconds),
        "max": max(seconds),
        "mib": taken[-1]["mib"],
        "peak_mib": taken[-1]["peak_mib"],
    }


def differences(results: Mapping[str, Path]) -> dict[str, float]:
    """||result - reference|| / ||reference||, the reference being float32's of diffusers, or else the first's."""
    found = {name: torch.load(path, weights_only=True) for name, path in results.items()}
    reference = found.get("diffusers-float32", next(iter(found.values())))
    return {name: float((value - reference).norm() / reference.norm()) for name, value in found.items()}
