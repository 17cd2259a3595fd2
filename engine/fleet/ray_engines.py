"""Engines as actors of a Ray cluster."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..utils.malloc import keep_freed_memory
from ..utils.streams import log
from .host import EngineHost
from .leases import EngineDied
from .ray_cluster import LOCAL, connect, import_ray
from .recipe import Recipe


class RayEngines:
    """Each engine is an actor that loads ``recipe`` where there are ``cpus`` and ``gpus`` (a part of one: engines share
    it). ``address`` is a cluster's; empty: ``$RAY_ADDRESS``, else a cluster on this machine, which is started.

    ``ValueError`` without Ray, where the cluster cannot be reached, and where one that was started here has no place.
    """

    def __init__(self, recipe: Recipe, address: str = "", *, cpus: float = 1, gpus: float = 0) -> None:
        ray = import_ray()
        self._ray, self._recipe, self._needs = ray, recipe, {"CPU": cpus, "GPU": gpus}
        self._began_here = not ray.is_initialized()
        started = self._began_here and connect(ray, address) == LOCAL
        self._check_room(may_grow=not started)
        # Restarts are the driver's; a call of each kind runs at a time, and none waits for a launch.
        self._actor = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0, scheduling_strategy="SPREAD")(RayHost)

    def start(self, number: int) -> RayEngine:
        return RayEngine(self._ray, self._actor.remote(self._recipe))

    def close(self) -> None:
        """Leave the cluster, or end it if it was started here."""
        if self._began_here:
            self._ray.shutdown()

    def _check_room(self, may_grow: bool) -> None:
        """In a cluster that may grow, engines wait until they have a place; one that was started here does not."""
        has = self._ray.cluster_resources()
        for name, need in self._needs.items():
            if need <= (there := has.get(name, 0)):
                continue
            if not may_grow:
                self.close()
                raise ValueError(f"an engine needs {need:g} {name} and this machine has {there:g}; choose fewer")
            log(f"acdc: an engine needs {need:g} {name}; the cluster has {there:g}, and the engines wait for more")


class RayHost(EngineHost):
    """An engine in an actor."""

    def __init__(self, recipe: Recipe) -> None:
        keep_freed_memory()
        super().__init__(recipe)

    def place(self) -> tuple[str, int]:
        """The actor's node and its process there."""
        import ray

        return ray.get_runtime_context().get_node_id(), os.getpid()


class RayEngine:
    """One actor."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self._place = actor.place.remote()

    def exchange(self, message: bytes) -> Future[bytes]:
        answer: Future[bytes] = Future()
        self._actor.exchange.remote(message).future().add_done_callback(lambda done: _pass_on(done, answer))
        return answer

    def end(self, hangs: bool = False) -> None:
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actor)
            if hangs and self._ray.wait([self._place], timeout=0)[0]:
                self._kill(*self._ray.get(self._place))

    def _kill(self, node: str, pid: int) -> None:
        """``ray.kill`` asks the process to end, and one that is stopped never does: it would keep its GPU."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node, soft=False)
        self._ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(kill_engine).remote(pid)


def kill_engine(pid: int) -> None:
    """Kill a process if it is an engine of a fleet: the number may be another's by now."""
    with suppress(OSError):
        if RayHost.__name__ in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)


def _pass_on(done: Future[bytes], answer: Future[bytes]) -> None:
    error = done.exception()
    if error is None:
        answer.set_result(done.result())
    else:
        answer.set_exception(EngineDied(_reason(error), preempted=bool(getattr(error, "preempted", False))))


def _reason(error: BaseException) -> str:
    """The first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
