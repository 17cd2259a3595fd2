"""A run that leaves out what runs from a checkout alone does not import it either: each worker would, for seconds."""

from pathlib import Path

import pytest

APART = "not training and not measuring"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Every test of the files next to this one has one of the two marks, as test_layering.py checks."""
    tests_of_this_folder = collection_path.parent == Path(__file__).parent and collection_path.name.startswith("test_")
    return True if tests_of_this_folder and APART in config.option.markexpr else None
