"""Speed for training the picture coders on a CPU; parameters, their names and results stay the same."""

from __future__ import annotations

import torch
from torch import nn

from .fused_norm import FusedGroupNorm
from .winograd import WinogradConv2d


def speed_up(coder: nn.Module) -> None:
    """Join each group norm of `coder` with the SiLU after it, give its convolutions Winograd's way, and turn its
    weights to channels-last, in place.

    Only for networks in which every group norm is followed by a SiLU and no other SiLU exists: VQGAN and
    AutoencoderKL without attention.
    """
    for module in list(coder.modules()):
        assert type(module).__name__ != "Attention", "its group norm has no SiLU"
        if isinstance(module, nn.GroupNorm):
            assert getattr(module, "silu", True), "a group norm without a SiLU"
            module.__class__ = FusedGroupNorm
            module.silu = True  # type: ignore[assignment]
        if type(module) is nn.Conv2d:
            module.__class__ = WinogradConv2d
        for name, child in module.named_children():
            if type(child) is nn.SiLU:
                setattr(module, name, nn.Identity())
    coder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
