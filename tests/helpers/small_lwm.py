"""LWM's published ``params`` at a small size: a written file, and what is said where it cannot be converted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from acdc.engine.loading.lwm_params import converted_params
from acdc.engine.models.lwm.model import LWMConfig
from tests.helpers.lwm_files import DECODER, params_shapes, random_tensors, write_params

SIZES = LWMConfig(layers=3, hidden=32, ffn=48, heads=4, text_vocab=50, vision_vocab=24, rope_theta=5e7, max_position=64)
SHAPES = params_shapes(3, 32, 48, 50, 24)
WQ, W2, LN_F = f"{DECODER}/attention/wq/kernel", f"{DECODER}/feed_forward/w2/kernel", "transformer/ln_f/kernel"


def written(path: Path) -> Path:
    """The file at ``path``, its tensors in pieces that end within rows and within layers."""
    write_params(path, random_tensors(SHAPES, torch.bfloat16), chunk_bytes=4000)
    return path


def refusal(path: Path) -> str:
    """The one line that refuses the file, which leaves no file."""
    with pytest.raises(ValueError, match=str(path)) as caught:
        converted_params(path, SIZES)
    assert "\n" not in str(caught.value)
    assert {left.name for left in (path.parent / "converted").glob("*")} <= {".params.lock"}
    return str(caught.value)
