"""Tensors of a TorchScript archive, read without running its code.

OpenAI publishes CLIP so. ``torch.jit.load`` would compile and may run what the file brings; here the pickle in it is
read by a reader that knows tensors, numbers and containers, takes every class of the archive for a bag of attributes,
and refuses any other name before it is called.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....engine.utils.to_one_line import one_line

DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "DoubleStorage": torch.float64,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}
OWN = "__torch__"  # classes that the archive defines
LISTS = {"build_intlist", "build_doublelist", "build_boollist", "build_tensorlist"}
DEEPEST = 64
SAID = 200


def is_torchscript(path: Path) -> bool:
    """Is it an archive with code?"""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """The tensors of the archive's module by the paths of their attributes, as its state dictionary names them.

    Raises ``ValueError`` (one line, names the file) for a pickle that asks for anything else, and for a damaged file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            with archive.open(name) as file:
                root = _Reader(file, archive, name.removesuffix("data.pkl")).load()
    except Exception as error:  # whatever a made-up file brings about
        raise ValueError(f"{path}: not a TorchScript archive of tensors ({one_line(str(error))[:SAID]})") from None
    tensors: dict[str, Tensor] = {}
    _collect(root, (), tensors)
    return tensors


class _Bag:
    """An object of a class that the archive defines: its attributes, and nothing that runs."""

    def __setstate__(self, state: Any) -> None:
        self.attributes = state if isinstance(state, dict) else {}


class _Reader(pickle.Unpickler):
    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self._archive, self._folder = archive, folder

    def find_class(self, module: str, name: str) -> Callable[..., Any] | torch.dtype:
        if module.partition(".")[0] == OWN:
            return _Bag
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and name in LISTS:
            return list
        if (module, name) == ("torch.jit._pickle", "restore_type_tag"):
            return _untagged
        raise pickle.UnpicklingError(f"it asks for {module}.{name}; only tensors are read")

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, _ = pid
        if not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError("a storage has no type")
        data = bytearray(self._archive.read(f"{self._folder}data/{key}"))
        return torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)


def _untagged(value: Any, tag: Any) -> Any:
    return value


def _tensor(storage: Tensor, offset: int, size: Any, stride: Any, *more: Any) -> Tensor:
    return torch.as_strided(storage, tuple(size), tuple(stride), offset)  # refuses what lies outside of the storage


def _collect(value: Any, path: tuple[str, ...], tensors: dict[str, Tensor]) -> None:
    if isinstance(value, Tensor):
        tensors[".".join(path)] = value
    elif isinstance(value, _Bag) and len(path) < DEEPEST:
        for name, part in getattr(value, "attributes", {}).items():
            _collect(part, (*path, str(name)), tensors)
