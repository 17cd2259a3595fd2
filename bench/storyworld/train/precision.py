"""Which precision the training passes multiply in: bfloat16 where the device has units for it, else float32."""

from __future__ import annotations

import torch


def compute_dtype(device: str) -> torch.dtype:
    """bfloat16 on GPUs and on CPUs with AMX or AVX512-BF16; on other CPUs it would be emulated, 50 times slower."""
    if torch.device(device).type != "cpu":
        return torch.bfloat16
    units = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    allowed = torch.backends.cpu.get_cpu_capability() == "AVX512"  # ATEN_CPU_CAPABILITY may forbid what the CPU has
    return torch.bfloat16 if units and allowed else torch.float32


def autocast(device: str) -> torch.autocast:
    """Autocast to `compute_dtype(device)`."""
    kind, dtype = torch.device(device).type, compute_dtype(device)
    return torch.autocast(kind, torch.bfloat16, enabled=dtype == torch.bfloat16)
