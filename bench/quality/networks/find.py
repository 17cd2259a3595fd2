"""Published weights under --models: a file by its name, or a repository's folder in any of the usual layouts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from ....engine.loading.model_store import find_model
from ..network import MissingWeights

EXTRA = "pip install 'acdc-engine[metrics]'"


def need_transformers() -> None:
    """:class:`MissingWeights` where the package is not installed."""
    if find_spec("transformers") is None:
        raise MissingWeights("the package transformers", EXTRA)


def find_file(models: Path | None, file: str, source: str, repository: str | None = None) -> Path:
    """``file`` in the models folder itself or in ``repository``'s folder there; :class:`MissingWeights` else."""
    for folder in folders(models, repository):
        if (folder / file).is_file():
            return folder / file
    raise MissingWeights(file if repository is None else f"{repository}/{file}", source)


def first_found(models: Path | None, files: Mapping[str, str]) -> dict[str, Path]:
    """The first of ``files`` (name -> source) that is there: the same weights under several names. Without any,
    :class:`MissingWeights` names the first."""
    for file, source in files.items():
        with suppress(MissingWeights):
            return {file: find_file(models, file, source)}
    file, source = next(iter(files.items()))
    raise MissingWeights(file, source)


def folders(models: Path | None, repository: str | None = None) -> list[Path]:
    """Folders in which files of a repository may lie."""
    if models is None or not models.is_dir():
        return []
    found = [models]
    if repository is not None:
        with suppress(ValueError):  # not there under any of its names
            found.insert(0, find_model(models, repository))
    return found
