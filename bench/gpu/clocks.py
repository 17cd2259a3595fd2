"""How fast a GPU runs at the moment, as its driver tells: clocks, power, temperature, and what holds it back."""

from __future__ import annotations

import subprocess

ASKED = (
    "name",
    "driver_version",
    "clocks.sm",
    "clocks.mem",
    "power.draw",
    "temperature.gpu",
    "clocks_event_reasons.active",
)
COMMAND = ("nvidia-smi", f"--query-gpu={','.join(ASKED)}", "--format=csv,noheader")


def clocks(device: str) -> dict[str, str]:
    """By name as ``nvidia-smi`` has it; "told" says why there is nothing. Nothing is changed."""
    if not device.startswith("cuda"):
        return {"told": f"nothing of {device}"}
    number = device.partition(":")[2] or "0"
    try:
        said = subprocess.run(
            [*COMMAND, f"--id={number}"], capture_output=True, text=True, check=True, timeout=20
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return {"told": f"nothing: {type(error).__name__}"}
    return dict(zip(ASKED, (value.strip() for value in said.strip().split(",")), strict=False))
