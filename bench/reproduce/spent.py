"""Time and memory of a row, on disk after each frame: a killed run loses neither."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ...engine.utils.atomic import write_json
from ..overhead.peak import Peak

FILE = "spent.json"


@dataclass(frozen=True)
class Spent:
    """``seconds`` of drawing and writing ``frames``, loading left out, in ``runs`` runs; ``peak_mib`` is the largest
    resident set within them, ``cuda_mib`` the most that tensors held on a CUDA device."""

    seconds: float = 0.0
    frames: int = 0
    runs: int = 0
    peak_mib: float = 0.0
    cuda_mib: float = 0.0

    @classmethod
    def read(cls, folder: Path) -> Spent:
        """The record in ``folder``; zeros where there is none. ``ValueError`` (one line) for a damaged one."""
        path = folder / FILE
        if not path.exists():
            return cls()
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{str(path)!r} is damaged ({error}); delete it, times begin again") from None


class Meter:
    """Adds this run to a row's record."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.folder, self.before, self.peak = folder, Spent.read(folder), Peak(device)
        self.began, self.frames = time.perf_counter(), 0

    def frame(self, count: int = 1) -> None:
        """Note ``count`` more frames; the record is on disk when this returns."""
        self.frames += count
        found = Spent(
            self.before.seconds + time.perf_counter() - self.began,
            self.before.frames + self.frames,
            self.before.runs + 1,
            max(self.before.peak_mib, self.peak.rss_mib()),
            max(self.before.cuda_mib, self.peak.cuda_mib()),
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / FILE, asdict(found))
