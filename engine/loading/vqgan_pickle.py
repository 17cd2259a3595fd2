"""LWM's published ``vqgan`` (a pickled tree of arrays) under the names of our module, as safetensors.

    encoder/DownsamplingBlock_2/ResnetBlock_0/Conv_1/kernel [3, 3, 256, 256]  ->  encoder.levels.2.blocks.0.conv2.weight

Convolution kernels are [height, width, in, out] there, [out, in, height, width] here. ``UpsamplingBlock_0`` is the
lowest resolution, as our ``decoder.levels.0``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from ..models.tokenizers.vqgan import VQGAN, VQGANConfig
from ..utils.atomic import write_json
from ..utils.weights import skeleton
from .converted import converted, find
from .tree_pickle import load_tree

PUBLISHED = {
    "conv_in": "Conv_0", "conv_out": "Conv_1", "norm_out": "GroupNorm_0", "mid": "MidBlock_0",
    "norm1": "GroupNorm_0", "conv1": "Conv_0", "norm2": "GroupNorm_1", "conv2": "Conv_1", "shortcut": "Conv_2",
}  # fmt: skip
LEVELS = {"encoder": "DownsamplingBlock", "decoder": "UpsamplingBlock"}
FILE = "vqgan"
LWM = VQGANConfig()
Model = TypeVar("Model", bound=VQGAN)
RESAMPLE = {"encoder": ["Downsample_0", "Conv_0"], "decoder": ["Upsample_0", "Conv_0"]}


def is_published(folder: Path) -> bool:
    """Does a published ``vqgan``, or what it was converted to, lie there?"""
    return (folder / FILE).is_file() or bool(find(folder / FILE))


def load_published(
    kind: type[Model],
    folder: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    config: VQGANConfig = LWM,
    root: Path | None = None,
) -> Model:
    """The VQGAN of ``folder / "vqgan"``, converted first if need be (``root``: where to).

    What finds codes stays float32 in a lower ``dtype``. Raises ``ValueError`` as :func:`converted_vqgan`.
    """
    model = kind.from_directory(converted_vqgan(folder / FILE, config, root), device, torch.float32)
    return model.to(dtype) if dtype.itemsize >= 4 else model.lower_decoder(dtype)


def published_key(name: str) -> str:
    """The published key of one of our parameters: ``quant_conv.bias`` -> ``quant_conv/bias``."""
    if name == "codebook.weight":
        return "quantize/embeddings"
    side, *parts, leaf = name.split(".")
    kind = "bias" if leaf == "bias" else "scale" if "norm" in (parts or [side])[-1] else "kernel"
    return "/".join((side, *_modules(side, parts), kind))


def _modules(side: str, parts: list[str]) -> list[str]:
    match parts:
        case ["levels", level, "blocks", block, *rest]:
            return [f"{LEVELS[side]}_{level}", f"ResnetBlock_{block}", *_modules(side, rest)]
        case ["levels", level, "resample", "conv"]:
            return [f"{LEVELS[side]}_{level}", *RESAMPLE[side]]
        case ["mid", block, *rest]:
            return [PUBLISHED["mid"], f"ResnetBlock_{block}", *_modules(side, rest)]
        case _:
            return [PUBLISHED[part] for part in parts]


def converted_vqgan(path: Path, config: VQGANConfig, root: Path | None = None) -> Path:
    """The folder that ``VQGAN.from_directory`` reads, made once of the file (see :func:`converted`). Values stay.

    Raises ``ValueError`` (one line, names the file and the key or the global) for whatever is not a plain tree of
    arrays with the keys and shapes of ``config``.
    """
    num_bytes = path.stat().st_size if path.is_file() else 0
    return converted(path, partial(convert_vqgan, config=config), num_bytes, root)


def convert_vqgan(path: Path, folder: Path, config: VQGANConfig) -> None:
    """Write ``path`` as ``model.safetensors`` and ``config.json`` into ``folder``."""
    arrays = load_tree(path)
    with skeleton():
        ours = VQGAN(config).state_dict()
    keys = {name: published_key(name) for name in ours}
    for key in sorted(set(keys.values()) - arrays.keys()):
        raise ValueError(f"{path}: key {key!r} is missing")
    for key in sorted(arrays.keys() - set(keys.values())):
        raise ValueError(f"{path}: key {key!r} is unexpected")
    state = {name: _tensor(path, key, arrays.pop(key), tuple(ours[name].shape)) for name, key in keys.items()}
    save_file(state, str(folder / "model.safetensors"))
    write_json(folder / "config.json", config.to_dict())


def _tensor(path: Path, key: str, value: NDArray[Any], shape: tuple[int, ...]) -> Tensor:
    kernel = len(shape) == 4
    expected = (*shape[2:], shape[1], shape[0]) if kernel else shape
    if value.shape != expected:
        raise ValueError(f"{path}: key {key!r} has shape {list(value.shape)}, expected {list(expected)}")
    return torch.from_numpy(np.array(value.transpose(3, 2, 0, 1) if kernel else value, order="C"))
