"""The machine's own limits measured on next to nothing, for tests that only want a floor."""

import pytest


def small_roofline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small matrix and a small copy in the places of those that fill a GPU."""
    monkeypatch.setattr("acdc.bench.roofline.MATRIX", 64)
    monkeypatch.setattr("acdc.bench.roofline.COPY_BYTES", 2**16)
