"""Huge pages below large tensors: asked for by the command line, in time, and left to a user who decided."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acdc.engine.utils.malloc import request_huge_pages

ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
AROUND = Path(__file__).parents[4]


def test_a_users_choice_stays(monkeypatch):
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    request_huge_pages()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"


def test_the_command_line_asks_before_torch_is_there():
    code = "import os, sys; from acdc.engine.cli.main import main; main(['--version']); print(os.environ[sys.argv[1]])"
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    command = [sys.executable, "-c", code, "THP_MEM_ALLOC_ENABLE"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=AROUND, env=environment)
    assert result.stdout.split()[-1] == "1"


@pytest.mark.skipif(
    not ENABLED.exists() or "[never]" in ENABLED.read_text(), reason="this kernel gives no transparent huge pages"
)
def test_pytorch_obeys():
    """64 MiB, of which at least half lies on huge pages: the kernel may lack some."""
    code = (
        "from acdc.engine.utils.malloc import request_huge_pages; request_huge_pages(); import torch;"
        "held = torch.ones(64 << 20, dtype=torch.uint8);"
        "print(*(line.split()[1] for line in open('/proc/self/smaps_rollup') if line.startswith('AnonHuge')))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=AROUND, env=environment)
    assert int(result.stdout) >= 32 * 1024
