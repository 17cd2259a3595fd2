"""The stream of a published ``params``: what is malformed or cut off is named, and nothing but a line is said."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from acdc.engine.loading.flax_stream import read_index
from acdc.engine.loading.lwm_params import converted_params
from acdc.engine.models.lwm.model import LWMConfig
from tests.helpers.lwm_files import array_ext, chunked, entry, params_shapes, random_tensors, write_params
from tests.helpers.small_lwm import LN_F, SHAPES, W2, refusal, written


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return written(tmp_path / "params")


def _flawed(flaw: Callable[[Tensor], object]) -> Callable[[Tensor], bytes]:
    return lambda values: entry(W2, flaw(values))


def _without_chunk(number: str) -> Callable[[Tensor], object]:
    def flaw(values: Tensor) -> object:
        blob = chunked(values, 4000)
        del blob["chunks"][number]
        return blob

    return flaw


def _ext(*content: object, code: int = 1) -> msgpack.ExtType:
    return msgpack.ExtType(code, msgpack.packb(list(content)))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_flawed(_without_chunk("1")), "chunk '1' is missing"),
        (_flawed(_without_chunk("2")), r"8000 bytes in 2 parts; shape \[3, 48, 32\] needs 9216"),
        (_flawed(lambda v: chunked(v, 4000) | {"chunks": {}}), "chunk '0' is missing"),
        (_flawed(lambda v: chunked(v, 4000) | {"shape": {"0": 3, "2": 32}}), "size '1' is missing"),
        (_flawed(lambda v: chunked(v, 4000) | {"shape": 3}), "shape 3 of a chunked tensor is none"),
        (_flawed(lambda v: chunked(v, 4000) | {"chunk": 1}), "unknown entry 'chunk' of a chunked tensor"),
        (_flawed(lambda v: {"0": array_ext(v)}), "unknown entry '0' of a chunked tensor"),
        (_flawed(lambda v: msgpack.ExtType(3, array_ext(v).data)), "ext code 3 is unknown; tensors have 1"),
        (_flawed(lambda v: [1, 2]), "expected an ext, found a msgpack value of type 0x92"),
        (_flawed(lambda v: _ext([2], "float64", b"12")), "dtype 'float64' is unknown; choose from bfloat16, float16"),
        (_flawed(lambda v: _ext([2], ["float16"], b"12")), "dtype .* is unknown"),
        (_flawed(lambda v: _ext([-1], "float16", b"12")), r"shape \[-1\] is none"),
        (_flawed(lambda v: _ext("1\n2", "float16", b"12")), r"shape '1\\n2' is none"),
        (_flawed(lambda v: chunked(v, 4000) | {"shape": "1\n2"}), r"shape '1\\n2' of a chunked tensor is none"),
        (_flawed(lambda v: _ext([2], "float16", b"123")), r"3 bytes in 1 parts; shape \[2\] needs 4"),
        (_flawed(lambda v: _ext([2], "float16", b"1234", 5)), r"expected \[shape, dtype, values\]"),
        (_flawed(lambda v: _ext([1], "float16", "ab")), "expected bytes, found a msgpack value of type 0xa2"),
        (lambda v: msgpack.packb([W2.split("/"), "text"]), "expected bytes, found a msgpack value of type 0xa4"),
        (lambda v: msgpack.packb([W2.split("/"), msgpack.packb(array_ext(v)) + b"!"]), "1 bytes too many before byte"),
    ],
)
def test_a_malformed_tensor_is_refused_by_key(params: Path, write: Callable[[Tensor], bytes], message: str) -> None:
    tensors = random_tensors(SHAPES, torch.bfloat16)
    values = tensors.pop(W2)
    write_params(params, tensors)
    with params.open("ab") as file:
        file.write(write(values))
    with pytest.raises(ValueError, match=f"key '{W2}': {message}"):
        read_index(params)
    refusal(params)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (msgpack.packb({"params": 1}), "the object at byte 0: not of the expected layout"),
        (msgpack.packb([1, 2, 3]), r"the object at byte 0: expected \[key, tensor\]"),
        (msgpack.packb([[1], b""]), r"the object at byte 0: expected a key of several words, found '\[1\]'"),
        (b"\xc1", "the object at byte 0: not of the expected layout"),
        (b"\x92\xdd\x05\xf5\xe1\x00", "the object at byte 0: .*100000000 exceeds"),  # would reserve 800 MB
        (entry(LN_F, array_ext(torch.ones(2))) * 2, f"key '{LN_F}' appears twice"),
    ],
)
def test_a_file_that_is_not_such_a_stream(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "params").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_index(tmp_path / "params")


@given(data=st.data())
def test_a_truncated_stream_is_refused_wherever_it_ends(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    folder = tmp_path_factory.mktemp("cut")
    whole = folder / "whole"
    write_params(whole, random_tensors(params_shapes(1, 8, 8, 4, 4), torch.bfloat16), chunk_bytes=64)
    content = whole.read_bytes()
    (folder / "params").write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    sizes = LWMConfig(layers=1, hidden=8, ffn=8, heads=2, text_vocab=4, vision_vocab=4)
    with pytest.raises(ValueError, match=r"params: (key '\S+'|the object at byte \d+)(:| is missing)") as caught:
        converted_params(folder / "params", sizes)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=60))
def test_no_bytes_bring_anything_but_a_value_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("noise") / "params"
    path.write_bytes(content)
    with contextlib.suppress(ValueError):  # anything else fails the test
        read_index(path)
