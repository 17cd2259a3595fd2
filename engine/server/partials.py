"""Files of partial images, which workers write and routes read."""

from __future__ import annotations

PARTIALS = "partials"


def partial_name(index: int, number: int) -> str:
    """The file of partial image ``number`` of frame ``index`` (both from 0), relative to the story's folder."""
    return f"{PARTIALS}/frame_{index + 1:02d}_{number:02d}.png"
