"""Are a model's weights float16 numbers? Then a file may keep them in two bytes each and lose nothing.

Published weights often are: trained or stored in half precision, and widened to float32 when they are loaded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

VAE_BATCH = 1 << 22  # numbers that are compared at a time: 16 MiB


def exact_in_half(model: Any) -> bool:
    """Does every float32 constant of the OpenVINO model equal its float16: no rounding, no overflow, no NaN?"""
    import openvino

    constants = (node for node in model.get_ops() if node.get_type_name() == "Constant")
    return all(_exact(node.get_data()) for node in constants if node.get_element_type() == openvino.Type.f32)


def _exact(values: np.ndarray[Any, Any]) -> bool:
    flat = values.reshape(-1)
    with np.errstate(over="ignore"):  # infinite in float16: then they differ
        return all(
            np.array_equal(part.astype(np.float16).astype(np.float32), part)
            for part in (flat[start : start + VAE_BATCH] for start in range(0, flat.size, VAE_BATCH))
        )
