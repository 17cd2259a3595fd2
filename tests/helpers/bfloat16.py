"""Tests of weights in oneDNN's own order, which only a processor with units for bfloat16 gets."""

from __future__ import annotations

import pytest
import torch

from acdc.engine.models.layers.half_precision import emulated

needs_units = pytest.mark.skipif(emulated(torch.device("cpu"), torch.bfloat16), reason="this CPU has no bfloat16 units")
