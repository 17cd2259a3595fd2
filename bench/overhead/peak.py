"""The largest memory of a run: of the process where Linux lets its mark be reset, and of a CUDA device's tensors.

It is the whole process's: what earlier runs left loaded (plans of other slots) is in it. What they released is not,
where the C library gives it back.
"""

from __future__ import annotations

import ctypes
import gc
import platform
from pathlib import Path

import torch

from .quick import rss_peak_mib

PROCESS = Path("/proc/self")


class Peak:
    """From its making on. ``of_the_run`` says whether the process's mark could be reset (it is of its life if not),
    ``trimmed`` whether free memory was given back before."""

    def __init__(self, device: torch.device, process: Path = PROCESS) -> None:
        self.device, self.process = device, process
        self.trimmed = give_back()
        self.of_the_run = _reset(process)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    @property
    def source(self) -> str:
        """Source of the figure for the process's memory."""
        if not self.of_the_run:
            return "the process so far"
        return f"the whole process within a run, {'without' if self.trimmed else 'with'} what earlier runs had freed"

    def rss_mib(self) -> float:
        """The largest resident set, in MiB; 0 where the system does not tell."""
        if self.of_the_run:
            for line in (self.process / "status").read_text(encoding="utf-8").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
        return rss_peak_mib()

    def cuda_mib(self) -> float:
        """The most that tensors held, in MiB; 0 on a CPU."""
        if self.device.type != "cuda":
            return 0.0
        return torch.cuda.max_memory_allocated(self.device) / 2**20


def give_back() -> bool:
    """Let go of what nobody holds, and give free memory back to the system; says whether the C library (glibc) can."""
    gc.collect()
    if platform.libc_ver()[0] != "glibc":
        return False
    ctypes.CDLL(None).malloc_trim(0)
    return True


def _reset(process: Path) -> bool:
    """Set the high-water mark to what is resident now (proc(5), clear_refs 5)."""
    try:
        (process / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True
