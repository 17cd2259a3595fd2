"""Published safetensors whose tensors have other names than our module's: one file, or several with an index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..utils.weights import cast, read_json, why_unreadable
from .shards import INDEX

FILE = "model.safetensors"
Change = Callable[[Tensor], Tensor]


class Source(NamedTuple):
    """The published tensor of one of our parameters: its ``key``, the ``rows`` (first, end) of it that are wanted where
    not all are, and what is done to them."""

    key: str
    rows: tuple[int, int] | None = None
    change: Change | None = None


def load_renamed(
    module: nn.Module,
    folder: Path,
    sources: Mapping[str, Source],
    unused: Sequence[str],
    device: torch.device | str,
    dtype: torch.dtype,
    spell: Callable[[str], str] = str,
) -> None:
    """Fill every parameter of ``module``, which may live on the meta device, tensor by tensor; floats are cast.

    ``sources`` names the tensor of each parameter, ``unused`` begins the names of those that the module has no use
    for, ``spell`` gives the name of a key in the file. Raises ``ValueError`` (one line, names the file and the key) for
    a missing, unexpected or misshapen tensor and for a missing or truncated file.
    """
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    assert expected.keys() == sources.keys(), sorted(expected.keys() ^ sources.keys())
    index, places = _places(folder)
    held = {spell(key): (key, file) for key, file in places.items()}
    wanted = {source.key for source in sources.values()}
    for key in sorted(wanted - held.keys()):
        raise ValueError(f"{index}: key {key!r} is missing")
    for key in sorted(held.keys() - wanted):
        if not key.startswith(tuple(unused)):
            raise ValueError(f"{index}: key {held[key][0]!r} is unexpected")
    state: dict[str, Tensor] = {}
    for file in dict.fromkeys(held[source.key][1] for source in sources.values()):
        here = {name: source for name, source in sources.items() if held[source.key][1] == file}
        try:
            with safe_open(str(file), framework="pt", device="cpu") as opened:
                for name, source in here.items():
                    key, rows = held[source.key][0], source.rows
                    part = opened.get_tensor(key) if rows is None else opened.get_slice(key)[slice(*rows)]
                    if tuple(part.shape) != expected[name]:
                        said = f"has shape {list(part.shape)}, expected {list(expected[name])}"
                        raise ValueError(f"{file}: key {key!r} {said}")
                    made = cast(file, key, part, dtype)
                    state[name] = (made if source.change is None else source.change(made)).contiguous().to(device)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{file}: {why_unreadable(file, error)}") from None
    module.load_state_dict(state, strict=True, assign=True)


def _places(folder: Path) -> tuple[Path, dict[str, Path]]:
    """The file that lists the keys, and the file of each."""
    index = folder / INDEX
    if not index.is_file():
        file = folder / FILE
        if not file.is_file():
            raise ValueError(f"{file}: no such file, nor {INDEX}")
        try:
            with safe_open(str(file), framework="pt", device="cpu") as opened:
                return file, dict.fromkeys(opened.keys(), file)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{file}: {why_unreadable(file, error)}") from None
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
        raise ValueError(f"{index}: 'weight_map' names no file for each key")
    return index, {key: folder / Path(place).name for key, place in places.items()}
