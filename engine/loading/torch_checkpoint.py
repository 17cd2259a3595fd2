"""Tensors of a ``torch.save`` file, read without running what its pickle asks for.

torch's own restricted reader builds tensors and plain containers alone and refuses every other name before it is
called. The file is mapped, not copied, so that a tensor takes memory while it is used.
"""

from __future__ import annotations

import re
import zipfile
from argparse import Namespace
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ASKED = re.compile(r"GLOBAL (\S+)")
ERROR = re.compile(r"WeightsUnpickler error: (.*?)( Check the documentation|$)")
SAID = 200  # characters of a library's message
DEEPSPEED = "module"  # a training run's file: all names begin with a wrapper's
WRAPPER = "_forward_module."


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors by name, on the CPU, read-only: of the dictionary itself, of its "state_dict", or of its "module", as
    DeepSpeed writes it.

    Raises ``ValueError`` (one line, names the file and the global or the key) for a file that asks for anything but
    tensors, a damaged one, and entries that are not tensors.
    """
    return _tensors(path, *_unwrap(_load(path)))


def read_trained(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of the dictionary's "model" as :func:`read_tensors` has them, and the arguments that the training
    script was called with, in "args": plain values, which an ``argparse.Namespace`` may hold.

    Raises ``ValueError`` as :func:`read_tensors`, and for a file without the two.
    """
    with torch.serialization.safe_globals([Namespace]):
        found = _load(path)
    if not isinstance(found, Mapping) or not {"model", "args"} <= found.keys():
        raise ValueError(f"{path}: expected a dictionary with 'model' and 'args', as its authors' training writes it")
    args = vars(found["args"]) if isinstance(found["args"], Namespace) else found["args"]
    if not isinstance(args, Mapping):
        raise ValueError(f"{path}: 'args' is {type(args).__name__}, expected the training script's arguments")
    return _tensors(path, found["model"]), dict(args)


def check_keys(
    path: Path,
    tensors: Mapping[str, Tensor],
    wanted: Mapping[str, tuple[int, ...]],
    unused: Collection[str] = (),
) -> None:
    """``ValueError`` for a tensor that is missing, unexpected (unless it is ``unused``), of another shape or not of
    floats."""
    for key in sorted(wanted.keys() - tensors.keys()):
        raise ValueError(f"{path}: key {key!r} is missing")
    for key in sorted(tensors.keys() - wanted.keys() - set(unused)):
        raise ValueError(f"{path}: key {key!r} is unexpected")
    for key, shape in wanted.items():
        if tuple(tensors[key].shape) != shape:
            raise ValueError(f"{path}: key {key!r} has shape {list(tensors[key].shape)}, expected {list(shape)}")
        if not tensors[key].is_floating_point():
            raise ValueError(f"{path}: key {key!r} is of {tensors[key].dtype}, expected floats")


def _load(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not an archive that torch.save writes, or one that ends early")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever a made-up file brings about
        raise ValueError(f"{path}: not read ({_reason(error)})") from None


def _tensors(path: Path, state: Any, prefix: str = "") -> dict[str, Tensor]:
    if not isinstance(state, Mapping):
        raise ValueError(f"{path}: expected a dictionary of tensors, found {type(state).__name__}")
    tensors: dict[str, Tensor] = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            raise ValueError(f"{path}: key {str(name)[:SAID]!r} is {type(value).__name__}, expected a dense tensor")
        tensors[name.removeprefix(prefix)] = value.detach()
    return tensors


def _unwrap(found: Any) -> tuple[Any, str]:
    if isinstance(found, Mapping):
        for key, prefix in ((DEEPSPEED, WRAPPER), ("state_dict", "")):
            if isinstance(found.get(key), Mapping):
                return found[key], prefix
    return found, ""


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if asked := ASKED.search(text):
        return f"it asks for {asked[1]}; only tensors are read"
    own = ERROR.search(text)  # the rest is advice to trust the file
    return (own[1] if own else text)[:SAID] or type(error).__name__
