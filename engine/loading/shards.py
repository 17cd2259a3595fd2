"""Weights in several safetensors files with an index, as transformers and diffusers write them.

    model-00001-of-00003.safetensors ...    model.safetensors.index.json: {"weight_map": {key: file}}

Both ways hold one file's tensors at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..utils.atomic import write_json
from ..utils.weights import cast, read_json

INDEX = "model.safetensors.index.json"
SHARD_BYTES = 1 << 30


def in_groups(num_bytes: Mapping[str, int]) -> list[list[str]]:
    """The names in their order, up to ``SHARD_BYTES`` together; a larger one is alone."""
    groups: list[list[str]] = []
    total = 0
    for name, size in num_bytes.items():
        if not groups or total + size > SHARD_BYTES:
            groups.append([])
            total = 0
        groups[-1].append(name)
        total += size
    return groups


def write_shards(folder: Path, shards: Iterable[dict[str, Tensor]], count: int) -> None:
    """Write each of the ``count`` groups of tensors to a file of its own, and the index last."""
    places: dict[str, str] = {}
    total = 0
    for number, tensors in enumerate(shards, 1):
        name = f"model-{number:05}-of-{count:05}.safetensors"
        save_file(tensors, str(folder / name))
        places |= dict.fromkeys(tensors, name)
        total += sum(value.nbytes for value in tensors.values())
        tensors.clear()  # before the next group is read
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})


def load_shards(module: nn.Module, folder: Path, device: torch.device | str, dtype: torch.dtype) -> None:
    """Fill every parameter of ``module``, which may live on the meta device; floats are cast to ``dtype``.

    Tensor by tensor to ``device``, so that a large model is never whole in host memory on its way. Raises
    ``ValueError`` (one line, names the file and the key) for a missing, unexpected or misshapen tensor and a missing
    or truncated file.
    """
    index = folder / INDEX
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict):
        raise ValueError(f"{index}: 'weight_map' is missing")
    for name, place in places.items():
        if not isinstance(place, str):
            raise ValueError(f"{index}: 'weight_map' names no file for {name!r}")
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    for name in sorted(expected.keys() - places.keys()):
        raise ValueError(f"{index}: key {name!r} is missing")
    for name in sorted(places.keys() - expected.keys()):
        raise ValueError(f"{index}: key {name!r} is unexpected")
    state: dict[str, Tensor] = {}
    for file in sorted(set(places.values())):
        wanted = {name: expected[name] for name, place in places.items() if place == file}
        state |= _read(folder / Path(file).name, wanted, device, dtype)
    module.load_state_dict(state, strict=True, assign=True)


def _read(
    path: Path, wanted: dict[str, tuple[int, ...]], device: torch.device | str, dtype: torch.dtype
) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            held = set(file.keys())
            for name, shape in wanted.items():
                found = tuple(file.get_slice(name).get_shape()) if name in held else None
                if found != shape:
                    said = "is missing" if found is None else f"has shape {list(found)}, expected {list(shape)}"
                    raise ValueError(f"{path}: key {name!r} {said}")
            return {name: cast(path, name, file.get_tensor(name), dtype).to(device) for name in wanted}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a complete safetensors file ({' '.join(str(error).split())})") from None
