"""Packages that only some memory modules need, imported when those are asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def need(package: str, memory: str) -> Any:
    """The module ``package``; ``ValueError`` that names the extra where it is not installed."""
    check(package, memory)
    return import_module(package)


def check(package: str, memory: str) -> None:
    """As :func:`need`, without importing anything."""
    if find_spec(package) is None:
        extra = f"pip install 'acdc-engine[{memory}]'"
        raise ValueError(f"memory {memory!r} needs the package {package!r}, which is not installed: {extra}")
