"""Strict reading of weights and configs: what is wrong is said in one line that names the file and the key."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.overrides import TorchFunctionMode

SMALL_FILE = 256 << 20  # bytes


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises ValueError (one line, names the file) if it is missing or no object."""
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not readable as JSON ({_one_line(error)})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


class _Undrawn(TorchFunctionMode):
    """Passes over every function of ``torch.nn.init``."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def skeleton() -> Iterator[None]:
    """Modules made within have shapes and no values, for :func:`load_into`: no time or memory for random numbers.

    The meta device alone would still *draw* them: for an embedding's it imports torch's compiler, the longest part of a
    start.
    """
    with torch.device("meta"), _Undrawn():
        yield


def load_into(module: nn.Module, path: Path, dtype: torch.dtype) -> None:
    """Fill every parameter and persistent buffer of `module` from a safetensors file, and cast floats to `dtype`.

    `module` may live on the meta device: its tensors are replaced, not copied into, so that a large model is
    held in memory once. Keys and shapes are compared before any tensor is read. The tensors stay on the CPU;
    move the module afterwards. Raises ValueError (one line, names the file and the key) for a missing or
    truncated file, a missing or unexpected key and a wrong shape.
    """
    path = Path(path)
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            _compare(path, expected, found)
            with threads_for(path.stat().st_size):
                state = {name: cast(path, name, file.get_tensor(name), dtype) for name in expected}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a complete safetensors file ({_one_line(error)})") from None
    module.load_state_dict(state, strict=True, assign=True)


@contextmanager
def threads_for(num_bytes: int) -> Iterator[None]:
    """One thread within, where less than ``SMALL_FILE`` bytes are read.

    Hundreds of small tensors are as many times that threads wait for each other: on two cores that others use as well,
    the embedded bundle took 1.9 s of processor time with two threads and .16 s with one.
    """
    before = torch.get_num_threads()
    if num_bytes >= SMALL_FILE or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def why_unreadable(path: Path, error: Exception) -> str:
    """The reason for a failed ``safe_open`` in one line; a pickle is named as what it is, and is not run."""
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(2)
        if start.startswith(b"\x80") or start == b"PK":
            return "a pickle, which can run any program when it is read; save it as safetensors"
    return f"not a complete safetensors file ({_one_line(error)})"


def _compare(path: Path, expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> None:
    for name in sorted(expected.keys() - found.keys()):
        raise ValueError(f"{path}: key {name!r} is missing")
    for name in sorted(found.keys() - expected.keys()):
        raise ValueError(f"{path}: key {name!r} is unexpected")
    for name, shape in expected.items():
        if found[name] != shape:
            raise ValueError(f"{path}: key {name!r} has shape {list(found[name])}, expected {list(shape)}")


def cast(path: Path, name: str, value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A weight in ``dtype`` (integers stay). ``ValueError`` (names the file and the key) for NaN and infinity, which
    would pass through all networks into a picture, and for numbers that ``dtype`` cannot hold."""
    if not value.is_floating_point():
        return value
    made = value.to(dtype)
    if not _is_finite(made):
        why = "is damaged" if not _is_finite(value) else f"does not fit into {str(dtype)[6:]}: choose --dtype float32"
        raise ValueError(f"{path}: key {name!r} {why} (it holds NaN or infinity)")
    return made


def _is_finite(value: torch.Tensor) -> bool:
    """By a sum, which reads each number once and writes none."""
    return math.isfinite(value.sum(dtype=torch.promote_types(value.dtype, torch.float32)).item())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
