"""The whole training by one command: ``python -m acdc.bench.storyworld train --out DIR``.

Each stage of `stages` is a process of its own. A stage that is finished leaves DIR/done/NAME.json and is not run again;
one that was stopped goes on from its checkpoint. So the same command carries on wherever the last one ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ....engine.utils.atomic import write_json
from ...run_folder import alone_in
from .parts import take_parts
from .stages import FULL, TOY, Stage, stages

POLL_S = 0.5
PACKAGE = Path(__file__).parents[4]
# A step allocates and frees large tensors of many sizes: without huge pages and a high threshold page faults double it.
ALLOCATOR = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
    "MALLOC_TOP_PAD_": str(1 << 26),
}


class Training:
    """Stages in a folder: which are finished, which may begin, and their processes."""

    def __init__(self, folder: Path, todo: Sequence[Stage], threads: int, device: str) -> None:
        self.folder, self.todo, self.threads, self.device = folder, todo, threads, device
        self.running: dict[str, tuple[Stage, float, subprocess.Popen[bytes]]] = {}
        self.failed: dict[str, int] = {}

    def is_done(self, name: str) -> bool:
        return self._record(name).is_file()

    def run(self) -> bool:
        """Until nothing runs and nothing can begin; returns whether every stage is finished."""
        try:
            while True:
                for stage in self._ready():
                    self._begin(stage)
                if not self.running:
                    return all(self.is_done(stage.name) for stage in self.todo)
                time.sleep(POLL_S)
                self._collect()
        finally:
            for _, _, process in self.running.values():
                _end(process)

    def log(self, stage: Stage) -> Path:
        """The file of its output."""
        return self.folder / "done" / f"{stage.name}.log"

    def _ready(self) -> Iterator[Stage]:
        """Stages that may begin now, in order, as long as there are threads for them."""
        for stage in self.todo:
            over = self.is_done(stage.name) or stage.name in self.failed or stage.name in self.running
            if not over and all(map(self.is_done, stage.after)):
                used = sum(self._width(one) for one, _, _ in self.running.values())
                if used + self._width(stage) > self.threads:
                    return  # the first that waits goes first
                yield stage

    def _width(self, stage: Stage) -> int:
        return self.threads if stage.wide else 1

    def command(self, stage: Stage) -> list[str]:
        """The stage's whole command line."""
        words = [sys.executable, "-m", *stage.command.split()]
        words += [stage.threads, str(self._width(stage))] if stage.threads else []
        return words + (["--device", self.device] if stage.device else [])

    def _begin(self, stage: Stage) -> None:
        environment = ALLOCATOR | dict(os.environ) | {"OMP_NUM_THREADS": str(self._width(stage))}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PACKAGE), environment.get("PYTHONPATH"))))
        with self.log(stage).open("ab") as log:
            process = subprocess.Popen(
                self.command(stage), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=environment,
            )  # fmt: skip
        self.running[stage.name] = (stage, time.monotonic(), process)
        click.echo(f"{stage.name}: begun")

    def _collect(self) -> None:
        """Jobs that have ended since the last look."""
        for name, (stage, began, process) in list(self.running.items()):
            if process.poll() is None:
                continue
            del self.running[name]
            seconds = time.monotonic() - began
            if process.returncode == 0:
                words = self.command(stage)[1:]
                write_json(self._record(name), {"command": words, "seconds": round(seconds, 1)})
                click.echo(f"{name}: finished after {seconds:.0f} s")
            else:
                self.failed[name] = process.returncode
                click.echo(f"{name}: exit status {process.returncode}, see {self.log(stage)}", err=True)

    def _record(self, name: str) -> Path:
        return self.folder / "done" / f"{name}.json"


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Data, runs, done/ and the bundle.")
@click.option(
    "--threads", type=click.IntRange(min=1), default=2, show_default=True, help="Threads of all stages together."
)
@click.option("--device", default="cpu", show_default=True)
@click.option("--toy", is_flag=True, help="A few pictures and steps: rehearses every stage in minutes.")
@click.option("--few-steps", is_flag=True, help="Also distil the corrector for a few steps (storyworld-lcm).")
@click.option("--until", help="Only this stage and what it waits for; all by default.")
@click.option(
    "--parts",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Take trained parts from here instead of training them: folders named tokenizer, vae, judge, identity, arm.",
)
def main(
    out: Path, threads: int, device: str, toy: bool, few_steps: bool, until: str | None, parts: Path | None
) -> None:
    """Train the bundle of the second edition from an empty folder, or go on with it.

    Exit status: 0 all is finished, 1 a stage failed (the others went on without it).
    """
    todo = chosen(stages(TOY if toy else FULL, few_steps), until)
    try:
        with alone_in(out / "done"):
            same_size(out / "done" / "size.json", toy)
            if parts is not None:
                for name in take_parts(parts, out):
                    click.echo(f"{name}: taken from {parts}")
            training = Training(out.absolute(), todo, threads, device)
            if not training.run():
                left = ", ".join(stage.name for stage in todo if not training.is_done(stage.name))
                raise click.ClickException(f"not finished: {left}")
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def chosen(every: Sequence[Stage], until: str | None) -> list[Stage]:
    """All stages, or ``until`` and what it waits for, in their order."""
    known = {stage.name: stage for stage in every}
    if until is None:
        return list(every)
    if until not in known:
        raise click.UsageError(f"unknown stage {until!r}; choose one of {', '.join(known)}")
    wanted, waiting = set(), [until]
    while waiting:
        name = waiting.pop()
        wanted.add(name)
        waiting += known[name].after
    return [stage for stage in every if stage.name in wanted]


def same_size(path: Path, toy: bool) -> None:
    """Write of which size the training in this folder is; a usage error where it is of the other one."""
    size: dict[str, Any] = {"toy": toy}
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != size:
        kind = "full" if toy else "toy"
        raise click.UsageError(f"{str(path.parents[1])!r} holds a training of {kind} size; give another --out")
    write_json(path, size)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    process.kill()
    process.wait()


if __name__ == "__main__":
    main()
