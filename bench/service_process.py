"""``acdc serve`` in a process of its own, on a free port, with stories in a folder that the measurement gives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import httpx2

READY_S = 300.0


class Served:
    """A running service; its ``url`` answers when the block begins, and its model is loaded."""

    def __init__(self, bundle: str, folder: Path) -> None:
        self.command = [sys.executable, "-m", "acdc.engine", "serve", bundle, "--port", "0", "--data", str(folder)]
        self.command += ["--disable-access-log", "--log-level", "warning"]

    def __enter__(self) -> Served:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        try:
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def _wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if " at http" not in line:
            raise ValueError(f"the service does not start; it said {line!r}")
        self.url = line.split()[-1]
        end = time.monotonic() + READY_S
        while httpx2.get(f"{self.url}/health").status_code != 200:
            if time.monotonic() > end or self.process.poll() is not None:
                raise ValueError(f"the service has no model after {READY_S:.0f} s")
            time.sleep(0.2)

    def processor_seconds(self) -> float:
        """Seconds of processors that the service and its workers have taken so far (Linux)."""
        pids, seconds = [self.process.pid], 0.0
        while pids:
            folder = Path(f"/proc/{pids.pop()}")
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            pids += [int(child) for task in folder.glob("task/*/children") for child in task.read_text().split()]
        return seconds

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        self.process.terminate()
        self.process.wait(60)
