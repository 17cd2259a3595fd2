"""Options where a bundle says nothing. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The paper's strength, steps and guidance (section 4), and each sampler's neutral value.
FALLBACKS: Mapping[str, Any] = {
    "strength": 0.5,
    "num_inference_steps": 50,
    "guidance_scale": 7.5,
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "arm_guidance_scale": 1.0,
    "context": "full",
}
