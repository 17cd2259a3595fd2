"""The processor at hand: what code compiled for it may be bound to. No torch."""

from __future__ import annotations

import functools
import hashlib
import platform
from pathlib import Path

FIELDS = (
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "stepping",
    "flags",
    "CPU implementer",
    "CPU part",
    "Features",
)


def identity(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """16 hex digits that differ where the model of the processor or the instructions that it offers do.

    A hypervisor may hide instructions or the model's name, so that neither of them is enough alone.
    """
    known = _first_processor(cpuinfo)
    found = [f"{name}={known[name]}" for name in FIELDS if name in known] or [platform.processor()]
    return hashlib.blake2b(repr((platform.machine(), found)).encode(), digest_size=8).hexdigest()


def instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Linux's names of the instruction sets (``avx2``, ``amx_bf16``, ...); empty where the system does not say."""
    known = _first_processor(cpuinfo)
    return frozenset((known.get("flags") or known.get("Features") or "").split())


def maker(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """``GenuineIntel``, ``AuthenticAMD``, ...; empty where the system does not say."""
    return _first_processor(cpuinfo).get("vendor_id", "")


@functools.cache
def _first_processor(cpuinfo: Path) -> dict[str, str]:
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = text.split("\n\n")[0].splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
