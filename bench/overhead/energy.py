"""Joules, where the device tells them: an NVIDIA GPU through NVML, a CPU through Linux's RAPL files.

Either counts the whole device: what other processes take of it is in the figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch

POWERCAP = Path("/sys/class/powercap")
Reading = tuple[int, ...]


class Meter(Protocol):
    """A counter that only grows."""

    def read(self) -> Reading:
        """The current reading."""
        ...

    def joules(self, before: Reading, after: Reading) -> float:
        """Joules between two readings."""
        ...


class Found(NamedTuple):
    """The device's meter and what it counts; without one, why there is none."""

    meter: Meter | None
    source: str


class Rapl:
    """Packages of a CPU. Each zone counts microjoules up to its ``max_energy_range_uj`` and begins again at 0."""

    def __init__(self, zones: Sequence[Path]) -> None:
        self.counters = [zone / "energy_uj" for zone in zones]
        self.ranges = [int((zone / "max_energy_range_uj").read_text()) for zone in zones]

    def read(self) -> Reading:
        """Microjoules of each zone."""
        return tuple(int(counter.read_text()) for counter in self.counters)

    def joules(self, before: Reading, after: Reading) -> float:
        """Joules of all zones; a counter that wrapped did so once."""
        zones = zip(before, after, self.ranges, strict=True)
        return sum(now - then if now >= then else now - then + span for then, now, span in zones) / 1e6


class Nvml:
    """One NVIDIA GPU, in millijoules since its driver was loaded (Volta and later)."""

    def __init__(self, library: Any, handle: Any) -> None:
        self.library, self.handle = library, handle

    def read(self) -> Reading:
        """Millijoules."""
        return (int(self.library.nvmlDeviceGetTotalEnergyConsumption(self.handle)),)

    def joules(self, before: Reading, after: Reading) -> float:
        """Between the two."""
        return (after[0] - before[0]) / 1e3


def find_meter(device: torch.device, powercap: Path = POWERCAP) -> Found:
    """The meter of ``device``, if it has one that may be read."""
    return _nvml(device) if device.type == "cuda" else _rapl(powercap)


def _rapl(powercap: Path) -> Found:
    zones = [zone for zone in sorted(powercap.glob("*rapl:*")) if _is_package(zone)]
    if not zones:
        return Found(None, "unknown: this system has no RAPL files")
    try:
        meter = Rapl(zones)
        meter.read()
    except (OSError, ValueError):
        return Found(None, "unknown: the RAPL files may not be read by this user")
    return Found(meter, f"RAPL, {len(zones)} package{'s' * (len(zones) > 1)}, all processes")


def _is_package(zone: Path) -> bool:
    """A whole package: its cores and memory have zones of their own within it."""
    try:
        return (zone / "name").read_text().startswith("package")
    except OSError:
        return False


def _nvml(device: torch.device) -> Found:
    import torch

    try:
        library = import_module("pynvml")
    except ImportError:
        return Found(None, "unknown: nvidia-ml-py is not installed")
    try:
        library.nvmlInit()
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        handle = library.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        meter = Nvml(library, handle)
        meter.read()
    except library.NVMLError as error:
        return Found(None, f"unknown: NVML says {error}")
    return Found(meter, "NVML, the whole GPU")
