"""A pickle of nested dicts of arrays, read without running any of its code.

A pickle names functions and calls them. Here each name that numpy, flax and jax write for such a tree leads to a
placeholder that only records its arguments; any other name is refused before anything is called.

    {"Conv_0": {"kernel": array}}  is the call  _reconstruct(ndarray, (0,), b"b")  and the state
                                                (1, (3, 3, 3, 128), dtype("f4", ...), False, bytes)
"""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

FLOATS = ("f2", "f4", "f8")
NUMPY = ("numpy.core", "numpy._core")  # before and since numpy 2
FROZEN_DICT = ("flax.core.frozen_dict", "FrozenDict")
JAX_ARRAY = ("jax._src.array", "_reconstruct_array")
DEEPEST = 16  # a dict that holds itself has no end
PARTS = 1 << 16  # of a tree, LWM's has 468; sixteen dicts that hold one another twice and more have no end, either
MOST = 1 << 20  # numbers of remembered objects; the library reserves memory for all below the largest


def load_tree(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the tree by their keys with slashes; read-only, float16, float32 or float64.

    Raises ``ValueError`` (one line, names the file and the global or the key) for a pickle that asks for anything but
    dicts and arrays, one that ends early, and a tree with other leaves.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            check_memo(file)
            file.seek(0)
            tree = TreeUnpickler(file).load()
    except Exception as error:  # whatever a made-up pickle brings about, a MemoryError for one
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{path}: not a pickle of a tree of arrays ({said})") from None
    arrays: dict[str, NDArray[Any]] = {}
    try:
        _flatten(tree, (), arrays, iter(range(PARTS)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return arrays


def check_memo(file: IO[bytes]) -> None:
    """``ValueError`` for a pickle that is not one, or numbers what it remembers beyond all need; nothing is made."""
    for code, argument, _ in pickletools.genops(file):
        if "PUT" in code.name and isinstance(argument, int) and argument > MOST:
            raise ValueError(f"object {argument} is to be remembered; at most {MOST} are")


class TreeUnpickler(pickle.Unpickler):
    """Knows the names of trees of arrays, and no other. Its placeholders are its own, so that no pickle changes
    them."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self._known: dict[tuple[str, str], Callable[..., Any]] = {
            ("numpy", "ndarray"): Call(_refuse_call),  # only ever an argument
            ("numpy", "dtype"): Call(DType),
            ("_codecs", "encode"): Call(_encode),  # how protocol 2 and before write bytes
            FROZEN_DICT: Call(_frozen),
            JAX_ARRAY: Call(_jax_array),
        }
        for room in NUMPY:
            self._known[f"{room}.multiarray", "_reconstruct"] = Call(_reconstruct)
            self._known[f"{room}.multiarray", "scalar"] = Call(_scalar)
            self._known[f"{room}.numeric", "_frombuffer"] = Call(_frombuffer)

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in self._known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; only dicts and arrays are read")
        return self._known[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside itself; only dicts and arrays are read")


class Call:
    """A function that a pickle may call and otherwise do nothing with: it has no attributes to set."""

    __slots__ = ("_run",)

    def __init__(self, run: Callable[..., Any]) -> None:
        self._run = run

    def __call__(self, *args: Any) -> Any:
        return self._run(*args)


class DType:
    """Stands in for ``numpy.dtype``: one of the floats, little-endian."""

    __slots__ = ("name",)

    def __init__(self, name: Any, align: Any = False, copy: Any = True) -> None:
        if name not in FLOATS:
            raise ValueError(f"dtype {str(name)[:40]!r} is not read; choose from {', '.join(FLOATS)}")
        self.name: str = name

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", "|", "="):
            raise ValueError(f"byte order {str(state[1])[:40]!r} is not read; choose '<'")


class Array:
    """Stands in for ``numpy.ndarray``; ``value`` is set by its state."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.value = _values(data, dtype, shape, "F" if fortran else "C")


def _values(data: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    if not isinstance(dtype, DType) or not isinstance(data, bytes | bytearray):
        raise ValueError("an array's state is not (version, shape, dtype, order, bytes)")
    return np.frombuffer(data, "<" + dtype.name).reshape(tuple(shape), order="F" if order == "F" else "C")


def _made(value: NDArray[Any]) -> Array:
    array = Array()
    array.value = value
    return array


def _reconstruct(kind: Any, shape: Any, code: Any) -> Array:
    return Array()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    return _made(_values(data, dtype, shape, order))


def _scalar(dtype: Any, data: Any) -> Array:
    return _made(_values(data, dtype, (), "C"))


def _encode(text: Any, codec: Any) -> bytes:
    if not isinstance(text, str) or codec != "latin1":
        raise ValueError("bytes are written as latin1 text")
    return text.encode("latin1")


def _frozen(tree: Any) -> dict[Any, Any]:
    if not isinstance(tree, dict):
        raise ValueError("a FrozenDict is made of a dict")
    return tree


def _jax_array(function: Any, args: Any, state: Any, about: Any) -> Array:
    array = Array()
    array.__setstate__(state)
    return array


def _refuse_call(*args: Any) -> Any:
    raise ValueError("it calls numpy.ndarray; only dicts and arrays are read")


def _flatten(tree: Any, path: tuple[str, ...], arrays: dict[str, NDArray[Any]], room: Iterator[int]) -> None:
    key = "/".join(path)
    if next(room, None) is None:
        raise ValueError(f"key {key!r} is one of more than {PARTS} dicts and arrays")
    if len(path) > DEEPEST:
        raise ValueError(f"key {key!r} is deeper than {DEEPEST} dicts")
    if isinstance(tree, dict):
        for name, part in tree.items():
            if not isinstance(name, str):
                raise ValueError(f"key {key!r} has a part with the name {str(name)[:40]!r}; expected words")
            _flatten(part, (*path, name), arrays, room)
    elif isinstance(tree, Array) and tree.value is not None:
        arrays[key] = tree.value
    else:
        raise ValueError(f"key {key!r} is {type(tree).__name__}, expected an array")
