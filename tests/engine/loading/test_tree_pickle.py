"""A pickled tree of arrays: exact arrays, and none of a pickle's code is run."""

from __future__ import annotations

import builtins
import contextlib
import functools
import io
import os
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acdc.engine.loading import tree_pickle
from acdc.engine.loading.tree_pickle import load_tree
from tests.helpers.lwm_files import random_arrays, tree_of, vqgan_shapes

ARRAYS = random_arrays(vqgan_shapes(4, (1, 2), 1, 6, 40))


class FrozenDict:
    """Pickles as flax's: (FrozenDict, (dict,))."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree

    def __reduce__(self) -> Any:
        return type(self), (self.tree,)


class JaxArray:
    """Pickles as jax's: its function, numpy's own reconstruction, and what jax adds."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        return _reconstruct_array, (*self.value.__reduce__(), {"weak_type": False, "named_shape": {}})


def _reconstruct_array(*args: Any) -> Any:
    raise AssertionError("no code of a pickle is run")


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes above under the names of flax and jax."""
    for name, thing in (("flax.core.frozen_dict", FrozenDict), ("jax._src.array", _reconstruct_array)):
        for depth in range(1, name.count(".") + 2):
            part = ".".join(name.split(".")[:depth])
            monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
        monkeypatch.setattr(thing, "__module__", name)
        setattr(sys.modules[name], thing.__name__, thing)


@pytest.mark.usefixtures("foreign")
def test_frozen_dicts_and_jax_arrays_are_read_without_flax_and_jax(tmp_path: Path) -> None:
    tree = tree_of({key: JaxArray(value) for key, value in ARRAYS.items()})
    (tmp_path / "vqgan").write_bytes(pickle.dumps(FrozenDict({k: FrozenDict(v) for k, v in tree.items()})))
    read = load_tree(tmp_path / "vqgan")
    assert read.keys() == ARRAYS.keys()
    assert all(np.array_equal(read[key], ARRAYS[key]) for key in ARRAYS)


def test_arrays_in_fortran_order_and_scalars(tmp_path: Path) -> None:
    tree = {"a": np.asfortranarray(np.arange(6, dtype="f4").reshape(2, 3)), "b": np.float32(2.5)}
    for protocol in (2, 4, 5):
        (tmp_path / "vqgan").write_bytes(pickle.dumps(tree, protocol=protocol))
        read = load_tree(tmp_path / "vqgan")
        assert np.array_equal(read["a"], tree["a"])
        assert read["b"] == 2.5


def test_names_of_numpy_before_version_2(tmp_path: Path) -> None:
    old = pickle.dumps(tree_of(ARRAYS), protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "vqgan").write_bytes(old)
    assert load_tree(tmp_path / "vqgan").keys() == ARRAYS.keys()


class Asks:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("function", "args", "name"),
    [
        (os.system, ("echo > {path}.ran",), "posix.system"),
        (builtins.eval, ("open('{path}.ran', 'w')",), "eval"),
        (builtins.getattr, ("", "join"), "getattr"),
        (functools.partial, (print,), "functools.partial"),
        (np.load, ("{path}",), "numpy.load"),
        (io.open, ("{path}.ran", "w"), "_?io.open"),
        (bytearray, (3,), "bytearray"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_calls_anything_is_refused_by_name(
    tmp_path: Path, function: Callable[..., Any], args: tuple[Any, ...], name: str, protocol: int
) -> None:
    path = tmp_path / "vqgan"
    given_args = [one.format(path=path) if isinstance(one, str) else one for one in args]
    path.write_bytes(pickle.dumps({"encoder": Asks(function, *given_args)}, protocol=protocol))
    with pytest.raises(ValueError, match=rf"vqgan: not a pickle of a tree of arrays \(it asks for .*{name};") as caught:
        load_tree(path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_an_allowed_name_does_not_open_its_attributes(tmp_path: Path) -> None:
    """Protocol 4 may ask for ``numpy.ndarray.__reduce__`` or the like, and for attributes to be set."""
    path = tmp_path / "vqgan"
    path.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.")
    with pytest.raises(ValueError, match=r"it asks for numpy\.ndarray\.tofile"):
        load_tree(path)
    state = pickle.dumps((None, {"__call__": 1}), protocol=2)[2:-1]
    path.write_bytes(b"\x80\x02cnumpy\nndarray\n" + state + b"b.")
    with pytest.raises(ValueError, match="not a pickle of a tree of arrays"):
        load_tree(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": np.array([1, None])}, r"dtype 'O8' is not read; choose from f2, f4, f8"),
        ({"a": np.array(["x"])}, r"dtype 'U1' is not read"),
        ({"a": np.arange(3)}, r"dtype 'i8' is not read"),
        ({"a": np.arange(3, dtype=">f4")}, r"byte order '>' is not read"),
        ({"a": [1.0]}, "key 'a' is list, expected an array"),
        ({"a": {"b": "text"}}, "key 'a/b' is str, expected an array"),
        ([1], "key '' is list, expected an array"),
        ({"a": {3: np.ones(1, "f4")}}, "key 'a' has a part with the name '3'"),
    ],
)
def test_another_tree_is_refused_by_key(tmp_path: Path, content: Any, message: str) -> None:
    (tmp_path / "vqgan").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        load_tree(tmp_path / "vqgan")
    assert "\n" not in str(caught.value)


def test_a_dict_that_holds_itself(tmp_path: Path) -> None:
    tree: dict[str, Any] = {}
    tree["a"] = tree
    (tmp_path / "vqgan").write_bytes(pickle.dumps(tree))
    with pytest.raises(ValueError, match="is deeper than 16 dicts"):
        load_tree(tmp_path / "vqgan")


def test_dicts_that_hold_one_another_over_and_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """16 dicts of 10 names each, all of one dict, are 10 ** 16 parts; four of them show it."""
    monkeypatch.setattr(tree_pickle, "PARTS", 1000)
    tree: dict[str, Any] = {}
    for _ in range(4):
        tree = dict.fromkeys("abcdefghij", tree)
    (tmp_path / "vqgan").write_bytes(pickle.dumps(tree))
    with pytest.raises(ValueError, match=r"vqgan: key '\S+' is one of more than 1000 dicts and arrays$"):
        load_tree(tmp_path / "vqgan")


@given(data=st.data())
def test_a_truncated_pickle(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = pickle.dumps({"a": {"b": np.ones((3, 2), "f4")}, "c": np.ones(3, "f4")})
    path = tmp_path_factory.mktemp("cut") / "vqgan"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(ValueError, match="not a pickle of a tree of arrays") as caught:
        load_tree(path)
    assert "\n" not in str(caught.value)


@given(data=st.data())
def test_no_changed_byte_brings_anything_but_a_value_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(pickle.dumps({"a": {"b": np.ones((3, 2), "f4")}}, protocol=data.draw(st.sampled_from([2, 4]))))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("noise") / "vqgan"
    path.write_bytes(bytes(content))
    with contextlib.suppress(ValueError):  # anything else fails the test
        load_tree(path)


def test_memory_is_not_reserved_on_a_pickles_word(tmp_path: Path) -> None:
    """LONG_BINPUT of object 2 ** 31 would take 32 GiB."""
    (tmp_path / "vqgan").write_bytes(b"\x80\x02}r\x00\x00\x00\x80.")
    with pytest.raises(ValueError, match="object 2147483648 is to be remembered; at most 1048576 are"):
        load_tree(tmp_path / "vqgan")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="vqgan: no such file"):
        load_tree(tmp_path / "vqgan")
