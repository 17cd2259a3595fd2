"""Small C++ kernels of the training, built at first use and called through ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

# Not -ffast-math: linked into a library it flushes subnormal numbers in the whole process.
LOOSE = ("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-freciprocal-math")
FLAGS = ("-O3", "-march=native", "-mprefer-vector-width=512", *LOOSE, "-fPIC", "-shared")


@cache
def build(source: Path) -> ctypes.CDLL | None:
    """The compiled ``source``, or None without a compiler, or where it fails; built once per user and source."""
    compiler = shutil.which("g++")
    if compiler is None or not source.is_file():
        return None
    digest = hashlib.sha256(source.read_bytes() + repr(FLAGS).encode() + cpu_flags()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"acdc-kernels-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        return None  # somebody else's folder: not code to load
    target = folder / f"{source.stem}-{digest}.so"
    if not target.is_file():
        part = target.with_suffix(f".{os.getpid()}")
        built = subprocess.run([compiler, *FLAGS, str(source), "-o", str(part)], capture_output=True, check=False)
        if built.returncode != 0:
            return None
        os.replace(part, target)
    return ctypes.CDLL(str(target))


def cpu_flags() -> bytes:
    """Instruction sets of this processor: -march=native writes code for them, and a home may move to another one."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return b""
    return next((line for line in lines if line.startswith((b"flags", b"Features"))), b"")
