"""Clocks of a GPU while it is measured, from its driver: clocks, power, temperature, and what holds it back."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import torch

EVERY_S = 1.0
FIELDS = ("name", "driver_version", "clocks.sm", "clocks.mem", "power.draw", "temperature.gpu")
REASONS = (  # a name that the driver does not know fails the whole query
    ("clocks_event_reasons.active",),
    ("clocks_throttle_reasons.active",),  # its name in drivers before 535
    (),
)


class Clocks:
    """One GPU as ``nvidia-smi`` has it. Nothing is changed."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.reasons = device, list(REASONS)
        self.uuid = uuid_of(device) if device.type == "cuda" else ""

    def read(self) -> dict[str, str]:
        """At the moment, by name; "missing" says why nothing is known."""
        if not self.uuid:
            return {"missing": f"nothing of {self.device}"}
        while True:
            asked = (*FIELDS, *self.reasons[0])
            command = ["nvidia-smi", f"--query-gpu={','.join(asked)}", "--format=csv,noheader", f"--id={self.uuid}"]
            try:
                said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
            except (OSError, subprocess.SubprocessError) as error:
                if len(self.reasons) > 1 and isinstance(error, subprocess.CalledProcessError):
                    del self.reasons[0]
                    continue
                return {"missing": f"nothing: {type(error).__name__}"}
            return dict(zip(asked, (value.strip() for value in said.strip().split(",")), strict=False))


def uuid_of(device: torch.device) -> str:
    """The GPU as its driver names it: the driver counts all GPUs, CUDA those that CUDA_VISIBLE_DEVICES shows."""
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    return uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"


@contextmanager
def watched(device: torch.device, every_s: float = EVERY_S) -> Iterator[list[dict[str, Any]]]:
    """Readings while the block runs, in a thread, ``at_s`` seconds since its beginning. The first comes after
    ``every_s``, when the device is at work; a device that tells nothing is asked once."""
    clocks, samples, over = Clocks(device), list[dict[str, Any]](), Event()
    began = time.perf_counter()

    def watch() -> None:
        while not over.wait(every_s):
            samples.append({"at_s": time.perf_counter() - began, **clocks.read()})
            if "missing" in samples[-1]:
                return

    thread = Thread(target=watch, name="clocks", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()
