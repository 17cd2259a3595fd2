"""The networks of an engine whose kinds a benchmark knows: the embedded bundle's."""

from __future__ import annotations

from ..engine.engine import Engine
from ..engine.models.lwm.family import Arm
from ..engine.models.tokenizers.vqgan import VQGAN


def arm_of(engine: Engine) -> Arm:
    """An ARM that draws code after code."""
    arm = engine.models.arm
    assert isinstance(arm, Arm), f"{engine.name} has another kind of ARM"
    return arm


def tokenizer_of(engine: Engine) -> VQGAN:
    """A tokenizer with a codebook."""
    tokenizer = engine.models.tokenizer
    assert isinstance(tokenizer, VQGAN), f"{engine.name} has another kind of tokenizer"
    return tokenizer
