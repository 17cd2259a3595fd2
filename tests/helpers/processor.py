"""Processor of a test run: one line for the run's header."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "asimd", "sve", "bf16")
LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")


def describe(cpuinfo: str, environment: Mapping[str, str], cores: tuple[int, int], workers: int) -> str:
    """``cores``: those that this process may use, and all. Workers of pytest-xdist have one thread each by default."""
    import torch

    fields = dict(line.split(":", 1) for line in reversed(cpuinfo.splitlines()) if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    flags = fields.get("flags", fields.get("Features", "")).split()  # x86, Arm
    threads = environment.get("OMP_NUM_THREADS", "1") if workers else torch.get_num_threads()
    parts = [
        fields.get("model name") or platform.processor() or platform.machine(),
        " ".join(name for name in SETS if name in flags) or "no known instruction sets",
        f"PyTorch uses {torch.backends.cpu.get_cpu_capability()}",
        *(f"{name}={environment[name]}" for name in LIMITS if name in environment),
        f"{cores[0]} of {cores[1]} cores",
        f"{workers} workers of {threads} threads" if workers else f"{threads} threads",
    ]
    return "processor: " + "; ".join(parts)


def header(workers: int) -> str:
    """`describe` of this machine."""
    path = Path("/proc/cpuinfo")
    cpuinfo = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    total = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    return describe(cpuinfo, os.environ, (usable, total), workers)
