"""One heap for all threads: counted by the C library itself, in a process of its own."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from acdc.engine.utils.malloc import LARGE_PAGES

COUNT = """
import ctypes, sys, tempfile, threading
from acdc.engine.utils.malloc import keep_freed_memory
print(keep_freed_memory() if sys.argv[1] == "shared" else None)
libc, barrier = ctypes.CDLL(None), threading.Barrier(4)
def allocate():
    barrier.wait()
    held = [bytearray(1 << 16) for _ in range(64)]
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(file.read().count(b"<heap nr="))
"""


def heaps(how: str) -> tuple[str, int]:
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=True, cwd=root)
    said, count = done.stdout.split()
    return said, int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of glibc")
def test_threads_share_one_heap():
    assert heaps("shared") == ("True", 1)
    assert heaps("as it is")[1] > 1


FAULTS = """
import resource, sys, tempfile
from acdc.engine.utils.malloc import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
import torch
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(2):
    torch.ones(10 << 20)
before = faults()
for _ in range(5):
    torch.ones(10 << 20)
print(faults() - before)
"""


@pytest.mark.long
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of glibc")
def test_a_large_tensor_gets_the_pages_of_the_last_one():
    def faults(how: str) -> int:
        environment = {name: value for name, value in os.environ.items() if name != LARGE_PAGES}
        command = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.check_output(command, cwd=Path(__file__).parents[4], env=environment, text=True))

    # Five times 10,240 pages, where none is kept. Kept, the heap may still grow by 2 MiB a tensor: 5 faults with large
    # pages, 2,560 where the kernel has none left.
    assert faults("kept") < 10_240 < faults("as it is")
