"""The commands that write the latents of drafts: what they are given, and what lies there afterwards."""

from pathlib import Path

import numpy as np


def part_flags(bundle: Path) -> list[str]:
    """``--arm``, ``--tokenizer`` and ``--vae`` of a bundle's directory."""
    parts = {"--arm": "arm", "--tokenizer": "tokenizer", "--vae": "corrector/vae"}
    return [word for flag, part in parts.items() for word in (flag, str(bundle / part))]


def check_drafts(folder: Path, rows: int, frames: int) -> None:
    """Finite latents of four channels in two bytes a number, for every frame of every row."""
    drafts = np.load(folder / "drafts.npy")
    assert drafts.shape[:3] == (rows, frames, 4)
    assert drafts.dtype == np.float16
    assert np.isfinite(drafts).all()
