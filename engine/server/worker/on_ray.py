"""``python -m acdc.engine.server.worker.on_ray ADDRESS CPUS GPUS ID``: a worker on a Ray cluster.

This process holds the worker's place there, and passes on the settings, the end of its standard input and the exit
code: to a server it is the worker. When it is killed, Ray ends the actor, and so the worker's standard input.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from threading import Thread
from typing import Any

from ...fleet.gpus import gpus_each
from ...fleet.ray_cluster import connect, import_ray
from ...utils.streams import log
from ..settings import Settings

WORKER = (sys.executable, "-m", "acdc.engine.server.worker")
LOST = 1  # the exit code where the cluster has ended the worker, or has no place for it


class Place:
    """An actor: one worker process on its machine, with the GPUs that Ray shows to the actor."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, name: str, settings: str) -> int:
        """Start the worker ``name`` with the settings' line and wait for it -> its exit code."""
        self._process = subprocess.Popen([sys.executable, *WORKER[1:], name], stdin=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(settings)
            self._process.stdin.flush()
        return self._process.wait()

    def stop(self) -> None:
        """Let it finish the frames under way."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()


def on_ray(settings: Settings) -> Sequence[str]:
    """The command that starts a worker as the settings say; ``ValueError`` without Ray, and for GPUs that do not go
    with the device."""
    engine = settings.engine_options
    gpus = gpus_each("--gpus-per-worker", settings.gpus_per_worker, engine.device, ray=True)
    import_ray()
    return (*WORKER[:2], f"{WORKER[2]}.on_ray", str(settings.ray), str(engine.threads or 1), str(gpus))


def main(address: str, cpus: str, gpus: str, name: str) -> int:
    """Run a worker on the cluster -> its exit code."""
    settings = sys.stdin.readline()
    ray = import_ray()
    try:
        connect(ray, address)
    except ValueError as error:
        log(f"acdc: {error}")
        return LOST
    actor = ray.remote(num_cpus=float(cpus), num_gpus=float(gpus), max_restarts=0, max_concurrency=2)(Place)
    place = actor.remote()
    code = place.run.remote(name, settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: place.stop.remote())
    Thread(target=_watch, args=(place,), daemon=True).start()
    try:
        return int(ray.get(code))
    except ray.exceptions.RayError as error:
        log(f"acdc: a worker on the Ray cluster has ended: {str(error).splitlines()[0]}")
        return LOST


def _watch(place: Any) -> None:
    sys.stdin.read()
    place.stop.remote()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
