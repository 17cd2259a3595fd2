"""LWM's published files in small, written by the facts about their formats and nothing of the engine's."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import torch
from torch import Tensor

DECODER = "transformer/h/scan_decoder"
DTYPE_NAMES = {torch.bfloat16: "bfloat16", torch.float16: "float16", torch.float32: "float32"}


def params_shapes(n: int, d: int, f: int, text: int, vision: int) -> dict[str, tuple[int, ...]]:
    """Every key of a ``params`` file: layers, hidden, feed-forward, text ids, vision ids."""
    return {
        "transformer/wte/embedding": (text, d),
        "transformer/vte/embedding": (vision, d),
        f"{DECODER}/attention/wq/kernel": (n, d, d),
        f"{DECODER}/attention/wk/kernel": (n, d, d),
        f"{DECODER}/attention/wv/kernel": (n, d, d),
        f"{DECODER}/attention/wo/kernel": (n, d, d),
        f"{DECODER}/feed_forward/w1/kernel": (n, d, f),
        f"{DECODER}/feed_forward/w2/kernel": (n, f, d),
        f"{DECODER}/feed_forward/w3/kernel": (n, d, f),
        f"{DECODER}/attention_norm/kernel": (n, d),
        f"{DECODER}/ffn_norm/kernel": (n, d),
        "transformer/ln_f/kernel": (d,),
        "lm_head/kernel": (d, text),
        "vision_head/kernel": (d, vision),
    }


def random_tensors(shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Norms near one, tables and matrices of the scale that keeps activations near one."""
    generator = torch.Generator().manual_seed(3)
    made = {}
    for key, shape in shapes.items():
        values = torch.randn(shape, generator=generator)
        if "norm" in key or "ln_f" in key:
            values = 1 + 0.1 * values
        elif key.endswith("kernel"):
            values = values / math.sqrt(shape[-2])
        made[key] = values.to(dtype)
    return made


def array_ext(values: Tensor) -> msgpack.ExtType:
    raw = values.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return msgpack.ExtType(1, msgpack.packb([list(values.shape), DTYPE_NAMES[values.dtype], raw]))


def chunked(values: Tensor, chunk_bytes: int) -> dict[str, Any]:
    pieces = values.reshape(-1).split(chunk_bytes // values.dtype.itemsize)
    return {
        "__msgpack_chunked_array__": True,
        "shape": {str(axis): size for axis, size in enumerate(values.shape)},
        "chunks": {str(number): array_ext(piece) for number, piece in enumerate(pieces)},
    }


def entry(key: str, blob: Any) -> bytes:
    return msgpack.packb([key.split("/"), msgpack.packb(blob)])


def write_params(path: Path, tensors: Mapping[str, Tensor], chunk_bytes: int = 1 << 30) -> None:
    """One [key, bin] a tensor; what is larger than ``chunk_bytes`` in pieces of that size."""
    with path.open("wb") as file:
        for key, values in tensors.items():
            blob = array_ext(values) if values.nbytes <= chunk_bytes else chunked(values, chunk_bytes)
            file.write(entry(key, blob))


def vqgan_shapes(
    base: int, multipliers: tuple[int, ...], blocks: int, z: int, codes: int
) -> dict[str, tuple[int, ...]]:
    """Every key of a ``vqgan`` file; kernels are [height, width, in, out]."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(key: str, size: int, inputs: int, outputs: int) -> None:
        shapes[f"{key}/kernel"], shapes[f"{key}/bias"] = (size, size, inputs, outputs), (outputs,)

    def norm(key: str, channels: int) -> None:
        shapes[f"{key}/scale"] = shapes[f"{key}/bias"] = (channels,)

    def resnet(key: str, inputs: int, outputs: int) -> None:
        norm(f"{key}/GroupNorm_0", inputs)
        conv(f"{key}/Conv_0", 3, inputs, outputs)
        norm(f"{key}/GroupNorm_1", outputs)
        conv(f"{key}/Conv_1", 3, outputs, outputs)
        if inputs != outputs:
            conv(f"{key}/Conv_2", 1, inputs, outputs)

    def levels(side: str, kind: str, resample: str, widths: list[int], count: int) -> None:
        inputs = widths[0]
        for level, outputs in enumerate(widths):
            for block in range(count):
                resnet(f"{side}/{kind}_{level}/ResnetBlock_{block}", inputs, outputs)
                inputs = outputs
            if level < len(widths) - 1:
                conv(f"{side}/{kind}_{level}/{resample}_0/Conv_0", 3, outputs, outputs)

    widths = [base * multiplier for multiplier in multipliers]
    for side, first, last in (("encoder", 3, z), ("decoder", z, 3)):
        wide, narrow = widths[-1], widths[0]
        conv(f"{side}/Conv_0", 3, first, narrow if side == "encoder" else wide)
        conv(f"{side}/Conv_1", 3, wide if side == "encoder" else narrow, last)
        norm(f"{side}/GroupNorm_0", wide if side == "encoder" else narrow)
        for block in range(2):
            resnet(f"{side}/MidBlock_0/ResnetBlock_{block}", wide, wide)
    levels("encoder", "DownsamplingBlock", "Downsample", widths, blocks)
    levels("decoder", "UpsamplingBlock", "Upsample", widths[::-1], blocks + 1)
    conv("quant_conv", 1, z, z)
    conv("post_quant_conv", 1, z, z)
    shapes["quantize/embeddings"] = (codes, z)
    return shapes


def random_arrays(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    return {
        key: (random.standard_normal(shape) * 0.3 + key.endswith("scale")).astype(np.float32)
        for key, shape in shapes.items()
    }


def tree_of(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Keys with slashes -> nested dicts."""
    tree: dict[str, Any] = {}
    for key, value in arrays.items():
        *path, last = key.split("/")
        place = tree
        for name in path:
            place = place.setdefault(name, {})
        place[last] = value
    return tree


def write_vqgan(path: Path, arrays: Mapping[str, Any], protocol: int = pickle.DEFAULT_PROTOCOL) -> None:
    path.write_bytes(pickle.dumps(tree_of(arrays), protocol=protocol))
