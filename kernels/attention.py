"""Attention by name: one call, ``attend(q, k, v)`` with [B, H, T, D] each, and every reason why a name cannot serve.

``sdpa`` is PyTorch's and the reference; ``xformers`` is memory-efficient or flash attention of that package (arXiv
2205.14135), whose wheel is built for one version of torch and CUDA.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import torch
import torch.nn.functional as F
from torch import Tensor

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]

HALVES_AND_SINGLE = (torch.float16, torch.bfloat16, torch.float32)


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v; ``q`` [B, H, T, D], ``k`` and ``v`` [B, H, S, D] -> [B, H, T, D]."""
    return F.scaled_dot_product_attention(q, k, v)


def xformers(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same by xformers, which wants [B, T, H, D]."""
    from xformers.ops import memory_efficient_attention

    out: Tensor = memory_efficient_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return out.transpose(1, 2)


ATTENTIONS: dict[str, Attend] = {"sdpa": sdpa, "xformers": xformers}


def unsupported_reasons(name: str, device: str, dtype: torch.dtype) -> list[str]:
    """Why the attention cannot serve there: all reasons, or none. ``ValueError`` for an unknown name."""
    if name not in ATTENTIONS:
        raise ValueError(f"unknown attention {name!r}; choose among {', '.join(ATTENTIONS)}")
    if name == "sdpa":
        return []
    reasons = _package_reasons()
    if device != "cuda":
        reasons.append(f"its kernels run on cuda, not on {device}")
    if dtype not in HALVES_AND_SINGLE:
        reasons.append(f"it takes float16, bfloat16 and float32, not {str(dtype).removeprefix('torch.')}")
    return reasons


def find_attention(name: str, device: str, dtype: torch.dtype) -> Attend:
    """The attention of that name. ``ValueError`` (one line, every reason) where it cannot serve."""
    reasons = unsupported_reasons(name, device, dtype)
    if reasons:
        raise ValueError(f"attention {name!r} cannot run: {'; '.join(reasons)}")
    return ATTENTIONS[name]


def _package_reasons() -> list[str]:
    """Not installed, or built for another torch: then its operators are not there."""
    try:
        found = version("xformers")
    except PackageNotFoundError:
        return ["xformers is not installed: pip install 'acdc-engine[xformers]'"]
    try:
        from xformers.ops import memory_efficient_attention  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: its library wants other symbols than this torch has
        return [f"xformers {found} does not load with torch {torch.__version__}: {str(error).splitlines()[0]}"]
    return []
