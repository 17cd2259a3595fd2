"""What the backend ``auto`` stands for: the fastest that can serve a stage, as measured (bench/results)."""

from __future__ import annotations

from .backends import unsupported_reasons
from .spec import StageSpec

FASTEST: dict[str, tuple[str, ...]] = {"cpu": ("openvino",)}  # exact ones only; on a GPU nothing is measured yet


def choose(spec: StageSpec) -> str:
    """The first backend of the device's order that has no reason to refuse ``spec``, or else eager."""
    return next((name for name in FASTEST.get(spec.device, ()) if not unsupported_reasons(spec, name)), "eager")
