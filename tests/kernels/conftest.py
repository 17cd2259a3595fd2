"""Kernels are interpreted where there is no GPU; without Triton references would be compared with themselves."""

import pytest

from acdc.kernels.jit import interpreted, triton


@pytest.fixture(scope="session", autouse=True)
def kernels_run():
    """Fail, not skip: the extra ``test`` installs Triton."""
    import torch

    assert triton is not None, "install the extra 'test'"
    assert torch.cuda.is_available() or interpreted(), "TRITON_INTERPRET=1 must be set before Triton is imported"
