"""Kernels run on the GPU, or interpreted where there is none; else references would be compared with themselves."""

import pytest

from acdc.kernels.jit import installed, interpreted


@pytest.fixture(scope="session", autouse=True)
def kernels_run():
    """Fail, not skip: the extra ``test`` installs Triton."""
    import torch

    from tests.helpers.on_device import run_on

    assert installed(), "install the extra 'test'"
    assert torch.cuda.is_available() or interpreted(), "TRITON_INTERPRET=1 must be set before Triton is imported"
    if not interpreted():
        run_on("cuda")
