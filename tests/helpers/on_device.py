"""Our operators on a GPU while tests keep their tensors on the CPU: there and back around every call.

Where a GPU is at hand nothing is interpreted, and an operator that is given CPU tensors takes its reference: the tests
would compare references with themselves.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch._library.custom_ops import CustomOpDef
from torch.utils._pytree import tree_map_only

from acdc import kernels


def run_on(device: str) -> None:
    """From now on each of our operators computes CPU tensors on ``device``."""
    for op in operators():
        op.register_kernel("cpu")(there_and_back(op, device, op))


def operators() -> Iterator[CustomOpDef]:
    """Those of all modules of ``kernels/``."""
    for found in pkgutil.iter_modules(kernels.__path__):
        module = importlib.import_module(f"{kernels.__name__}.{found.name}")
        own = (value for value in vars(module).values() if isinstance(value, CustomOpDef))
        yield from (op for op in own if op._init_fn.__module__ == module.__name__)


def there_and_back(op: CustomOpDef, device: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """``call`` with copies on ``device`` of all tensors; what ``op`` writes into is copied back."""
    arguments = op._opoverload._schema.arguments
    written = [at for at, one in enumerate(arguments) if one.alias_info is not None and one.alias_info.is_write]

    def called(*given: Any) -> Any:
        sent = [as_it_lies(value, device) if isinstance(value, Tensor) else value for value in given]
        results = tree_map_only(Tensor, Tensor.cpu, call(*sent))
        for at in written:
            given[at].copy_(sent[at])
        return results

    return called


def as_it_lies(value: Tensor, device: str) -> Tensor:
    """A copy on ``device`` with the same strides, offset and neighbours in memory: kernels read views in place."""
    numbers = value.untyped_storage().nbytes() // value.element_size()
    whole = torch.as_strided(value, (numbers,), (1,), 0).to(device, copy=True)
    return torch.as_strided(whole, value.shape, value.stride(), value.storage_offset())
