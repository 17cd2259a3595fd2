"""Find the directory of a local language model; imports nothing heavy, so that a wrong path is said at once."""

from __future__ import annotations

from pathlib import Path

from .optional import check, need

MEMORY = "local"


def find_model(name: str) -> Path:
    """A directory with a model, or the place of a name in the Hugging Face cache; nothing is ever downloaded.

    ``ValueError`` (one line) if it is neither, or if transformers is missing.
    """
    for package in ("transformers", "jinja2", "tenacity"):
        check(package, MEMORY)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ValueError(f"memory_model {name!r} has no config.json; give the directory of a transformers model")
        return path
    hub = need("huggingface_hub", MEMORY)
    try:
        found = hub.try_to_load_from_cache(name, "config.json")
    except ValueError:  # no name that the hub could have
        found = None
    if not isinstance(found, str):
        advice = "give a directory, or a name after `hf download NAME`"
        raise ValueError(f"memory_model {name!r} is neither a directory nor in the Hugging Face cache; {advice}")
    return Path(found).parent
