"""A depth map for bundles whose corrector has a ControlNet, which corrects nothing without one."""

import numpy as np

from ..engine.constraints import NONE, Constraints
from ..engine.engine import Engine

RAMP = np.linspace(0, 255, 64, dtype=np.uint8)[:, None].repeat(64, 1)  # the ground, near below


def steering(engine: Engine) -> Constraints:
    """Constraints of a frame that is timed."""
    return NONE if engine.models.corrector.controlnet is None else Constraints(depth=RAMP)
