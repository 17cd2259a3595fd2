"""LWM's published ``params`` (``LargeWorldModel/LWM-Chat-*-Jax``) under the names of our module, as safetensors.

Published matrices are [in, out], torch's [out, in]; layers are stacked on axis 0. Rotary pairs are interleaved in
both, so rows keep their order:

    transformer/h/scan_decoder/attention/wq/kernel [32, 4096, 4096]  ->  blocks.5.attention.wq.weight = kernel[5].T
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from torch import Tensor

from ..models.lwm.model import LWMConfig
from .converted import converted
from .flax_stream import Stored, read_index
from .msgpack_cursor import Malformed
from .shards import write_shards

ONCE = {
    "wte.weight": "transformer/wte/embedding",
    "vte.weight": "transformer/vte/embedding",
    "ln_f.weight": "transformer/ln_f/kernel",
    "lm_head.weight": "lm_head/kernel",
    "vision_head.weight": "vision_head/kernel",
}
DECODER = "transformer/h/scan_decoder"
PER_LAYER = {
    **{f"attention.{name}.weight": f"{DECODER}/attention/{name}/kernel" for name in ("wq", "wk", "wv", "wo")},
    **{f"feed_forward.{name}.weight": f"{DECODER}/feed_forward/{name}/kernel" for name in ("w1", "w2", "w3")},
    "attention_norm.weight": f"{DECODER}/attention_norm/kernel",
    "ffn_norm.weight": f"{DECODER}/ffn_norm/kernel",
}
OLD_BYTES = 5  # a parameter: above it lies the first upload of 40.8 GB (6), below it float32 (4) and 16 bit (2)


def published_shapes(config: LWMConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every published tensor: 14 of them, 6,807,621,632 values at LWM's sizes."""
    n, d, f, text, vision = config.layers, config.hidden, config.ffn, config.text_vocab, config.vision_vocab
    shapes: dict[str, tuple[int, ...]] = {key: (n, d, d) for key in PER_LAYER.values() if "/attention/" in key}
    shapes |= {f"{DECODER}/feed_forward/{name}/kernel": (n, d, f) for name in ("w1", "w3")}
    shapes |= {f"{DECODER}/feed_forward/w2/kernel": (n, f, d)}
    shapes |= {f"{DECODER}/{norm}/kernel": (n, d) for norm in ("attention_norm", "ffn_norm")}
    shapes |= {"transformer/wte/embedding": (text, d), "transformer/vte/embedding": (vision, d)}
    return shapes | {"transformer/ln_f/kernel": (d,), "lm_head/kernel": (d, text), "vision_head/kernel": (d, vision)}


def converted_params(path: Path, config: LWMConfig, root: Path | None = None) -> Path:
    """The folder of the file's safetensors (one a layer, one a large table), made once: see :func:`converted`.

    Values and dtype stay as they are. Peak memory is that of two layers, not of the file. Raises ``ValueError`` (one
    line, names the file and the key) for whatever is not LWM's tree of tensors at the sizes of ``config``.
    """
    num_bytes = path.stat().st_size if path.is_file() else 0
    return converted(path, partial(convert_params, config=config), num_bytes, root)


def convert_params(path: Path, folder: Path, config: LWMConfig) -> None:
    """Write ``path`` as safetensors into ``folder``."""
    stored = check_params(path, config)
    with path.open("rb") as file:
        write_shards(folder, _shards(path, file, stored, config), len(ONCE) + config.layers)


def check_params(path: Path, config: LWMConfig) -> dict[str, Stored]:
    """Position of each tensor in a valid file; nothing large is read."""
    size, count = path.stat().st_size, _count(config)
    if size > OLD_BYTES * count:
        raise ValueError(
            f"{path}: {size:,} bytes are {size / count:.1f} a parameter, as in the 40.8 GB file of the first upload; "
            f"the published file has 2 ({2 * count:,} bytes)"
        )
    stored, expected = read_index(path), published_shapes(config)
    for key in sorted(expected.keys() - stored.keys()):
        raise ValueError(f"{path}: key {key!r} is missing")
    for key in sorted(stored.keys() - expected.keys()):
        raise ValueError(f"{path}: key {key!r} is unexpected")
    first = next(iter(stored.values()))
    for key, one in stored.items():
        if one.shape != expected[key]:
            raise ValueError(f"{path}: key {key!r} has shape {list(one.shape)}, expected {list(expected[key])}")
        if one.dtype != first.dtype:
            raise ValueError(
                f"{path}: key {key!r} is {_name(one)}, the first tensor {_name(first)}; expected one dtype"
            )
    return stored


def _shards(path: Path, file: BinaryIO, stored: dict[str, Stored], config: LWMConfig) -> Iterator[dict[str, Tensor]]:
    """The tensors of each file to write, under our names."""

    def read(key: str, layer: int | None = None) -> Tensor:
        try:
            value = stored[key].read(file, layer)
        except Malformed as error:
            raise ValueError(f"{path}: key {key!r}: {error}") from None
        return value.T.contiguous() if key.endswith("kernel") and value.dim() == 2 else value

    for name, key in ONCE.items():
        yield {name: read(key)}
    for layer in range(config.layers):
        yield {f"blocks.{layer}.{name}": read(key, layer) for name, key in PER_LAYER.items()}


def _count(config: LWMConfig) -> int:
    return sum(math.prod(shape) for shape in published_shapes(config).values())


def _name(stored: Stored) -> str:
    return str(stored.dtype)[6:]  # without "torch."
