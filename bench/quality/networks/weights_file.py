"""Tensors of a published file by name, read without running what a pickle asks for, and put into a module strictly."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ....engine.utils.to_one_line import one_line
from ....engine.utils.weights import cast

WRAPPERS = ("state_dict", "params", "model")  # in which training scripts put the tensors
PARALLEL = "module."  # as torch.nn.DataParallel begins each name
SAID = 200  # characters of a library's message
Tensors = dict[str, Tensor]


def read_weights(path: Path) -> Tensors:
    """The tensors by name: of safetensors, or of ``torch.save`` in its present or its former format, where they may lie
    in "state_dict", "params" or "model", under names that begin with "module.".

    Raises ``ValueError`` (one line, names the file) for a file that asks for anything but tensors, or is damaged.
    """
    found = _read(path)
    if isinstance(found, Mapping):
        for name in WRAPPERS:
            if isinstance(found.get(name), Mapping):
                found = found[name]
                break
    if not isinstance(found, Mapping) or not found:
        raise ValueError(f"{path}: expected a dictionary of tensors, found {type(found).__name__}")
    tensors: Tensors = {}
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"{path}: key {str(name)[:SAID]!r} is {type(value).__name__}, expected a tensor")
        tensors[name.removeprefix(PARALLEL)] = value.detach()
    return tensors


def fill(
    module: nn.Module,
    path: Path,
    tensors: Mapping[str, Tensor],
    unused: Collection[str] = (),
    rename: Callable[[str], str | None] = str,
) -> None:
    """Put ``tensors`` into ``module`` as float32. ``rename`` gives our name of a published one, None for one without
    use; ``unused`` are our parameters that no file has (counters).

    Raises ``ValueError`` (one line: file, key) for a key that is missing or unexpected, a wrong shape, and NaN.
    """
    ours = module.state_dict()
    state: Tensors = {}
    for key, value in tensors.items():
        name = rename(key)
        if name is None:
            continue
        if name not in ours:
            raise ValueError(f"{path}: key {key!r} is unexpected")
        if value.shape != ours[name].shape:
            raise ValueError(f"{path}: key {key!r} has shape {list(value.shape)}, expected {list(ours[name].shape)}")
        state[name] = cast(path, key, value, torch.float32).contiguous()
    missing = sorted(ours.keys() - state.keys() - set(unused))
    if missing:
        raise ValueError(f"{path}: the key of {missing[0]!r} is missing")
    module.load_state_dict(state, strict=not unused)


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not readable ({one_line(str(error))[:SAID]})") from None
    except Exception as error:  # whatever a made-up file brings about
        raise ValueError(f"{path}: not a file of tensors alone ({one_line(str(error))[:SAID]})") from None
