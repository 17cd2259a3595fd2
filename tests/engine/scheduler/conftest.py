"""An engine of fewer codes for the many whole stories of these tests."""

import pytest


@pytest.fixture(scope="session")
def exact_engine(tmp_path_factory):
    """Nine codes a frame in float64: a draw of eight passes, which launches of three, five and seven split."""
    from acdc.engine.engine import Engine  # here, because they import torch
    from tests.helpers.tiny import tiny_bundle

    return Engine.from_pretrained(tiny_bundle(tmp_path_factory.mktemp("nine"), grid=3), dtype="float64")
