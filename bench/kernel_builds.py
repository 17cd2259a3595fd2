"""Every kernel compiled for an H200 (sm_90) on any machine: ``python -m acdc.bench.kernel_builds --out FILE.json``.

A Hopper multiprocessor has 65,536 registers of 32 bits and up to 227 KiB of shared memory for a program; what does
not fit into registers is spilled to memory, which costs more than any kernel here gains. Nothing is run.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from .. import kernels
from ..engine.atomic import write_json
from ..engine.versions import versions

CAPABILITY, WARP = 90, 32
USAGE = re.compile(r"REG:(\d+) STACK:(\d+) .*?LOCAL:(\d+)")


def builds() -> Iterator[tuple[str, Any]]:
    """(module, build) of everything that a module of ``kernels`` wants looked at."""
    for found in pkgutil.iter_modules(kernels.__path__):
        module = importlib.import_module(f"{kernels.__name__}.{found.name}")
        for build in getattr(module, "BUILDS", ()):
            yield found.name, build


def resources(build: Any) -> dict[str, int]:
    """Registers a thread, bytes of stack a thread (spills lie there), bytes of shared memory a program."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature = {**build.signature, **dict.fromkeys(build.constants, "constexpr")}
    ordered = {name: signature[name] for name in build.kernel.arg_names}
    # As a launch finds most of them at these sizes: addresses and strides are multiples of 16.
    aligned = {(at,): [["tt.divisibility", 16]] for at, kind in enumerate(ordered.values()) if kind[0] in "*i"}
    source = ASTSource(fn=build.kernel, signature=ordered, constexprs=dict(build.constants), attrs=aligned)
    options = {"num_warps": build.num_warps, "num_stages": build.num_stages, "enable_fp_fusion": build.fp_fusion}
    compiled = triton.compile(source, target=GPUTarget("cuda", CAPABILITY, WARP), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        said = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    usage = USAGE.search(said.stdout)
    assert usage is not None, said.stdout
    registers, stack, local = map(int, usage.groups())
    return {"registers": registers, "stack_bytes": stack + local, "shared_bytes": compiled.metadata.shared}


def described(build: Any) -> str:
    """Types and constants in one line."""
    types = " ".join(dict.fromkeys(kind for kind in build.signature.values() if kind.startswith("*")))
    return " ".join([types, *(f"{name}={value}" for name, value in build.constants.items())])


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file.")
def main(out: Path | None) -> None:
    """Compile, and list what each kernel takes."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise click.ClickException("TRITON_INTERPRET=1 interprets kernels; unset it to compile them")
    rows = []
    for name, build in builds():
        found = {"kernel": name, "build": described(build), "num_warps": build.num_warps} | resources(build)
        rows.append(found)
        click.echo(
            f"{name:20} {found['registers']:3} registers, {found['stack_bytes']:4} bytes spilled, "
            f"{found['shared_bytes']:6} shared  {found['build']}"
        )
        if out is not None:
            write_json(out, {"capability": CAPABILITY, "versions": versions(), "rows": rows})


if __name__ == "__main__":
    main()
