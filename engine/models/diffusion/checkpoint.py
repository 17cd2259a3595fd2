"""Finding and reading a component's weights in a diffusers directory, one file or several, with names mapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ...utils.weights import cast, read_json, threads_for, why_unreadable

STEMS = ("diffusion_pytorch_model", "model")
OTHERS = (".bin", ".safetensors", ".ckpt", ".pt", ".pth", ".msgpack", ".h5", ".onnx", ".gguf")
Rename = Callable[[str], str | None]


def find_weights(folder: Path, dtype: torch.dtype) -> list[Path]:
    """The safetensors files of one component: full precision first, unless `dtype` is float16.

    Raises ValueError (one line) that names the folder, or the index of a sharded checkpoint and its lost file.
    """
    variants = (".fp16", "") if dtype == torch.float16 else ("", ".fp16")
    for variant in variants:
        for stem in STEMS:
            path = folder / f"{stem}{variant}.safetensors"
            if path.exists():
                return [path]
            index = folder / f"{stem}.safetensors.index{variant}.json"
            if index.exists():
                return _shards(index)
    wanted = f"{STEMS[0]}[.fp16].safetensors or {STEMS[1]}[.fp16].safetensors"
    there = sorted(path.name for path in folder.glob("*") if path.suffix in OTHERS or ".index" in path.name)
    why = f"; {', '.join(there)} cannot be read: save them as safetensors under these names" if there else ""
    raise ValueError(f"{folder}: no weights ({wanted}){why}")


def load_component(
    module: nn.Module,
    folder: Path,
    dtype: torch.dtype,
    rename: Rename = lambda name: name,
    computed: Mapping[str, Tensor] | None = None,
) -> None:
    """Fill `module` (on the meta device or not) from the weights in `folder`, as :func:`load_files` does."""
    load_files(module, find_weights(folder, dtype), dtype, rename, computed)


def load_files(
    module: nn.Module,
    files: Sequence[Path],
    dtype: torch.dtype,
    rename: Rename = lambda name: name,
    computed: Mapping[str, Tensor] | None = None,
) -> None:
    """Fill `module` (on the meta device or not) from safetensors files, cast to `dtype`, on the CPU.

    `rename` maps a name in the file to the module's, or to None to leave it out; `computed` are values of names that
    a file may lack. Raises ValueError (one line) that names the file and the key for a truncated file, a missing or
    unexpected key and a wrong shape.
    """
    expected = {name: value.shape for name, value in module.state_dict().items()}
    state = {name: value.to(dtype) for name, value in (computed or {}).items()}
    for path in files:
        found = _read(path, expected, dtype, rename)
        for name in sorted(found.keys() & state.keys() - (computed or {}).keys()):
            raise ValueError(f"{path}: key {name!r} is in another file of the same weights too")
        state |= found
    for name in expected:
        if name not in state:
            raise ValueError(f"{files[0]}: key {name!r} is missing")
    module.load_state_dict(state, strict=True, assign=True)


def _read(path: Path, expected: dict[str, torch.Size], dtype: torch.dtype, rename: Rename) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file, threads_for(path.stat().st_size):
            names = [(stored, rename(stored)) for stored in file.keys()]  # noqa: SIM118
            for stored, name in names:
                if name is None:
                    continue
                shape = file.get_slice(stored).get_shape()
                if name not in expected:
                    raise ValueError(f"{path}: key {stored!r} is unexpected")
                if tuple(shape) != tuple(expected[name]):
                    raise ValueError(f"{path}: key {stored!r} has shape {shape}, expected {list(expected[name])}")
                state[name] = cast(path, stored, file.get_tensor(stored), dtype)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: {why_unreadable(path, error)}") from None
    return state


def _shards(index: Path) -> list[Path]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ValueError(f"{index}: key 'weight_map' is missing")
    paths = [index.parent / str(name) for name in sorted(set(names.values()))]
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{index}: its file {path.name} is missing")
    return paths
