"""VideoCrafter2 at toy sizes: its published file, written by the tests."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from acdc.engine.loading.videocrafter2 import FILE, SIZES, Networks, Sizes
from acdc.engine.loading.videocrafter2_names import TABLES
from tests.helpers.published import write_tokenizer
from tests.helpers.small_systems import TOKENS, VIDEOCRAFTER2

SMALL_SIZES: Sizes = {**SIZES, **VIDEOCRAFTER2}


def published_tensors() -> dict[str, Tensor]:
    """The tensors of a small ``model.ckpt`` under their published names, random, with the tables that are left out."""
    return dict(_made())


@cache
def _made() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}
    for name, shape in Networks.of(SMALL_SIZES).published().items():
        value = torch.randn(shape, generator=generator)
        found[name] = value / value[0].numel() ** 0.5 if len(shape) > 1 else 0.1 * value + name.endswith("weight")
    return found | {name: torch.zeros(1400 if name == "scale_arr" else 1000) for name in TABLES}


def write_model(folder: Path) -> None:
    """``model.ckpt`` and the tokenizer's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": published_tensors()}, folder / FILE)
    (folder / "tokenizer").mkdir()
    write_tokenizer(folder / "tokenizer", length=TOKENS)


def clip_bundle(source: Path, folder: Path) -> Path:
    """Write the bundle in ``source`` with this corrector in the place of its own; returns ``folder``."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("corrector"))
    write_model(folder / "videocrafter2")
    raw = json.loads((folder / "bundle.json").read_text())
    raw["corrector"] = {"kind": "videocrafter2", "path": "videocrafter2", "config": VIDEOCRAFTER2}
    raw["defaults"] = {"context": "window"}
    (folder / "bundle.json").write_text(json.dumps(raw))
    return folder
