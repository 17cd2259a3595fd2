"""Small published files of Unified-IO 2, read by the engine's own loader in float64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from acdc.engine.loading.unified_io2 import load_arm
from acdc.engine.models.unified_io2.family import UnifiedIO2Arm
from tests.helpers.unified_io2 import COSINE, SMALL, published_config, write_model

Published = tuple[UnifiedIO2Arm, dict[str, Tensor], dict]  # the model, its file's tensors in float64, its config


def published(folder: Path, **history: bool) -> Published:
    config = published_config(**{**SMALL, "image_history_cfg": {**SMALL["image_history_cfg"], **history}})
    tensors = write_model(folder, config)
    arm = load_arm(folder, None, torch.device("cpu"), torch.float64)
    return arm, {key: value.double() for key, value in tensors.items()}, config


@pytest.fixture(scope="session")
def normed(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """As the large and the xl model are."""
    return published(tmp_path_factory.mktemp("normed"))


@pytest.fixture(scope="session")
def cosine(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """As the xxl model is."""
    return published(tmp_path_factory.mktemp("cosine"), **COSINE)


@pytest.fixture(scope="session")
def arm(normed: Published) -> UnifiedIO2Arm:
    return normed[0]
