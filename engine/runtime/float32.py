"""float32 means float32 on a GPU, too."""

from __future__ import annotations

import torch


def exact_float32(device: torch.device) -> None:
    """Let float32 convolutions on CUDA multiply float32 numbers.

    By default cuDNN rounds their inputs to the 10 bits of TF32 (``torch.backends.cudnn.allow_tf32``), an error of 1e-3
    which changes codes. PyTorch keeps one switch for the process; a caller who wants TF32 sets it again afterwards.
    """
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
